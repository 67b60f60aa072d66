package aggregate

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

// boundLease is a lease of a port that was asked for, if the origin is bind.
func boundLease(cookie uint64, born float64, port uint16, origin event.Origin, owner event.Owner) event.Lease {
	el := inState(tcp(cookie), event.StateListen)
	el.ID.Born, el.Origin, el.Owner, el.Remote = sec(born), origin, owner, netip.AddrPort{}
	el.Local = netip.AddrPortFrom(netip.IPv4Unspecified(), port)
	return el
}

// found is what a collection tells of a stream, a line for each binding.
func found(events ...event.Event) string {
	l, b, r := New(Options{}), NewBindings(), Record{}
	for i := range events {
		l.ApplyDescribed(&events[i], &r)
		b.Add(&r)
	}
	var lines []string
	for _, x := range b.All() {
		lines = append(lines, fmt.Sprintf("%d/%s by %s[%d] %s seen %d bound %d", x.Port, x.Protocol, x.Owner.Comm, x.Owner.ID.PID,
			x.Owner.Unit, x.Seen/sec(1), x.Bound/sec(1)))
	}
	return strings.Join(lines, "\n")
}

func TestBindingsAreOfPortsThatWereAskedFor(t *testing.T) {
	one, other := process(7), process(8)
	other.Comm = one.Comm // it was started again
	old := one
	old.Confidence = event.ConfidenceSnapshot
	udp := boundLease(9, 5, 53, event.OriginBind, one)
	udp.Protocol, udp.State = event.UDP, event.StateUnconnected
	for _, c := range []struct {
		name   string
		events []event.Event
		want   string
	}{
		{"bound", []event.Event{allocate(5, boundLease(1, 5, 8080, event.OriginBind, one))}, "8080/tcp by p7[7]  seen 5 bound 5"},
		{"udp", []event.Event{allocate(5, udp)}, "53/udp by p7[7]  seen 5 bound 5"},
		{"any port", []event.Event{allocate(5, boundLease(1, 5, 8080, event.OriginBind0, one))}, ""},
		{"unbound listener", []event.Event{allocate(5, boundLease(1, 5, 8080, event.OriginListen, one))}, ""},
		{"connection", []event.Event{allocate(5, tcp(1))}, ""},
		{
			"older than the stream",
			[]event.Event{begin(5), holds(5, boundLease(1, 5, 8080, event.OriginUnknown, old)), end(5)},
			"8080/tcp by p7[7]  seen 5 bound 0",
		},
		{
			"older connection of unknown origin",
			[]event.Event{begin(5), holds(5, inState(boundLease(1, 5, 8080, event.OriginUnknown, old), event.StateEstablished)), end(5)},
			"",
		},
		{
			"started again",
			[]event.Event{
				allocate(5, boundLease(1, 5, 8080, event.OriginBind, one)),
				allocate(9, boundLease(2, 9, 8080, event.OriginBind, other)),
			},
			"8080/tcp by p7[8]  seen 5 bound 9",
		},
		{
			"two programs",
			[]event.Event{
				allocate(5, boundLease(1, 5, 8080, event.OriginBind, one)),
				allocate(9, boundLease(2, 9, 8080, event.OriginBind, process(8))),
			},
			"8080/tcp by p7[7]  seen 5 bound 5\n8080/tcp by p8[8]  seen 9 bound 9",
		},
		{
			"walked again",
			[]event.Event{
				allocate(5, boundLease(1, 5, 8080, event.OriginBind, one)),
				begin(8), holds(8, boundLease(1, 5, 8080, event.OriginBind, one)), end(8),
			},
			"8080/tcp by p7[7]  seen 5 bound 5",
		},
		{
			"named later",
			[]event.Event{
				allocate(5, boundLease(1, 5, 8080, event.OriginBind, one)),
				{Kind: event.KindOwner, Time: sec(6), Process: &event.Process{Owner: one, Unit: "app.service"}},
			},
			"8080/tcp by p7[7] app.service seen 5 bound 5",
		},
	} {
		if got := found(c.events...); got != c.want {
			t.Errorf("%s: found\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}
