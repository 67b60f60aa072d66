package aggregate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

func TestLeases(t *testing.T) {
	second := tcp(1)
	second.ID.Born = 2
	udp := tcp(3)
	udp.Protocol, udp.State = event.UDP, event.StateUnconnected
	kernel := tcp(4)
	kernel.Owner = event.Owner{Kind: event.OwnerKernel}

	tests := []struct {
		name   string
		events []event.Event
		want   string
		causes string
	}{
		{"allocate", []event.Event{allocate(1, tcp(1))}, "p100 ESTABLISHED=1\n", ""},
		{
			"allocate twice is one lease with the later state",
			[]event.Event{allocate(1, inState(tcp(1), event.StateSynSent)), allocate(2, tcp(1))},
			"p100 ESTABLISHED=1\n", "",
		},
		{
			"allocate again under a better known owner",
			[]event.Event{allocate(1, anonymous(tcp(1))), allocate(2, tcp(1))},
			"p100 ESTABLISHED=1\nunknown\n", "",
		},
		{
			"allocate again without an owner keeps the owner",
			[]event.Event{allocate(1, tcp(1)), allocate(2, anonymous(tcp(1)))},
			"p100 ESTABLISHED=1\n", "",
		},
		{
			"state",
			[]event.Event{allocate(1, inState(tcp(1), event.StateSynSent)), state(2, 1, event.StateEstablished)},
			"p100 ESTABLISHED=1\n", "",
		},
		{
			"state that is older than what is known",
			[]event.Event{allocate(2, tcp(1)), state(1, 1, event.StateSynSent)},
			"p100 ESTABLISHED=1\n", "",
		},
		{"state of an unknown lease", []event.Event{state(2, 1, event.StateEstablished)}, "", ""},
		{
			"time_wait",
			[]event.Event{allocate(1, tcp(1)), timeWait(2, waiting(tcp(1), 62))},
			"p100 TIME_WAIT=1\n", "",
		},
		{
			"time_wait without an owner keeps the owner",
			[]event.Event{allocate(1, tcp(1)), timeWait(2, waiting(anonymous(tcp(1)), 62))},
			"p100 TIME_WAIT=1\n", "",
		},
		{"time_wait of an unknown lease", []event.Event{timeWait(2, waiting(tcp(1), 62))}, "p100 TIME_WAIT=1\n", ""},
		{
			"release",
			[]event.Event{allocate(1, tcp(1)), release(2, 1, event.CauseClosed)},
			"p100\n", "closed=1",
		},
		{"release of an unknown lease", []event.Event{release(2, 1, event.CauseClosed)}, "", ""},
		{
			"release twice counts once",
			[]event.Event{allocate(1, tcp(1)), release(2, 1, event.CauseReset), release(3, 1, event.CauseClosed)},
			"p100\n", "reset=1",
		},
		{
			"reused: one ends, the other begins",
			[]event.Event{
				timeWait(1, waiting(tcp(1), 62)), release(2, 1, event.CauseReused), allocate(2, owned(tcp(2), victim)),
			},
			"p200 ESTABLISHED=1\np100\n", "reused=1",
		},
		{
			"two leases of one cookie",
			[]event.Event{allocate(1, tcp(1)), timeWait(2, waiting(tcp(1), 62)), allocate(3, second)},
			"p100 ESTABLISHED=1 TIME_WAIT=1\n", "",
		},
		{
			"two leases of one cookie, the first ends",
			[]event.Event{
				allocate(1, tcp(1)), timeWait(2, waiting(tcp(1), 62)), allocate(3, second),
				release(62, 1, event.CauseExpired),
			},
			"p100 ESTABLISHED=1\n", "expired=1",
		},
		{
			"most ports first, udp and kernel apart",
			[]event.Event{
				allocate(1, udp), allocate(1, kernel), allocate(1, owned(tcp(5), victim)), allocate(1, owned(tcp(6), victim)),
			},
			"p200 ESTABLISHED=2\np100 UNCONNECTED=1\nkernel ESTABLISHED=1\n", "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := ledgerOf(Options{}, tt.events...).Snapshot(0)
			if diff := cmp.Diff(tt.want, owners(s)); diff != "" {
				t.Errorf("owners (-want +got):\n%s", diff)
			}
			if got := causes(s); got != tt.causes {
				t.Errorf("causes = %q, want %q", got, tt.causes)
			}
		})
	}
}

