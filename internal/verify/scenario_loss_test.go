package verify_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer"
)

// Scenarios 17 and 18: nobody reads while a small ring overflows, and refusals
// come meanwhile. The picture says that it is not complete, then heals: every
// owner and every total is right, and nothing differs from the kernel.
func TestLossesHealInTheLedger(t *testing.T) {
	r := setScene(t, func(o *tracer.Options) { o.NewsBytes = 64 << 10 })
	r.ns.SetRange(40000, 42999)
	to := r.server(r.actor("server"), "127.0.0.1:30000", true)
	client := r.actor("client")
	n, _ := client.ExhaustConnect(to, 1500, true)
	want(r, "connections closed", n, 1500)
	n, _ = client.ExhaustConnect(to, 50, false)
	want(r, "connections held", n, 50)
	client.Repeat(to.String(), 3000)

	r.wait(t, "an incomplete picture", func(s *aggregate.Snapshot) bool { return !s.Complete })
	r.wait(t, "a complete picture", func(s *aggregate.Snapshot) bool { return s.Complete })
	r.settle()
	report := r.healed(t)
	want(r, "differences", len(report.Differences), 0)
	s := r.ledger.Snapshot(0)
	var lost uint64
	for _, loss := range s.Losses {
		if loss.Cause == event.LostRing {
			lost += loss.Count
		}
	}
	if lost == 0 || s.Counters.LostEvents < lost {
		t.Errorf("%d lost in the ring, %d in all: %+v", lost, s.Counters.LostEvents, s.Losses)
	}
	var refused uint64
	for _, f := range r.failures() {
		want(r, "who was refused", int(f.Owner.ID.PID), client.PID)
		refused += f.Count
	}
	skipped := min(3000, r.skipped("pw_bind_x", "pw_bind4"))
	want(r, "refusals counted, or known to be lost", refused <= 3000 && refused+skipped >= 3000, true)
	p := r.connects(to)
	want(r, "whose the pool is", r.by(p, client).Ports, p.InUse)
	want(r, "connections and TIME_WAITs", p.InUse-p.TimeWait, 50)
}

// Scenario 23: packets that interrupt. What the kernel skipped is taken over, or
// counted and healed: the pool is right, and nothing differs from the kernel.
func TestInterruptedPicture(t *testing.T) {
	r := setScene(t)
	r.ns.SpreadPackets()
	r.ns.SetRange(40000, 49999)
	to := r.server(r.actor("server"), "127.0.0.1:30000", true)
	client, other := r.actor("client"), r.actor("other")
	n, _ := client.ExhaustConnect(to, 3000, true)
	want(r, "connections", n, 3000)
	held := r.connect(other, to)
	held.Shutdown(unix.SHUT_WR)
	r.settle()
	r.wait(t, "a complete picture", func(s *aggregate.Snapshot) bool { return s.Complete })
	report := r.healed(t)
	want(r, "differences", len(report.Differences), 0)
	p := r.connects(to)
	want(r, "other's ports", r.by(p, other).Ports, 1)
	unowned := p.InUse - r.by(p, client).Ports - 1
	if skipped := r.skipped(); uint64(unowned) > skipped {
		t.Errorf("%d ports without an owner, and %d skipped programs", unowned, skipped)
	}
}
