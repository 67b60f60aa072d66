package aggregate

import (
	"cmp"
	"slices"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// settleOrigins finds the accepted sockets among those of one port: the socket
// itself does not show that it was accepted, but a listener at its address does.
// Those that wait to be accepted belong to whoever listens.
func settleOrigins(sockets []event.Sighting) {
	for i := range sockets {
		l := &sockets[i].Lease
		if l.Protocol != event.TCP || l.Origin != event.OriginUnknown || !l.Remote.IsValid() {
			continue
		}
		var takers []*event.Sighting
		for j := range sockets {
			if k := &sockets[j].Lease; k.State == event.StateListen && takes(k, l) {
				takers = append(takers, &sockets[j])
			}
		}
		if len(takers) == 0 {
			continue
		}
		l.Origin = event.OriginAccept
		if waits := sockets[i].Inode == 0 && isQueued(l.State); waits && len(takers) == 1 {
			l.Owner = takers[0].Lease.Owner
		}
	}
}

// isQueued reports whether an accepted socket without a file waits in its
// listener's queue: its program has not closed it.
func isQueued(s event.State) bool {
	return s == event.StateEstablished || s == event.StateSynRecv || s == event.StateCloseWait
}

// takes reports whether a listener would accept what the socket has.
func takes(listener, l *event.Lease) bool {
	if listener.NetNS != l.NetNS || listener.Device != 0 && listener.Device != l.Device {
		return false
	}
	p := placeOf(endpointOf(listener.Local), listener.Family, listener.Device, listener.V6Only)
	want := placeOf(endpointOf(l.Local), l.Family, listener.Device, true)
	return p.blocks(&want)
}

// holders are the entries for sockets of one port: alike ones together if they
// are many.
func (w *PortWorld) holders(sockets []event.Sighting, inTheWay []Answer) []PortHolder {
	type kind struct {
		netns  uint32
		owner  event.OwnerID
		state  event.State
		origin event.Origin
		way    Answer
	}
	of := func(i int) kind {
		l := &sockets[i].Lease
		return kind{l.NetNS, l.Owner.ID(), l.State, l.Origin, inTheWay[i]}
	}
	alike := map[kind]int{}
	for i := range sockets {
		alike[of(i)]++
	}
	folded := map[kind]int{} // place in all
	var all []PortHolder
	for i := range sockets {
		h := w.holder(&sockets[i])
		h.InTheWay = inTheWay[i]
		h.Share = 1 / float64(len(sockets))
		k := of(i)
		if alike[k] < w.FoldFrom {
			all = append(all, h)
			continue
		}
		at, known := folded[k]
		if !known {
			folded[k] = len(all)
			l := &sockets[i].Lease
			h.Lease = event.Lease{NetNS: l.NetNS, Protocol: l.Protocol, State: l.State, Origin: l.Origin}
			h.Processes = 0
			all = append(all, h)
			continue
		}
		all[at].fold(&h)
	}
	slices.SortStableFunc(all, comparePortHolders)
	return all
}

func (h *PortHolder) fold(o *PortHolder) {
	h.Sockets += o.Sockets
	h.TimeWait += o.TimeWait
	h.Share += o.Share
	h.ExpiresIn, h.Expires = max(h.ExpiresIn, o.ExpiresIn), h.Expires && o.Expires
	for _, who := range o.SameFarEnd {
		h.addTalker(who)
	}
}

func (h *PortHolder) addTalker(who *OwnerInfo) {
	if !slices.ContainsFunc(h.SameFarEnd, func(k *OwnerInfo) bool { return k.ID == who.ID }) {
		h.SameFarEnd = append(h.SameFarEnd, who)
	}
}

func (w *PortWorld) holder(s *event.Sighting) PortHolder {
	l := &s.Lease
	h := PortHolder{
		Owner: w.Owner(&l.Owner), Sockets: 1, Lease: *l, Processes: s.Processes, NetNSName: w.NameOf(l.NetNS),
	}
	if l.State != event.StateTimeWait {
		return h
	}
	h.TimeWait = 1
	if l.Expires != 0 {
		h.Expires = true
		if l.Expires > s.Seen {
			h.ExpiresIn = time.Duration(l.Expires - s.Seen)
		}
	}
	for i := range w.Talkers {
		k := &w.Talkers[i].Lease
		if k.NetNS == l.NetNS && k.Protocol == l.Protocol && k.Remote == l.Remote &&
			k.State != event.StateTimeWait && k.Owner.Kind == event.OwnerProcess {
			h.addTalker(w.Owner(&k.Owner))
		}
	}
	return h
}

// comparePortHolders puts first what is in the way, then what lives, then what has
// held the port by its own will; a TIME_WAIT that ends last before others.
func comparePortHolders(a, b PortHolder) int {
	return cmp.Or(
		cmp.Compare(b.InTheWay, a.InTheWay),
		cmp.Compare(holderRank(&a), holderRank(&b)),
		cmp.Compare(b.Sockets, a.Sockets),
		cmp.Compare(b.ExpiresIn, a.ExpiresIn),
		cmp.Compare(a.Owner.ID.PID, b.Owner.ID.PID),
		a.Lease.Local.Compare(b.Lease.Local), a.Lease.Remote.Compare(b.Lease.Remote),
		cmp.Compare(a.Lease.ID.Cookie, b.Lease.ID.Cookie),
	)
}

func holderRank(h *PortHolder) int {
	switch {
	case h.Lease.State == event.StateListen:
		return 0
	case h.Lease.State == event.StateTimeWait:
		return 4
	case h.Lease.Origin == event.OriginAccept:
		return 3
	case h.Lease.State == event.StateBound || h.Lease.State == event.StateUnconnected:
		return 1
	}
	return 2
}

// ProcessInfo is what a look at an owner found out.
func ProcessInfo(p *event.Process) *OwnerInfo {
	info := infoOf(&p.Owner)
	info.Exited, info.Exe, info.Cgroup, info.Unit = p.Exited, p.Exe, p.Cgroup, p.Unit
	info.ContainerID, info.Container = p.ContainerID, p.Container
	info.PodUID, info.Pod, info.PodNamespace = p.PodUID, p.Pod, p.PodNamespace
	return &info
}

// Process is what is known of the owner as events tell it; [ProcessInfo] is its
// reverse.
func (o *OwnerInfo) Process() *event.Process {
	return &event.Process{
		Owner: event.Owner{
			Kind: o.ID.Kind, Confidence: o.Confidence, PID: o.ID.PID, StartTime: o.ID.StartTime, Exec: o.ID.Exec,
			Comm: o.Comm, UID: o.UID, CgroupID: o.CgroupID,
		},
		Exited: o.Exited, Exe: o.Exe, Cgroup: o.Cgroup, Unit: o.Unit,
		ContainerID: o.ContainerID, Container: o.Container,
		PodUID: o.PodUID, Pod: o.Pod, PodNamespace: o.PodNamespace,
	}
}
