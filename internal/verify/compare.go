package verify

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// Kind says in which way the ledger and the kernel differ.
type Kind uint8

// The kinds of differences.
const (
	Missing      Kind = iota + 1 // the kernel has a socket without a lease
	Extra                        // the ledger has a lease without a socket
	StateDiffers                 // they disagree on the state, the sub-state or an address
)

// String is the kind's word.
func (k Kind) String() string {
	switch k {
	case Missing:
		return "missing"
	case Extra:
		return "extra"
	case StateDiffers:
		return "state_differs"
	}
	return ""
}

// Difference is one socket on which the two disagree. It is comparable: equal
// differences are the same way to differ.
type Difference struct {
	Kind           Kind
	NetNS          uint32
	Protocol       event.Protocol
	Cookie         uint64
	Ledger, Kernel Side // the zero value for what one of them does not have
}

// Side is what one of the two says of a socket.
type Side struct {
	State         event.State
	Substate      event.Substate
	Local, Remote netip.AddrPort
}

// name is what tells sockets apart. A mini-socket bears the cookie of the socket
// that it was, which may be there beside it, or leave another one: its addresses
// never change and belong to its name.
type name struct {
	netns         uint32
	protocol      event.Protocol
	cookie        uint64
	waits         bool
	local, remote netip.AddrPort // of a mini-socket
}

func nameOf(netns uint32, p event.Protocol, cookie uint64, s Side) name {
	n := name{netns: netns, protocol: p, cookie: cookie}
	if s.State == event.StateTimeWait {
		n.waits, n.local, n.remote = true, s.Local, s.Remote
	}
	return n
}

// held is, by cookie, what the ledger said of leases that changed while the
// kernel listed its sockets. That takes a while, and a list shows each socket as
// it was at some moment of it: whatever the ledger said of it then is right.
type held map[uint64][]Side

// add keeps what the ledger says of a lease that is about to change: the zero
// Side where an allocation is the first that it hears.
func (h held) add(l *aggregate.Ledger, id event.LeaseID) {
	var side Side
	if el, known := l.Lease(id); known {
		side = sideOf(&el)
	}
	h[id.Cookie] = append(h[id.Cookie], side)
}

// comparison is one pass.
type comparison struct {
	picture *Picture
	leases  map[name]event.Lease
	held    held
	// met are the sockets that were listed as the ledger had them a little
	// earlier. What their leases have become since need not be listed as well.
	met map[uint64]bool
	// accepting are the ports whose sockets without a lease were accepted.
	accepting   map[port]bool
	substates   bool // the ledger's are as good as the kernel's
	checked     int
	differences []Difference
}

type port struct {
	netns  uint32
	number uint16
}

// compare finds every difference between the ledger and the picture. h is what
// the ledger said from the picture's beginning on.
func compare(l *aggregate.Ledger, p *Picture, h held) (differences []Difference, checked int) {
	c := comparison{
		picture: p, leases: map[name]event.Lease{}, held: h, met: map[uint64]bool{}, accepting: map[port]bool{},
		substates: l.Mode() == event.ModeFull,
	}
	for el := range l.Leases {
		if p.Namespaces[el.NetNS] {
			c.leases[nameOf(el.NetNS, el.Protocol, el.ID.Cookie, sideOf(&el))] = el
		}
	}
	for a := range l.AcceptedPorts {
		c.accepting[port{a.NetNS, a.Port}] = true
	}
	for i := range p.Sockets {
		if s := &p.Sockets[i]; s.State == event.StateListen {
			c.accepting[port{s.NetNS, s.Local.Port()}] = true
		}
	}
	for i := range p.Sockets {
		c.socket(&p.Sockets[i])
	}
	for n, el := range c.leases {
		c.lease(n, &el)
	}
	return c.differences, c.checked
}

// socket compares a listed socket with its lease and takes the lease away.
func (c *comparison) socket(s *Socket) {
	if s.Local.Port() == 0 || s.State == event.StateSynRecv || s.State == event.StateNewSynRecv {
		return
	}
	kernel := Side{State: s.State, Substate: s.Substate, Local: s.Local, Remote: s.Remote}
	if s.Remote.Port() == 0 { // the rest of a connection that is over
		kernel.Remote = netip.AddrPort{}
	}
	n := nameOf(s.NetNS, s.Protocol, s.Cookie, kernel)
	el, known := c.leases[n]
	delete(c.leases, n)
	was := c.held[s.Cookie]
	if !known && len(was) == 0 && c.wasAccepted(s) {
		return
	}
	c.checked++
	if known && c.alike(kernel, sideOf(&el)) {
		return
	}
	if slices.ContainsFunc(was, func(ledger Side) bool { return c.alike(kernel, ledger) }) {
		c.met[s.Cookie] = true
		return
	}
	d := Difference{Kind: Missing, NetNS: s.NetNS, Protocol: s.Protocol, Cookie: s.Cookie, Kernel: kernel}
	if known {
		d.Kind, d.Ledger = StateDiffers, sideOf(&el)
		c.leaveOut(&d.Kernel, &d.Ledger)
	}
	c.differences = append(c.differences, d)
}

// alike reports whether the two say the same of a socket. A connection that is
// being made has its port before connect() has ended, and then it is told.
func (c *comparison) alike(kernel, ledger Side) bool {
	if ledger == (Side{}) {
		return kernel.State == event.StateSynSent
	}
	c.leaveOut(&kernel, &ledger)
	return kernel == ledger
}

// wasAccepted reports whether a socket without a lease came out of a listener.
func (c *comparison) wasAccepted(s *Socket) bool {
	return s.Protocol == event.TCP && s.State != event.StateListen && s.State != event.StateBound &&
		c.accepting[port{s.NetNS, s.Local.Port()}]
}

// leaveOut makes equal what one of the two cannot know or does not mean.
func (c *comparison) leaveOut(kernel, ledger *Side) {
	if !c.substates {
		kernel.Substate, ledger.Substate = 0, 0
	}
	if kernel.State == event.StateListen || kernel.State == event.StateBound {
		kernel.Remote, ledger.Remote = netip.AddrPort{}, netip.AddrPort{}
	}
}

// lease is what no listed socket took away. One that was born while the sockets
// were being listed need not be among them.
func (c *comparison) lease(n name, el *event.Lease) {
	if el.State == event.StateBound && !c.picture.BoundListed || el.ID.Born >= c.picture.Began || c.met[n.cookie] {
		return
	}
	c.checked++
	c.differences = append(c.differences, Difference{
		Kind: Extra, NetNS: n.netns, Protocol: n.protocol, Cookie: n.cookie, Ledger: sideOf(el),
	})
}

func sideOf(el *event.Lease) Side {
	return Side{State: el.State, Substate: el.Substate, Local: el.Local, Remote: unmapped(el.Remote)}
}

// unmapped is the far end as sock_diag shows it. A UDP socket with an IPv6
// address of its own may be connected to an IPv4 one.
func unmapped(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func order(a, b Difference) int {
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.NetNS, b.NetNS), cmp.Compare(a.Protocol, b.Protocol),
		cmp.Compare(a.Cookie, b.Cookie), cmp.Compare(a.Ledger.State, b.Ledger.State), cmp.Compare(a.Kernel.State, b.Kernel.State))
}
