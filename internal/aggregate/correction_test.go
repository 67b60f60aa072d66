package aggregate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

func TestCorrections(t *testing.T) {
	tests := []struct {
		name     string
		events   []event.Event
		want     string
		complete bool
	}{
		{"nothing told", nil, "", false},
		{"an empty resync", []event.Event{begin(10), end(11)}, "", true},
		{"not before the end", []event.Event{begin(10), holds(5, tcp(1))}, "p100 ESTABLISHED=1\n", false},
		{"a row inserts", []event.Event{begin(10), holds(5, tcp(1)), end(11)}, "p100 ESTABLISHED=1\n", true},
		{
			"event after the row's time, told before it",
			[]event.Event{
				allocate(1, inState(tcp(1), event.StateSynSent)), begin(10), state(10.5, 1, event.StateEstablished),
				holds(10.2, inState(tcp(1), event.StateSynSent)), end(11),
			},
			"p100 ESTABLISHED=1\n", true,
		},
		{
			"event before the row's time, told after it",
			[]event.Event{
				begin(10), holds(10.5, tcp(1)), state(10.2, 1, event.StateSynSent), end(11),
			},
			"p100 ESTABLISHED=1\n", true,
		},
		{
			"a row beats an event before it",
			[]event.Event{
				allocate(1, inState(tcp(1), event.StateSynSent)), begin(10), holds(9, tcp(1)), end(11),
			},
			"p100 ESTABLISHED=1\n", true,
		},
		{
			"a row behind a tombstone",
			[]event.Event{
				allocate(1, tcp(1)), begin(10), release(10.5, 1, event.CauseClosed), holds(10.2, tcp(1)), end(11),
			},
			"p100\n", true,
		},
		{
			"a row behind the tombstone of a lease that was not known",
			[]event.Event{begin(10), release(10.5, 1, event.CauseClosed), holds(5, tcp(1)), end(11)},
			"", true,
		},
		{
			"tombstones end with the resync",
			[]event.Event{
				begin(10), release(10.5, 1, event.CauseClosed), end(11), begin(20), holds(19, tcp(1)), end(21),
			},
			"p100 ESTABLISHED=1\n", true,
		},
		{
			"no tombstone without a resync",
			[]event.Event{release(9, 1, event.CauseClosed), begin(10), holds(9.5, tcp(1)), end(11)},
			"p100 ESTABLISHED=1\n", true,
		},
		{
			"old, not told: lost",
			[]event.Event{allocate(1, tcp(1)), begin(10), end(11)},
			"p100\n", true,
		},
		{
			"old, told by an older row: kept",
			[]event.Event{allocate(3, tcp(1)), begin(10), holds(2, tcp(1)), end(11)},
			"p100 ESTABLISHED=1\n", true,
		},
		{
			"young, not told: kept",
			[]event.Event{begin(10), allocate(10.1, tcp(1)), end(11)},
			"p100 ESTABLISHED=1\n", true,
		},
		{
			"old, not told, but with an event since: kept",
			[]event.Event{allocate(1, tcp(1)), begin(10), state(10.1, 1, event.StateCloseWait), end(11)},
			"p100 CLOSE_WAIT=1\n", true,
		},
		{
			"told in the resync before only",
			[]event.Event{begin(10), holds(5, tcp(1)), end(11), begin(20), end(21)},
			"p100\n", true,
		},
		{
			"a begin starts the open resync anew",
			[]event.Event{begin(10), holds(5, tcp(1)), begin(20), end(21)},
			"p100\n", true,
		},
		{
			"gone outside a resync",
			[]event.Event{allocate(1, tcp(1)), gone(2, tcp(1))},
			"p100\n", false,
		},
		{
			"gone, but an event spoke since",
			[]event.Event{allocate(3, tcp(1)), gone(2, tcp(1))},
			"p100 ESTABLISHED=1\n", false,
		},
		{
			"gone in a resync buries",
			[]event.Event{allocate(1, tcp(1)), begin(10), gone(10.1, tcp(1)), holds(5, tcp(1)), end(11)},
			"p100\n", true,
		},
		{
			"holds outside a resync",
			[]event.Event{holds(2, tcp(1))},
			"p100 ESTABLISHED=1\n", false,
		},
		{
			"a row finds an owner",
			[]event.Event{allocate(1, anonymous(tcp(1))), holds(2, tcp(1))},
			"p100 ESTABLISHED=1\nunknown\n", false,
		},
		{"an end without a begin", []event.Event{allocate(1, tcp(1)), end(9)}, "p100 ESTABLISHED=1\n", false},
		{"lost", []event.Event{begin(10), end(11), lost(12, 5)}, "", false},
		{"lost while a resync is open", []event.Event{begin(10), lost(10.5, 5), end(11)}, "", false},
		{"healed", []event.Event{begin(10), lost(10.5, 5), end(11), begin(20), end(21)}, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := ledgerOf(Options{}, tt.events...).Snapshot(0)
			if diff := cmp.Diff(tt.want, owners(s)); diff != "" {
				t.Errorf("owners (-want +got):\n%s", diff)
			}
			if s.Complete != tt.complete {
				t.Errorf("complete = %t, want %t", s.Complete, tt.complete)
			}
		})
	}
}

func TestCorrectionsAreCounted(t *testing.T) {
	s := ledgerOf(Options{},
		allocate(1, inState(tcp(1), event.StateSynSent)), allocate(1, tcp(2)),
		begin(10), holds(9, tcp(1)), holds(9, tcp(3)), end(11)).Snapshot(0)
	if s.Counters.Inserted != 1 || s.Counters.Revised != 1 || s.Counters.Releases[event.CauseLost] != 1 {
		t.Errorf("counters = %+v, want one inserted, one revised, one lost", s.Counters)
	}
	if s.Counters.Allocations != 2 {
		t.Errorf("allocations = %d, want 2: a correction is none", s.Counters.Allocations)
	}
}

func TestLossesByKind(t *testing.T) {
	other := event.Event{Kind: event.KindLost, Time: sec(3), Lost: &event.Lost{
		What: "lease", Cause: event.LostMap, Count: 2, Errno: event.ENOMEM,
	}}
	s := ledgerOf(Options{}, lost(1, 5), other, lost(4, 1)).Snapshot(0)
	want := []Loss{
		{What: "news", Cause: event.LostRing, Count: 6},
		{What: "lease", Cause: event.LostMap, Errno: event.ENOMEM, Count: 2},
	}
	if diff := cmp.Diff(want, s.Losses); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
	if s.Counters.LostEvents != 8 {
		t.Errorf("lost events = %d, want 8", s.Counters.LostEvents)
	}
}
