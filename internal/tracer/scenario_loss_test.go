package tracer

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// Scenarios 17 and 18: nobody reads while a ring of 64 KiB overflows, and
// refusals come meanwhile. What was lost is counted by kind, a walk heals the
// picture, and the refusals are in the totals.
func TestOverflowIsCountedAndHealed(t *testing.T) {
	s := setStage(t, func(o *Options) { o.NewsBytes = 64 << 10 })
	s.ns.SetRange(40000, 42999)
	_, l, addr := s.server("127.0.0.1:30000")
	l.Serve()
	client := s.actor("client")
	n, _ := client.ExhaustConnect(addr, 1500, true)
	want(s, "connections closed", n, 1500)
	n, _ = client.ExhaustConnect(addr, 50, false)
	want(s, "connections held", n, 50)
	client.Repeat(addr.String(), 3000)

	s.until("a loss", func(ev *event.Event) bool { return ev.Kind == event.KindLost })
	s.healed()
	s.settle()
	lost := map[string]uint64{}
	for _, ev := range s.kinds(event.KindLost) {
		if ev.Lost.Cause == event.LostNested {
			continue // see skipped
		}
		want(s, "cause", ev.Lost.Cause, event.LostRing)
		lost[ev.Lost.What] += ev.Lost.Count
	}
	for _, kind := range []event.Kind{event.KindAllocate, event.KindState, event.KindTimeWait} {
		if lost[kind.String()] == 0 {
			t.Errorf("no loss of kind %v among %v", kind, lost)
		}
	}
	s.verify()
	var refused uint64
	for _, f := range s.failures() {
		refused += f.Count
	}
	within(s, "refusals", refused, 3000-min(3000, s.skipped("pw_bind_x", "pw_bind4")), 3000)
	held := 0
	for _, lease := range s.leases() {
		if lease.Local.Port() >= 40000 && lease.Local.Port() < 43000 {
			wantOwner(s, &lease.Owner, client, "client")
			held++
		}
	}
	if held < 1000 {
		t.Errorf("%d leases of the client are left: too few to prove anything", held)
	}
}

// Scenario 23: packets that interrupt. What the kernel skipped is taken over by
// the second programs, or counted and healed; nothing is wrong in the end.
func TestPacketsThatInterrupt(t *testing.T) {
	s := setStage(t)
	s.ns.SpreadPackets()
	s.ns.SetRange(40000, 49999)
	_, l, addr := s.server("127.0.0.1:30000")
	l.Serve()
	client, other := s.actor("client"), s.actor("other")
	n, _ := client.ExhaustConnect(addr, 3000, true)
	want(s, "connections", n, 3000)
	held := other.Socket(tracertest.TCP4)
	want(s, "connect", held.Connect(addr), 0)
	held.Shutdown(unix.SHUT_WR)
	s.settle()
	if len(s.kinds(event.KindLost)) > 0 {
		s.healed()
		s.settle()
	}
	s.verify()
	var unowned uint64
	for _, l := range s.leases() {
		if l.Local.Port() >= 40000 && l.Local.Port() < 50000 && l.Owner.Confidence != event.ConfidenceExact {
			t.Logf("owner of %v: %+v", l.Local, l.Owner)
			want(s, "owner's kind where no hook saw the port given", l.Owner.Kind, event.OwnerUnknown)
			unowned++
		}
	}
	within(s, "leases without an owner", unowned, 0, s.skipped())
}

// TIME_WAITs that a late reset of the peer kills, while their memory becomes
// the next one's at once: each end is told, once. Those that the kernel kept from
// us (see verify) are told by the audit, and counted as such.
func TestKilledTimeWaitsAreToldOnce(t *testing.T) {
	s := setStage(t)
	s.ns.SetRange(40000, 42999)
	_, l, addr := s.server("127.0.0.1:30000")
	client := s.actor("client")
	const batch = 200
	var peers []*tracertest.Socket
	closeFirst := func() {
		peers = nil
		for range batch {
			c := client.Socket(tracertest.TCP4)
			want(s, "connect", c.Connect(addr), 0)
			peers = append(peers, l.Accept())
			c.CloseAcked()
		}
	}
	reset := func() {
		for _, peer := range peers {
			peer.Linger0()
			peer.Close()
		}
	}
	waiting := 0
	allWait := func(ev *event.Event) bool {
		if ev.Kind == event.KindTimeWait {
			waiting++
		}
		return waiting%batch == 0 && waiting > 0
	}
	closeFirst()
	s.until("the first batch to wait", allWait)
	reset() // nobody reads of it before the memory is the next batch's
	closeFirst()
	s.until("the second batch to wait", allWait)
	reset()
	s.settle()
	s.verify()
	ends := map[event.LeaseID]int{}
	for _, ev := range s.kinds(event.KindRelease) {
		ends[ev.Lease.ID]++
	}
	var late uint64
	for _, ev := range s.kinds(event.KindCorrection) {
		if ev.Correction == event.CorrectionGone {
			ends[ev.Lease.ID]++
			late++
		}
	}
	within(s, "ends that an audit found", late, 0, s.skipped()+s.tracer.Stats().Drift)
	told := 0
	for _, ev := range s.kinds(event.KindTimeWait) {
		want(s, "ends of a killed TIME_WAIT", ends[ev.Lease.ID], 1)
		told++
	}
	want(s, "TIME_WAITs", told, 2*batch)
}
