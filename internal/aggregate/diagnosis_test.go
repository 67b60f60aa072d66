package aggregate

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

// roomy is a ledger with a range of a thousand ports, from 20000 on.
func roomy(events ...event.Event) *Ledger {
	start := event.Event{Kind: event.KindStart, Time: sec(1), Start: &event.Start{Poison: event.PoisonWhileBound}}
	settings := event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 20000, High: 20999}, Timestamps: 1}
	return ledgerOf(Options{}, append([]event.Event{start, limits(1, settings)}, events...)...)
}

// nth is the n-th connection of the crawler, born at a moment.
func nth(n int, born float64) event.Lease {
	el := conn(uint16(20000 + n))
	el.ID.Born = sec(born)
	return el
}

func at(t float64, el event.Lease) event.Event { return allocate(t, el) }

func closed(t float64, el event.Lease) event.Event {
	return event.Event{Kind: event.KindRelease, Time: sec(t), Lease: el, Cause: event.CauseClosed}
}

// culprit is the owner's entry in the answer at a moment.
func culprit(t *testing.T, l *Ledger, moment float64, pid uint32) *Culprit {
	t.Helper()
	b := l.Blame(sec(moment), Selection{})
	for i := range b.Culprits {
		if b.Culprits[i].Owner.ID.PID == pid {
			return &b.Culprits[i]
		}
	}
	t.Fatalf("p%d is no culprit of %d", pid, len(b.Culprits))
	return nil
}

// churned has so many connections that live, and so many that wait after a life.
func churned(live, waits int, life float64) (events []event.Event) {
	for i := range live + waits {
		events = append(events, at(10, nth(i, 10)))
	}
	for i := range waits {
		events = append(events, timeWait(10+life, waiting(nth(i, 10), 10+life+60)))
	}
	return events
}

// leaked has so many allocations without an end, a second after one that ended.
func leaked(n int) []event.Event {
	events := []event.Event{at(10, nth(0, 10)), closed(11, nth(0, 10))}
	for i := 1; i <= n; i++ {
		events = append(events, at(12, nth(i, 12)))
	}
	return events
}

// spread has so many requests in one second, and one a second before and after.
func spread(inPeak, others int) (events []event.Event) {
	for i := range others / 2 {
		events = append(events, at(float64(10+i), nth(i, float64(10+i))))
	}
	for i := range inPeak {
		moment := float64(10+others/2) + float64(i)/1000
		events = append(events, at(moment, nth(500+i, moment)))
	}
	for i := others / 2; i < others; i++ {
		events = append(events, at(float64(11+i), nth(i, float64(11+i))))
	}
	return events
}

// idled has so many connections, some of which have carried no data for a minute.
func idled(live, quiet int) (events []event.Event) {
	for i := range live {
		events = append(events, at(10, nth(i, 10)))
	}
	for i := range quiet {
		events = append(events, idle(71, nth(i, 10), 11))
	}
	return append(events, event.Event{Kind: event.KindIdle, Time: sec(71)})
}

func idle(t float64, el event.Lease, since float64) event.Event {
	return event.Event{Kind: event.KindIdle, Time: sec(t), Lease: event.Lease{ID: el.ID, NetNS: el.NetNS}, IdleSince: sec(since)}
}

