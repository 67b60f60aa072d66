package aggregate

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

// A refusal that is told after the ports of its moment have come back names who
// held them then, and nobody who took one since.
func TestSightIsOfTheRefusalsMoment(t *testing.T) {
	full := func(n int) (events []event.Event) {
		for i := range n {
			events = append(events, at(2, nth(i, 2)))
		}
		return events
	}
	gone := func(t float64, from, to int) (events []event.Event) {
		for i := from; i < to; i++ {
			events = append(events, closed(t, nth(i, 2)))
		}
		return events
	}
	late := refusedConnect(3, 1) // and told after 3
	late.Time = sec(3.05)
	few := limits(1, event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 20000, High: 20004}, Timestamps: 1})
	heir := owned(nth(0, 3.02), 777)
	heir.ID.Cookie = 9999
	tests := []struct {
		name                      string
		limits                    event.Event
		before                    []event.Event
		inUse, timeWait, headroom int
		holders                   string
	}{
		{"nothing came back", few, full(5), 5, 0, 0, "p100 5/0/5"},
		{"all came back", few, append(full(5), gone(3.01, 0, 5)...), 5, 0, 0, "p100 5/0/5"},
		{"two came back", few, append(full(5), gone(3.01, 0, 2)...), 5, 0, 0, "p100 5/0/5"},
		{"some had come back before it", few, append(full(5), gone(2.9, 0, 2)...), 3, 0, 2, "p100 3/0/3"},
		{"one that came back was taken again", few, slices.Concat(full(5), gone(3.01, 0, 5), []event.Event{at(3.02, heir)}), 5, 0, 0, "p100 5/0/5"},
		{
			"a TIME_WAIT from before it, and one from after", few,
			slices.Concat(full(5), []event.Event{timeWait(2.5, waiting(nth(0, 2), 62)), timeWait(3.005, waiting(nth(1, 2), 63))}, gone(3.01, 0, 5)),
			5, 1, 0, "p100 5/1/5",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := event.Event{Kind: event.KindStart, Time: sec(1), Start: &event.Start{Poison: event.PoisonWhileBound}}
			s := ledgerOf(Options{}, slices.Concat([]event.Event{start, tt.limits}, tt.before, []event.Event{late})...).Snapshot(0)
			sight := s.Failures[0].Sight
			got := []any{sight.InUse, sight.TimeWait, sight.Headroom, holders(sight.Holders)}
			if diff := cmp.Diff([]any{tt.inUse, tt.timeWait, tt.headroom, tt.holders}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
