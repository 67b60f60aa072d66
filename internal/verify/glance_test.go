package verify_test

import (
	"testing"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer"
)

// glance compares what one look says of a connect pool with the ledger, which has
// watched all the time.
func (e *experiment) glance(p *aggregate.Pool) {
	e.Helper()
	snap := e.ledger.Snapshot(0)
	for i := range snap.Namespaces {
		if ns := &snap.Namespaces[i]; ns.NetNS == p.NetNS {
			got := glanceAt(e.T, ns.Limits, aggregate.ConnectTarget{Remote: p.Remote, Local: p.Local})
			if got.Headroom() != p.Headroom() || got.Poisoned != p.Poisoned || got.InUse != p.InUse || got.TimeWait != p.TimeWait {
				e.Errorf("one look says %s, the ledger %s", describe(&got), describe(p))
			}
			return
		}
	}
	e.Errorf("the ledger does not know namespace %d", p.NetNS)
}

// glanceAt is a connect pool as one look shows it.
func glanceAt(t *testing.T, limits *event.Limits, to aggregate.ConnectTarget) aggregate.Pool {
	t.Helper()
	l, err := tracer.OpenLooker(false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	meter := aggregate.NewConnectMeter(limits, "", []aggregate.ConnectTarget{to}, l.Reason() != "")
	if _, err := l.Look(t.Context(), func(s *event.Sighting) bool { meter.Add(s); return false }); err != nil {
		t.Fatal(err)
	}
	answer := meter.Answers()[0]
	if answer.AtMost && !answer.OddRange {
		t.Errorf("one look says at most: %s", l.Reason())
	}
	return answer.Pool
}
