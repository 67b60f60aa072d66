package aggregate

import (
	"fmt"
	"slices"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

// What ARCHITECTURE.md says of interleavings, each with every order in which the
// stream may bring the events: those of one socket stay in order, between two
// sockets, and between a socket and a walk, nothing is sure.

// merges yields every way to merge two lists that keeps the order of each.
func merges(a, b []event.Event, yield func([]event.Event)) {
	var step func(done, a, b []event.Event)
	step = func(done, a, b []event.Event) {
		if len(a) == 0 || len(b) == 0 {
			yield(slices.Concat(done, a, b))
			return
		}
		step(append(slices.Clip(done), a[0]), a[1:], b)
		step(append(slices.Clip(done), b[0]), a, b[1:])
	}
	step(nil, a, b)
}

// picture is who holds what, and what that makes of the pool.
func picture(s *Snapshot) string {
	text := ""
	for i := range s.Owners {
		for state, n := range s.Owners[i].States.All {
			text += fmt.Sprintf("%s %s=%d\n", ownerName(s.Owners[i].Info), state, n)
		}
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		text += fmt.Sprintf("%s>%s %s:", p.Request, p.Remote, sums(p))
		for _, o := range p.Owners {
			if o.Ports > 0 {
				text += fmt.Sprintf(" %s %d", ownerName(o.Owner), o.Ports)
			}
		}
		text += "\n"
	}
	return text
}

func TestInterleavings(t *testing.T) {
	first, second := conn(40000), owned(towards(conn(40000), "10.0.0.5:443"), victim)
	changed := func(at float64, el event.Lease, s event.State) event.Event {
		return event.Event{Kind: event.KindState, Time: sec(at), Lease: event.Lease{ID: el.ID, NetNS: hostNS, State: s}}
	}
	ended := func(at float64, el event.Lease, c event.Cause) event.Event {
		return event.Event{Kind: event.KindRelease, Time: sec(at), Lease: event.Lease{ID: el.ID, NetNS: hostNS}, Cause: c}
	}
	whole := []event.Event{allocate(1, inState(first, event.StateSynSent)), changed(1.1, first, event.StateEstablished)}
	one := "connect>10.0.0.5:443 capacity 9 poisoned 0 in_use 1 time_wait %d reusable 0 headroom 8: %s 1\n"
	none := "connect>10.0.0.5:443 capacity 9 poisoned 0 in_use 0 time_wait 0 reusable 0 headroom 9:\n"
	tests := []struct {
		name   string
		before []event.Event
		a, b   []event.Event
		after  []event.Event
		want   string
	}{
		{
			name: "the end of connect() and the SYN-ACK, on two CPUs: whoever tells the allocation has the state",
			a:    []event.Event{allocate(1.1, first)}, b: []event.Event{changed(1.1, first, event.StateEstablished)},
			want: "p100 ESTABLISHED=1\n" + fmt.Sprintf(one, 0, "p100"),
		},
		{
			name: "a TIME_WAIT is taken over: its end and the successor's life",
			a:    append(slices.Clip(whole), timeWait(2, waiting(first, 62)), ended(3, first, event.CauseReused)),
			b:    []event.Event{allocate(3, inState(second, event.StateSynSent)), changed(3.1, second, event.StateEstablished)},
			want: "p200 ESTABLISHED=1\n" + fmt.Sprintf(one, 0, "p200"),
		},
		{
			name: "a port given back and given again at once",
			a:    append(slices.Clip(whole), ended(2, first, event.CauseReset)),
			b:    []event.Event{allocate(2, second), timeWait(2.1, waiting(second, 62))},
			want: "p200 TIME_WAIT=1\n" + fmt.Sprintf(one, 1, "p200"),
		},
		{
			name:   "a walk's row and a socket's whole life within the walk",
			before: []event.Event{begin(0.9)},
			a:      append(slices.Clip(whole), timeWait(2, waiting(first, 62)), ended(3, first, event.CauseKilled)),
			b:      []event.Event{holds(1.05, inState(first, event.StateSynSent))},
			after:  []event.Event{end(4)},
			want:   none,
		},
		{
			name:   "a walk's row that knows no owner, and the events that do",
			before: []event.Event{begin(0.9)},
			a:      whole,
			b:      []event.Event{holds(1.05, anonymous(inState(first, event.StateSynSent)))},
			after:  []event.Event{end(4)},
			want:   "p100 ESTABLISHED=1\n" + fmt.Sprintf(one, 0, "p100"),
		},
		{
			name:   "an audit misses a socket that changes its table, and the event of the change",
			before: whole,
			a:      []event.Event{timeWait(2, waiting(first, 62))},
			b:      []event.Event{gone(1.5, first)},
			after:  []event.Event{timeWait(2.2, waiting(first, 62))},
			want:   "p100 TIME_WAIT=1\n" + fmt.Sprintf(one, 1, "p100"),
		},
		{
			name:   "two leases with one cookie: the one that waits ends while the live one moves on",
			before: append(slices.Clip(whole), timeWait(2, waiting(first, 62))),
			a:      []event.Event{ended(62, first, event.CauseExpired)},
			b:      []event.Event{allocate(3, again(first)), changed(3.1, again(first), event.StateCloseWait)},
			want:   "p100 CLOSE_WAIT=1\n" + fmt.Sprintf(one, 0, "p100"),
		},
		{
			name: "the reader is told of an end that it never saw begin, and of the port's next owner",
			a:    []event.Event{ended(2, first, event.CauseClosed)}, b: []event.Event{allocate(2, second)},
			want: "p200 ESTABLISHED=1\n" + fmt.Sprintf(one, 0, "p200"),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, rule := range []event.Poison{event.PoisonUntilEmpty, event.PoisonWhileBound} {
				merges(tt.a, tt.b, func(merged []event.Event) {
					s := stream(rule, slices.Concat(tt.before, merged, tt.after)...).Snapshot(0)
					if got := picture(s); got != tt.want {
						t.Errorf("%v, order %s:\n%swant\n%s", rule, order(merged), got, tt.want)
					}
				})
			}
		})
	}
}

// again is a later lease of the same socket, with another port of its own.
func again(el event.Lease) event.Lease {
	el = towards(el, "10.0.0.5:443")
	el.Local = conn(40003).Local
	return el
}

func order(events []event.Event) string {
	text := ""
	for i := range events {
		text += fmt.Sprintf("%v of %v, ", events[i].Kind, events[i].Lease.ID)
	}
	return text
}