// What nobody has looked at is no fact, and what was looked at is one with its age.
func TestIdleIsKnownOrAbsent(t *testing.T) {
	for _, tt := range []struct {
		events []event.Event
		want   []Fact
	}{
		{idled(4, 0)[:4], nil},
		{idled(4, 0), []Fact{{"idle", 0, "ports"}, {"idle_seen_seconds_ago", 4, "seconds"}}},
		{idled(4, 3), []Fact{{"idle", 3, "ports"}, {"idle_seen_seconds_ago", 4, "seconds"}}},
	} {
		var got []Fact
		for _, f := range culprit(t, roomy(tt.events...), 75, crawler).Evidence {
			if f.Name == "idle" || f.Name == "idle_seen_seconds_ago" {
				got = append(got, f)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestDiagnosesOnBothSidesOfTheirThresholds(t *testing.T) {
	early := inState(nth(1, 10), event.StateEstablished)
	early.Origin = event.OriginBind0
	unconnected := bound(1, "10.9.9.9:20001")
	unconnected.Origin = event.OriginBind0
	tests := []struct {
		name   string
		events []event.Event
		at     float64
		rule   Diagnosis
		want   bool
	}{
		{"70 % wait", churned(30, 70, 1), 12, Churn, true},
		{"69 % wait", churned(31, 69, 1), 12, Churn, false},
		{"a life of 59.9 s", churned(0, 10, 59.9), 70, Churn, true},
		{"a life of 60 s", churned(0, 10, 60), 70.1, Churn, false},
		{"ten more in 60 s", leaked(10), 71, Leak, true},
		{"ten more in 59.9 s", leaked(10), 70.9, Leak, false},
		{"nine more in 60 s", leaked(9), 71, Leak, false},
		{"one of ten more ended", append(leaked(11), closed(40, nth(3, 12))), 80, Leak, false},
		{"ten more after that one", append(leaked(11), closed(14, nth(3, 12)),
			at(15, nth(20, 15)), at(15, nth(21, 15)), at(15, nth(22, 15)), at(15, nth(23, 15)), at(15, nth(24, 15)),
			at(15, nth(25, 15)), at(15, nth(26, 15)), at(15, nth(27, 15)), at(15, nth(28, 15)), at(15, nth(29, 15))), 74, Leak, true},
		// 60 others and 14 in 61 s are 1.21 a second: eleven and a half times that.
		{"more than ten times the mean", spread(14, 60), 71, Burst, true},
		{"ten times the mean", spread(12, 60), 70, Burst, false},
		{"a burst of nine", spread(9, 2), 70, Burst, false},
		{"a burst of ten", spread(10, 2), 70, Burst, true},
		{"half of them idle", idled(10, 5), 72, Idle, true},
		{"less than half idle", idled(11, 5), 72, Idle, false},
		{"idle until data came", append(idled(10, 5), idle(72, nth(0, 10), 0)), 73, Idle, false},
		{"idle, and waits now", append(idled(10, 5), timeWait(72, waiting(nth(0, 10), 132))), 73, Idle, false},
		{"nobody looked", idled(10, 0)[:10], 72, Idle, false},
		{"bound before connect", []event.Event{at(10, early)}, 12, BindBeforeConnect, true},
		{"bound and not connected", []event.Event{at(10, unconnected)}, 12, BindBeforeConnect, false},
		{"a bound port in the range", []event.Event{at(10, nth(2, 10)), at(10, bound(1, "10.9.9.9:20001"))}, 12, Poisoning, true},
		{"a bound port outside", []event.Event{at(10, nth(2, 10)), at(10, bound(1, "10.9.9.9:19999"))}, 12, Poisoning, false},
		{"asked for by number", []event.Event{at(10, nth(2, 10)), at(10, bound(1, "10.9.9.9:20001"))}, 12, FixedPortInRange, true},
		{"given by bind(0)", []event.Event{at(10, nth(2, 10)), at(10, unconnected)}, 12, FixedPortInRange, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := culprit(t, roomy(tt.events...), tt.at, crawler)
			if got := slices.Contains(c.Diagnoses, tt.rule); got != tt.want {
				t.Errorf("%s = %t, want %t; diagnoses %v, evidence %v", tt.rule, got, tt.want, c.Diagnoses, c.Evidence)
			}
		})
	}
}

func TestEvidence(t *testing.T) {
	events := append(churned(2, 8, 2), event.Event{Kind: event.KindState, Time: sec(13), Lease: inState(nth(9, 10), event.StateCloseWait)})
	c := culprit(t, roomy(events...), 20, crawler)
	var got []string
	for _, f := range c.Evidence {
		got = append(got, fmt.Sprintf("%s %.1f %s", f.Name, f.Value, f.Unit))
	}
	want := []string{
		"time_wait_share 0.8 ", "life_seconds_p50 2.0 seconds", "live 2.0 ports", "close_wait 1.0 ports",
		"rising_seconds 8.0 seconds", "allocated_meanwhile 0.0 allocations", "peak_per_second 10.0 per second", "mean_per_second 1.0 per second",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
}

// What holds for a crowd of processes that nobody knows says nothing about one.
func TestTheUnknownOwnerIsNotDiagnosed(t *testing.T) {
	l := roomy(at(10, anonymous(bound(1, "10.9.9.9:20001"))), at(10, nth(5, 10)))
	b := l.Blame(sec(12), Selection{})
	for _, c := range b.Culprits {
		if c.Owner.ID.Kind == event.OwnerUnknown && len(c.Diagnoses) > 0 {
			t.Errorf("diagnoses of the unknown owner: %v", c.Diagnoses)
		}
	}
}

func TestLifeIsTheMedian(t *testing.T) {
	pt := part{lives: []time.Duration{4 * time.Second, time.Second, 2 * time.Second}}
	if got, _ := pt.lifeP50(); got != 2*time.Second {
		t.Errorf("median = %v, want 2 s", got)
	}
	if _, known := (&part{}).lifeP50(); known {
		t.Error("the life of nothing is known")
	}
}
