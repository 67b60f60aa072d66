package host

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/portwatch/portwatch/internal/event"
)

// Socket is one socket of a namespace, as its tables list it.
type Socket struct {
	Protocol      event.Protocol
	State         event.State
	Local, Remote netip.AddrPort // Remote is invalid while there is no far end
	Inode         uint32         // of the socket's file; 0 if it has none
	CgroupID      uint64         // in which it was created; 0 if not known
	// Queued and QueueLimit are, of a listener, the connections not accepted
	// yet and their limit, where [Survey.Queues] says that they are told.
	Queued, QueueLimit uint32
}

// Pool is what one local address holds towards one destination, of the ports
// that the kernel deals. TIME_WAITs that connect() may take over are left out.
type Pool struct {
	Local  netip.Addr
	Remote netip.AddrPort
	Ports  int
}

// maxPools bounds the destinations that a survey tells apart.
const maxPools = 1 << 16

// Survey is which ports the sockets of one namespace hold. Of each family the
// listeners must be added before the connected sockets, as the kernel lists
// them: a connection on a listener's port was accepted, and counts against no
// range.
type Survey struct {
	TCP, UDP PortSet // ports that at least one socket holds
	Queues   bool    // the source of the sockets tells the queues of listeners
	// Fixed are the sockets that listen or are bound and nothing else.
	Fixed []Socket
	// Accepted counts the connections on each port that is listened on,
	// Handshakes those that are not established yet.
	Accepted, Handshakes map[uint16]int
	// Unlistened counts the connections on each port that nobody listens on and the
	// kernel does not deal: a program bound it, a listener that has ended accepted
	// them, or they are older than the range.
	Unlistened map[uint16]int
	// TimeWait counts the sockets in TIME_WAIT, of both sides.
	TimeWait int
	// outgoing are the ports of connections that were not accepted.
	outgoing  PortSet
	listening PortSet
	settings  event.Limits
	dealt     *PortSet            // the ports that count against a pool
	pools     map[poolKey]*[2]int // ports by parity: even, odd
	forgotten bool                // there were more pools than fit
}

type poolKey struct {
	local  netip.Addr
	remote netip.AddrPort
}

// NewSurvey makes an empty survey of a namespace with these settings.
func NewSurvey(settings *event.Limits) *Survey {
	return &Survey{
		Accepted: map[uint16]int{}, Handshakes: map[uint16]int{}, Unlistened: map[uint16]int{}, pools: map[poolKey]*[2]int{},
		settings: *settings, dealt: Dealt(settings.Range, settings.Reserved),
	}
}

// Add counts a socket. What a listener that has ended had accepted looks like an
// outgoing connection, and is counted like one: it takes its port away from the
// same destination.
func (s *Survey) Add(k *Socket) {
	port := k.Local.Port()
	if port == 0 {
		return
	}
	if k.Protocol == event.UDP {
		s.addUDP(k)
	} else {
		s.addTCP(k)
	}
}

// addUDP counts a socket of UDP. A connected one may have got its port from the
// kernel, unless the kernel does not deal it: then its program bound it.
func (s *Survey) addUDP(k *Socket) {
	s.UDP.AddPort(k.Local.Port())
	if k.State == event.StateUnconnected || !s.dealt.Has(k.Local.Port()) {
		s.Fixed = append(s.Fixed, *k)
	}
}

func (s *Survey) addTCP(k *Socket) {
	port := k.Local.Port()
	s.TCP.AddPort(port)
	if k.State == event.StateTimeWait {
		s.TimeWait++
	}
	switch {
	case k.State == event.StateListen:
		s.listening.AddPort(port)
		s.Fixed = append(s.Fixed, *k)
	case k.State == event.StateBound:
		s.Fixed = append(s.Fixed, *k)
	case s.listening.Has(port) && (k.State == event.StateSynRecv || k.State == event.StateNewSynRecv):
		s.Handshakes[port]++
	case s.listening.Has(port):
		s.Accepted[port]++
	case k.Remote.IsValid():
		s.outgoing.AddPort(port)
		if !s.dealt.Has(port) {
			s.Unlistened[port]++
		} else if !s.reusable(k) {
			s.count(poolKey{k.Local.Addr(), k.Remote}, port)
		}
	}
}

