package aggregate

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

// refusedConnect is a connect() of the victim from the crawler's address.
func refusedConnect(t float64, n uint64) event.Event {
	ev := refusal(t, victim, n)
	ev.Failure.Local = netip.MustParseAddrPort("10.0.0.1:0")
	return ev
}

// refusedPort is a request for a port that somebody has.
func refusedPort(t float64, op event.Operation, local string) event.Event {
	ev := refusal(t, victim, 1)
	f := ev.Failure
	f.Operation, f.Reason, f.Errno = op, event.ReasonPortHeld, event.EADDRINUSE
	f.Local, f.Remote = netip.MustParseAddrPort(local), netip.AddrPort{}
	if f.Local.Addr().Is6() {
		f.Family = event.IPv6
	}
	return ev
}

// holders renders who held what, one after another.
func holders(all []Holder) string {
	var b strings.Builder
	for _, h := range all {
		if h.Owner == nil {
			fmt.Fprintf(&b, "rest of %d", h.Rest)
		} else {
			b.WriteString(ownerName(h.Owner))
		}
		fmt.Fprintf(&b, " %d/%d/%d", h.Ports, h.TimeWait, h.Of)
		if h.Lease != nil {
			fmt.Fprintf(&b, " %s", h.Lease.State)
		}
		if h.Accepted {
			b.WriteString(" accepted")
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func accepted(t float64, port uint16, live, waiting int) event.Event {
	return event.Event{Kind: event.KindAccepted, Time: sec(t), Accepted: &event.Accepted{
		NetNS: hostNS, Port: port, Live: live, TimeWait: waiting,
	}}
}

func listening(pid uint32, local string) event.Lease {
	el := owned(bound(uint64(pid), local), pid)
	el.State = event.StateListen
	return el
}

func TestHoldersOfAPort(t *testing.T) {
	many := func(owners int) (events []event.Event) {
		for i := range 20 {
			el := owned(towards(conn(40000), fmt.Sprintf("10.0.1.%d:443", i)), uint32(1+i%owners))
			el.ID.Cookie = uint64(i + 1)
			events = append(events, allocate(1, el))
		}
		return events
	}
	bind := refusedPort(2, event.OperationBind, "10.0.0.1:40000")
	tests := []struct {
		name   string
		events []event.Event
		ask    event.Event
		want   string
	}{
		{"nobody whom the ledger knows", nil, bind, ""},
		{"a connection", []event.Event{allocate(1, conn(40000))}, bind, "p100 1/0/1 ESTABLISHED"},
		{
			"a listener before what lives, and a TIME_WAIT last",
			[]event.Event{
				allocate(1, conn(40000)), allocate(1, listening(300, "0.0.0.0:40000")),
				allocate(1, towards(conn(40000), "10.0.0.6:80")), timeWait(1, waiting(conn(40000), 61)),
			},
			bind, "p300 1/0/3 LISTEN; p100 1/0/3 ESTABLISHED; p100 1/1/3 TIME_WAIT",
		},
		{"at another address", []event.Event{allocate(1, bound(1, "10.9.9.9:40000"))}, bind, ""},
		{"at a wildcard", []event.Event{allocate(1, bound(1, "0.0.0.0:40000"))}, bind, "p100 1/0/1 BOUND"},
		{
			"accepted sockets, with the listener",
			[]event.Event{allocate(1, listening(300, "10.0.0.1:40000")), accepted(1, 40000, 3, 2)},
			bind, "p300 5/2/6 accepted; p300 1/0/6 LISTEN",
		},
		{"accepted sockets whose listener is gone", []event.Event{accepted(1, 40000, 0, 2)}, bind, "unknown 2/2/2 accepted"},
		{"many of few owners", many(2), bind, "p1 10/0/20; p2 10/0/20"},
		{
			"many of many owners", many(10), bind,
			"p1 2/0/20; p2 2/0/20; p3 2/0/20; p4 2/0/20; p5 2/0/20; p6 2/0/20; p7 2/0/20; p8 2/0/20; rest of 2 4/0/20",
		},
		{
			"its own socket does not keep listen() from the port",
			[]event.Event{allocate(1, owned(bound(1, "10.0.0.1:40000"), victim)), allocate(1, listening(300, "10.0.0.1:40000"))},
			refusedPort(2, event.OperationListen, "10.0.0.1:40000"), "p300 1/0/1 LISTEN",
		},
		{
			"a bind() meets its own process's other socket",
			[]event.Event{allocate(1, owned(bound(1, "10.0.0.1:40000"), victim))},
			bind, "p200 1/0/1 BOUND",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := stream(event.PoisonWhileBound, append(tt.events, tt.ask)...).Snapshot(0)
			if diff := cmp.Diff(tt.want, holders(s.Failures[0].Sight.Holders)); diff != "" {
				t.Errorf("holders (-want +got):\n%s", diff)
			}
			if s.Failures[0].Sight.Pool != nil {
				t.Error("a port belongs to no pool")
			}
		})
	}
}

// A refusal is told late: who had the port at its moment is named, though he has
// given it back, and not who has taken it since.
func TestHoldersAreThoseOfTheMoment(t *testing.T) {
	since := func(el event.Lease, t float64) event.Lease {
		el.ID.Born = sec(t)
		return el
	}
	const port = "10.0.0.1:40000"
	first, late := owned(bound(1, port), 1), since(owned(bound(2, port), 2), 2.002)
	ask := refusedPort(2, event.OperationBind, port)
	for _, tt := range []struct {
		name   string
		events []event.Event
		want   string
	}{
		{"given back since, and taken", []event.Event{allocate(1, first), release(2.001, 1, event.CauseClosed), allocate(2.002, late)}, "p1 1/0/1 BOUND"},
		{"given back since", []event.Event{allocate(1, first), release(2.5, 1, event.CauseClosed)}, "p1 1/0/1 BOUND"},
		{"given back before", []event.Event{allocate(1, first), release(1.999, 1, event.CauseClosed), allocate(2.002, late)}, ""},
		{"taken since, by nobody who is known before", []event.Event{allocate(2.002, late)}, ""},
		{"given back so long ago that it is forgotten", []event.Event{allocate(1, first), release(2.001, 1, event.CauseClosed), tick(4.1)}, ""},
		{
			"both had it",
			[]event.Event{allocate(1, first), allocate(1, owned(bound(3, "0.0.0.0:40000"), 3)), release(2.001, 1, event.CauseClosed)},
			"p1 1/0/2 BOUND; p3 1/0/2 BOUND",
		},
	} {
		s := stream(event.PoisonWhileBound, append(tt.events, ask)...).Snapshot(0)
		if got := holders(s.Failures[0].Sight.Holders); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestHoldersOfATuple(t *testing.T) {
	taken := refusedPort(2, event.OperationConnect, "10.0.0.1:40000")
	taken.Failure.Reason, taken.Failure.Remote = event.ReasonTupleTaken, netip.MustParseAddrPort("10.0.0.5:443")
	s := stream(event.PoisonWhileBound, allocate(1, conn(40000)), allocate(1, owned(towards(conn(40000), "10.0.0.6:443"), 7)), taken).Snapshot(0)
	if got := holders(s.Failures[0].Sight.Holders); got != "p100 1/0/1 ESTABLISHED" {
		t.Errorf("holders = %s, want that of the tuple alone", got)
	}
}

func TestHoldersOfAPool(t *testing.T) {
	events := []event.Event{allocate(1, bound(1, "10.9.9.9:40009")), timeWait(1, waiting(conn(40000), 61))}
	for port := uint16(40001); port < 40009; port++ {
		if port != 40004 {
			events = append(events, allocate(1, owned(conn(port), uint32(port%2+1))))
		}
	}
	s := stream(event.PoisonWhileBound, append(events, refusedConnect(2, 1))...).Snapshot(0)
	sight := s.Failures[0].Sight
	if got := holders(sight.Holders); got != "p2 4/0/8; p1 3/0/8; p100 1/1/8" {
		t.Errorf("holders = %s", got)
	}
	if got := holders(sight.Poisoners); got != "p100 1/0/1" {
		t.Errorf("poisoners = %s", got)
	}
	if sight.Capacity != 8 || sight.InUse != 8 || sight.TimeWait != 1 || sight.Headroom != 0 || sight.Poisoned != 1 {
		t.Errorf("sight = %+v", sight)
	}
	if sight.Pool.Remote != netip.MustParseAddrPort("10.0.0.5:443") {
		t.Errorf("pool = %+v", sight.Pool)
	}
}

// A refusal is looked into once a second: what it says is who held the ports
// then, though they have gone since; the owner's fate is today's.
func TestSightIsOfItsMoment(t *testing.T) {
	l := stream(event.PoisonWhileBound, allocate(1, conn(40000)), refusedConnect(2, 1))
	inUse := func(want int) {
		t.Helper()
		if got := l.Snapshot(0).Failures[0].Sight.InUse; got != want {
			t.Errorf("in use = %d, want %d", got, want)
		}
	}
	apply := func(events ...event.Event) {
		for i := range events {
			l.Apply(&events[i])
		}
	}
	inUse(1)
	apply(allocate(2.5, conn(40001)), refusedConnect(2.9, 1))
	inUse(1)
	apply(refusedConnect(3, 1))
	inUse(2)
	apply(release(4, 40000, event.CauseClosed), release(4, 40001, event.CauseClosed), told(4, event.Process{Owner: process(crawler), Exited: true}))
	inUse(2)
	if h := l.Snapshot(0).Failures[0].Sight.Holders; len(h) != 1 || !h[0].Owner.Exited {
		t.Errorf("holders = %s, want one that has exited", holders(h))
	}
}

// Who holds the ports means nothing for other reasons, and where the kernel had
// no room for addresses.
func TestNoSight(t *testing.T) {
	folded := refusedConnect(2, 1)
	folded.Failure.Folded = true
	privileged := refusedPort(2, event.OperationBind, "10.0.0.1:80")
	privileged.Failure.Reason, privileged.Failure.Errno = event.ReasonPrivileged, event.Errno(13)
	blind := refusedConnect(2, 1)
	blind.Failure.NetNS = 5 // its range is not known
	for name, ev := range map[string]event.Event{"folded": folded, "privileged": privileged, "no range": blind} {
		s := stream(event.PoisonWhileBound, allocate(1, conn(40000)), ev).Snapshot(0)
		if s.Failures[0].Sight != nil {
			t.Errorf("%s: sight = %+v, want none", name, s.Failures[0].Sight)
		}
	}
}

// A refusal that comes before all sockets are read says so.
func TestSightBeforeAllSocketsAreRead(t *testing.T) {
	l := stream(event.PoisonWhileBound, begin(1), refusedConnect(2, 1), holds(1, conn(40000)), end(3))
	if l.Snapshot(0).Failures[0].Sight.Complete {
		t.Error("complete before the end of the first walk")
	}
	again := refusedConnect(4, 1)
	l.Apply(&again)
	if s := l.Snapshot(0).Failures[0].Sight; !s.Complete || s.InUse != 1 {
		t.Errorf("sight = %+v, want a complete one", s)
	}
}
