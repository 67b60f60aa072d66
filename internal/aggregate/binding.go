package aggregate

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/portwatch/portwatch/internal/event"
)

// Binding is a port that a program asked for by its number, as a stream told
// it. What restarts is one binder: its processes have one name and one user.
type Binding struct {
	NetNS    uint32
	Protocol event.Protocol
	Port     uint16
	// Addr is the local address, and Owner the process, of the last one.
	Addr  netip.Addr
	Owner *OwnerInfo
	// Seen is when the stream first showed it, Bound when it was last bound; 0
	// if that was before the stream began.
	Seen, Bound event.Time
	last        event.Time // when the last one was seen first
}

// Bindings collects the ports that programs asked for by number. Ports that
// the kernel chose, for bind(0) too, are nobody's and left out.
type Bindings struct {
	known      map[binder]*Binding
	owners     map[event.OwnerID]*OwnerInfo
	namespaces map[uint32]event.Namespace
}

// binder tells bindings apart.
type binder struct {
	netns    uint32
	protocol event.Protocol
	port     uint16
	kind     event.OwnerKind
	comm     event.Comm
	uid      uint32
	cgroup   uint64 // where only that is known
}

// NewBindings makes an empty collection.
func NewBindings() *Bindings {
	return &Bindings{
		known: map[binder]*Binding{}, owners: map[event.OwnerID]*OwnerInfo{}, namespaces: map[uint32]event.Namespace{},
	}
}

// Add takes what a record says of a port that was asked for by number, and of
// whose it is.
func (b *Bindings) Add(r *Record) {
	switch ev := &r.Event; {
	case ev.Kind == event.KindAllocate, ev.Kind == event.KindCorrection && ev.Correction == event.CorrectionHolds:
		if askedFor(&ev.Lease) {
			b.addLease(r)
		}
	case ev.Kind == event.KindOwner:
		if info := b.owners[r.Owner.ID]; info != nil {
			*info = r.Owner
		}
	case ev.Kind == event.KindNetNS && !ev.Namespace.Gone:
		b.namespaces[ev.Namespace.NetNS] = *ev.Namespace
	}
}

// askedFor reports whether a program named the lease's port. Of what is older
// than the stream only the state may tell: a socket that listens, or is bound
// and nothing else, is taken for one that was told which port.
func askedFor(l *event.Lease) bool {
	switch l.Origin {
	case event.OriginBind:
		return true
	case event.OriginUnknown:
		return l.State == event.StateListen || l.State == event.StateBound || l.State == event.StateUnconnected
	}
	return false
}

func (b *Bindings) addLease(r *Record) {
	l := &r.Event.Lease
	key := binder{
		netns: l.NetNS, protocol: l.Protocol, port: l.Local.Port(),
		kind: l.Owner.Kind, comm: l.Owner.Comm, uid: l.Owner.UID,
	}
	if l.Owner.Kind == event.OwnerCgroup {
		key.cgroup = l.Owner.CgroupID
	}
	known := b.known[key]
	if known == nil {
		known = &Binding{NetNS: l.NetNS, Protocol: l.Protocol, Port: l.Local.Port(), Seen: l.ID.Born}
		b.known[key] = known
	}
	known.Seen = min(known.Seen, l.ID.Born)
	if r.Event.Kind == event.KindAllocate || l.Owner.Confidence == event.ConfidenceExact {
		known.Bound = max(known.Bound, l.ID.Born)
	}
	if l.ID.Born >= known.last {
		known.last, known.Addr, known.Owner = l.ID.Born, l.Local.Addr(), b.ownerOf(r)
	}
}

// ownerOf is what is known of a record's owner. News of it that come later are
// told to all its bindings.
func (b *Bindings) ownerOf(r *Record) *OwnerInfo {
	info := b.owners[r.Owner.ID]
	if info == nil {
		owner := r.Owner
		info = &owner
		b.owners[owner.ID] = info
	}
	return info
}

// All are the bindings, by namespace, port, protocol and first sight.
func (b *Bindings) All() []Binding {
	all := make([]Binding, 0, len(b.known))
	for _, known := range b.known {
		all = append(all, *known)
	}
	slices.SortFunc(all, func(x, y Binding) int {
		return cmp.Or(cmp.Compare(x.NetNS, y.NetNS), cmp.Compare(x.Port, y.Port), cmp.Compare(x.Protocol, y.Protocol),
			cmp.Compare(x.Seen, y.Seen), cmp.Compare(x.Owner.ID.PID, y.Owner.ID.PID), cmp.Compare(x.Owner.UID, y.Owner.UID),
			cmp.Compare(x.Owner.ID.String(), y.Owner.ID.String()))
	})
	return all
}

// Namespaces are those that the stream told of, by inode, each as it was last
// named.
func (b *Bindings) Namespaces() []event.Namespace {
	all := make([]event.Namespace, 0, len(b.namespaces))
	for _, ns := range b.namespaces {
		all = append(all, ns)
	}
	slices.SortFunc(all, func(x, y event.Namespace) int { return cmp.Compare(x.NetNS, y.NetNS) })
	return all
}