func TestUnknownLeasesAreCounted(t *testing.T) {
	s := ledgerOf(Options{}, state(1, 9, event.StateEstablished), release(2, 9, event.CauseClosed)).Snapshot(0)
	if s.Counters.UnknownStates != 1 || s.Counters.UnknownReleases != 1 {
		t.Errorf("counters = %+v, want one unknown state and release", s.Counters)
	}
}

func TestStateMovesThePort(t *testing.T) {
	ev := state(2, 1, event.StateEstablished)
	ev.Lease.Local = tcp(7).Local
	s := ledgerOf(Options{}, allocate(1, tcp(1)), allocate(1, tcp(2)), ev).Snapshot(0)
	if got := s.Namespaces[0].TCP.DistinctPorts; got != 2 {
		t.Errorf("distinct ports = %d, want 2", got)
	}
}

func TestStartAnchorsTheClock(t *testing.T) {
	start := event.Event{Kind: event.KindStart, Time: sec(100), Start: &event.Start{
		Host: "prod-17", Mode: event.ModeTracepoint, WallNano: 1_700_000_000_000_000_000,
	}}
	s := ledgerOf(Options{}, start, tick(101)).Snapshot(0)
	wall, ok := s.Clock.Wall(s.At)
	if !ok || wall.Unix() != 1_700_000_001 {
		t.Errorf("wall = %v, %t, want Unix 1700000001", wall, ok)
	}
	if s.Start.Host != "prod-17" || s.Counters.Events != 1 {
		t.Errorf("start = %+v, events %d", s.Start, s.Counters.Events)
	}
	if _, ok := (Clock{}).Wall(sec(1)); ok {
		t.Error("a clock without an anchor tells the time")
	}
}

func TestExitedOwnerIsRemembered(t *testing.T) {
	exit := told(2, event.Process{Owner: process(crawler), Exited: true, Unit: "app.service"})
	base := []event.Event{allocate(1, tcp(1)), exit, release(3, 1, event.CauseClosed)}

	s := ledgerOf(Options{}, append(base, tick(3+599))...).Snapshot(0)
	if len(s.Owners) != 1 || !s.Owners[0].Info.Exited || s.Owners[0].Info.Unit != "app.service" {
		t.Fatalf("owners after 599 s = %+v, want the exited one", s.Owners)
	}
	s = ledgerOf(Options{}, append(base, tick(3+611))...).Snapshot(0)
	if len(s.Owners) != 0 {
		t.Errorf("owners after 611 s = %d, want none", len(s.Owners))
	}
	s = ledgerOf(Options{}, allocate(1, tcp(1)), exit, tick(5000)).Snapshot(0)
	if len(s.Owners) != 1 {
		t.Errorf("owners with a lease = %d, want 1", len(s.Owners))
	}
}

func TestPublishedOwnerNeverChanges(t *testing.T) {
	l := ledgerOf(Options{}, allocate(1, tcp(1)))
	before := l.Snapshot(0)
	ev := told(2, event.Process{Owner: process(crawler), Exited: true})
	l.Apply(&ev)
	if before.Owners[0].Info.Exited {
		t.Error("a snapshot changed after it was taken")
	}
	if !l.Snapshot(0).Owners[0].Info.Exited {
		t.Error("the next snapshot does not know of the exit")
	}
}

func TestCachedSnapshotForgetsToo(t *testing.T) {
	l := ledgerOf(Options{}, allocate(1, tcp(1)), release(2, 1, event.CauseClosed))
	if got := len(l.Snapshot(sec(100)).Owners); got != 1 {
		t.Fatalf("owners = %d, want 1", got)
	}
	later := tick(700)
	l.Apply(&later)
	if got := len(l.Snapshot(0).Owners); got != 0 {
		t.Errorf("owners after the retention = %d, want none, as without the first snapshot", got)
	}
}