// reusable reports whether tcp_tw_reuse lets connect() take the socket's port:
// all TIME_WAITs where it is on, those of the loopback where it is 2, once they
// are older than its delay of a second or so (tcp_twsk_unique,
// net/ipv4/tcp_ipv4.c). The younger ones are missed here.
func (s *Survey) reusable(k *Socket) bool {
	if k.State != event.StateTimeWait || s.settings.Timestamps == 0 {
		return false
	}
	loopback := k.Local.Addr().IsLoopback() || k.Remote.Addr().IsLoopback()
	return s.settings.TWReuse == 1 || s.settings.TWReuse == 2 && loopback
}

// Bound are the TCP ports that programs bound, in the range or not: those of bound
// and listening sockets, as far as the source lists them. That a connection's port
// was bound before is not listed.
func (s *Survey) Bound() *PortSet {
	bound := &PortSet{}
	for i := range s.Fixed {
		if k := &s.Fixed[i]; k.Protocol == event.TCP {
			bound.AddPort(k.Local.Port())
		}
	}
	return bound
}

// Poisoned is how many dealt ports connect() skips at least, because a program
// bound them.
func (s *Survey) Poisoned() int { return s.Bound().And(s.dealt).Count() }

// Capacity is how many ports connect() gives to one destination at most: those of
// the range minus the reserved and the poisoned ones.
func (s *Survey) Capacity() int { return s.dealt.Count() - s.Poisoned() }

func (s *Survey) count(key poolKey, port uint16) {
	halves := s.pools[key]
	if halves == nil {
		if len(s.pools) >= maxPools {
			s.forgotten = true
			return
		}
		halves = &[2]int{}
		s.pools[key] = halves
	}
	halves[port%2]++
}

// Halves are the ports of a pool with the parity of low, which connect()
// prefers, and the others.
func (s *Survey) Halves(p Pool, low uint16) (preferred, other int) {
	halves := s.pools[poolKey{p.Local, p.Remote}]
	if halves == nil {
		return 0, 0
	}
	return halves[low%2], halves[1-low%2]
}

// Fullest is the pool in which most ports are taken; false if there is none.
// complete is false where not every pool could be kept apart: a fuller one may
// have been missed.
func (s *Survey) Fullest() (p Pool, found, complete bool) {
	first := s.Pools(1)
	if len(first) == 0 {
		return Pool{}, false, !s.forgotten
	}
	return first[0], true, !s.forgotten
}

// Pools are the fullest n pools.
func (s *Survey) Pools(n int) []Pool {
	all := make([]Pool, 0, len(s.pools))
	for key, halves := range s.pools {
		all = append(all, Pool{Local: key.local, Remote: key.remote, Ports: halves[0] + halves[1]})
	}
	slices.SortFunc(all, func(a, b Pool) int {
		return cmp.Or(cmp.Compare(b.Ports, a.Ports), a.Remote.Compare(b.Remote), a.Local.Compare(b.Local))
	})
	return all[:min(n, len(all))]
}

// Outside are the ports of connections without a listener that the range does not
// hold: their programs bound them, a listener that has ended accepted them, or
// they are older than the range.
func (s *Survey) Outside(r event.PortRange) *PortSet { return s.outgoing.Without(SetOf(r)) }

// InRange is how many distinct ports of the range, reserved ones left out, the
// protocol's sockets hold.
func InRange(held *PortSet, l *event.Limits) int {
	return held.And(Dealt(l.Range, l.Reserved)).Count()
}

// Dealt are the ports that the kernel gives by itself: those of the range that
// are not reserved.
func Dealt(r event.PortRange, reserved []event.PortRange) *PortSet {
	return SetOf(r).Without(SetOf(reserved...))
}
