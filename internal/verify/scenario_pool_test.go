package verify_test

import (
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// Scenario 1: a pool full of TIME_WAIT names who left it, though that process is
// gone; another destination has its whole headroom.
func TestFullPoolNamesItsCulprit(t *testing.T) {
	r := setScene(t)
	host := r.actor("server")
	to, other := r.server(host, "127.0.0.1:30000", true), r.server(host, "127.0.0.1:30001", false)
	culprit, victim := r.actor("culprit"), r.actor("victim")
	n, errno := culprit.ExhaustConnect(to, 1000, true)
	want(r, "connections", n, 100)
	want(r, "errno", errno, syscall.EADDRNOTAVAIL)
	culprit.Exit()
	want(r, "victim", victim.Socket(tracertest.TCP4).Connect(to), syscall.EADDRNOTAVAIL)
	r.connect(victim, other)
	r.settle()

	p := r.connects(to)
	want(r, "full pool", countsOf(p), counts{capacity: 100, inUse: 100, timeWait: 100})
	want(r, "lowest headroom", p.HeadroomLow, 0)
	want(r, "cliff", p.Cliff, aggregate.CliffPassed)
	want(r, "level", p.Level(), "critical")
	want(r, "attempts", p.Minute.Attempts(), 102)
	want(r, "most ports", p.Owners[0], aggregate.PoolOwner{Owner: p.Owners[0].Owner, Ports: 100, TimeWait: 100, Allocations: 100, Refusals: 1})
	want(r, "culprit", int(p.Owners[0].Owner.ID.PID), culprit.PID)
	want(r, "its name", p.Owners[0].Owner.Comm.String(), "culprit")
	want(r, "confidence", p.Owners[0].Owner.Confidence, event.ConfidenceExact)
	want(r, "victim's part", r.by(p, victim), aggregate.PoolOwner{Owner: p.Owners[1].Owner, Refusals: 1})
	r.refused(victim, event.OperationConnect, "127.0.0.1:0", event.EADDRNOTAVAIL, event.ReasonPoolExhausted)
	want(r, "towards", r.failures()[0].Remote, to)
	want(r, "another destination", countsOf(r.connects(other)), counts{capacity: 100, inUse: 1, headroom: 99})
	want(r, "losses but runs that were skipped, which are counted", r.ledger.Snapshot(0).Counters.LostEvents, r.skipped())
	r.wait(t, "the culprit's exit", func(*aggregate.Snapshot) bool { return r.by(r.connects(to), culprit).Owner.Exited })
	n, _ = victim.ExhaustConnect(other, 1000, false)
	want(r, "further connections elsewhere", n, 99)
}

// Scenario 5: bound ports are lost for every destination. When the binder has
// closed and connections remain on them, the kernel's rule decides; what the
// pools say is what the kernel grants.
func TestPoisonedPorts(t *testing.T) {
	r := setScene(t)
	host := r.actor("server")
	to, other := r.server(host, "127.0.0.1:30000", false), r.server(host, "127.0.0.1:30001", false)
	r.ns.SetRange(40000, 40049)
	holder, binder, prober := r.actor("holder"), r.actor("binder"), r.actor("prober")
	var held []*tracertest.Socket
	for range 50 {
		held = append(held, r.connect(holder, to))
	}
	r.ns.SetRange(40000, 40099)
	for port := uint16(40000); port < 40050; port++ {
		addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), port)
		want(r, "bind", binder.Socket(tracertest.TCP4).Bind(addr.String()), 0)
	}
	r.connect(prober, other)
	r.settle()
	want(r, "pool, bound", countsOf(r.connects(to)), counts{capacity: 50, poisoned: 50, headroom: 50})
	want(r, "other pool, bound", countsOf(r.connects(other)), counts{capacity: 50, poisoned: 50, inUse: 1, headroom: 49})
	poisoners := r.leases(func(el *event.Lease) bool { return el.Owner.Comm.String() == "binder" })
	want(r, "ports of the poisoner", len(poisoners), 50)

	binder.Exit()
	r.settle()
	lost := r.ledger.Snapshot(0).Start.Poison == event.PoisonUntilEmpty
	first, second := counts{capacity: 100, inUse: 50, headroom: 50}, counts{capacity: 100, inUse: 1, headroom: 99}
	if lost {
		first, second = counts{capacity: 50, poisoned: 50, headroom: 50}, counts{capacity: 50, poisoned: 50, inUse: 1, headroom: 49}
	}
	want(r, "pool, closed", countsOf(r.connects(to)), first)
	want(r, "other pool, closed", countsOf(r.connects(other)), second)
	n, _ := prober.ExhaustConnect(other, 1000, false)
	want(r, "what the kernel grants", n, second.headroom)
	if !lost {
		return
	}
	for _, c := range held {
		reset(c)
	}
	r.settle()
	want(r, "other pool, empty ports", countsOf(r.connects(other)), counts{capacity: 100, inUse: 50, headroom: 50})
}

// Scenario 6: past the cliff from the moment at which no port of the preferred
// parity remains, and before it again when one has come back.
func TestCliff(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	client := r.actor("client")
	n, _ := client.ExhaustConnect(to, 49, false)
	want(r, "connections", n, 49)
	r.settle()
	want(r, "one preferred port left", r.connects(to).Cliff, aggregate.CliffAhead)
	last := r.connect(client, to)
	want(r, "parity of the last preferred port", last.Local().Port()%2, 0)
	r.settle()
	want(r, "none left", r.connects(to).Cliff, aggregate.CliffPassed)
	beyond := r.connect(client, to)
	want(r, "parity of the next", beyond.Local().Port()%2, 1)
	r.settle()
	want(r, "first port of the other parity", r.connects(to).Cliff, aggregate.CliffPassed)
	want(r, "level", r.connects(to).Level(), "warning")
	reset(beyond)
	r.settle()
	want(r, "that one released", r.connects(to).Cliff, aggregate.CliffPassed)
	reset(last)
	r.settle()
	want(r, "a preferred one released", r.connects(to).Cliff, aggregate.CliffAhead)
}

// Scenario 7: a pool whose tuples all wait and may be taken over is empty for
// connect() and full for bind(0); the next process takes each over, once.
func TestReusablePool(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", true)
	first, second := r.actor("first"), r.actor("second")
	asked := second.Socket(tracertest.TCP4) // once, so that the pool of bind(0) is known
	want(r, "bind(0)", asked.Bind("127.0.0.1:0"), 0)
	asked.Close()
	for range 100 {
		c := r.connect(first, to)
		c.Shutdown(unix.SHUT_WR)
		c.WaitEOF() // so that a TIME_WAIT is born as one
		c.Close()
	}
	r.ns.Sysctl("net.ipv4.tcp_tw_reuse", "1")
	r.settle()
	r.wait(t, "100 reusable TIME_WAITs", func(*aggregate.Snapshot) bool { return r.connects(to).Reusable == 100 })
	want(r, "for connect()", countsOf(r.connects(to)), counts{capacity: 100, inUse: 100, timeWait: 100, reusable: 100, headroom: 100})
	want(r, "for bind(0)", countsOf(r.binds("127.0.0.1")), counts{capacity: 100, inUse: 100, timeWait: 100})
	want(r, "first's part", r.by(r.binds("127.0.0.1"), first).TimeWait, 100)

	n, errno := second.ExhaustConnect(to, 1000, false)
	want(r, "connections", n, 100)
	want(r, "errno", errno, syscall.EADDRNOTAVAIL)
	r.settle()
	p := r.connects(to)
	want(r, "taken over", countsOf(p), counts{capacity: 100, inUse: 100})
	want(r, "second's ports", r.by(p, second).Ports, 100)
	want(r, "first's ports", r.by(p, first).Ports, 0)
	want(r, "leases that ended so", r.ledger.Snapshot(0).Counters.Releases[event.CauseReused], 100)
	want(r, "the kernel took no port twice", len(r.leases(func(el *event.Lease) bool { return el.Remote == to })), 100)
}

// Scenario 8: beyond tcp_max_tw_buckets nothing waits, and nothing is in use.
func TestOverflowLeavesHeadroom(t *testing.T) {
	r := setScene(t)
	r.ns.Sysctl("net.ipv4.tcp_max_tw_buckets", "10")
	to := r.server(r.actor("server"), "127.0.0.1:30000", true)
	client := r.actor("client")
	n, _ := client.ExhaustConnect(to, 50, true)
	want(r, "connections", n, 50)
	r.settle()
	want(r, "pool", countsOf(r.connects(to)), counts{capacity: 100, inUse: 10, timeWait: 10, headroom: 90})
	cause := event.CauseOverflow
	if r.ledger.Mode() != event.ModeFull {
		cause = event.CauseClosed
		r.cannotKnow("that a TIME_WAIT is missing for want of room")
	}
	want(r, "released at once", r.ledger.Snapshot(0).Counters.Releases[cause], 40)
}

// Scenario 9: a reset leaves nothing in use.
func TestResetLeavesHeadroom(t *testing.T) {
	r := setScene(t)
	l := r.actor("server").Socket(tracertest.TCP4)
	want(r, "bind", l.Bind("127.0.0.1:30000"), 0)
	want(r, "listen", l.Listen(8), 0)
	to, client := l.Local(), r.actor("client")
	ours, theirs := r.connect(client, to), r.connect(client, to)
	l.Accept()
	peer := l.Accept()
	r.settle()
	want(r, "open", countsOf(r.connects(to)), counts{capacity: 100, inUse: 2, headroom: 98})
	reset(ours)
	reset(peer)
	theirs.WaitEOF() // ECONNRESET
	r.settle()
	p := r.connects(to)
	want(r, "reset", countsOf(p), counts{capacity: 100, headroom: 100})
	want(r, "share that we closed first", p.ClosesFirst, 0)
	want(r, "peer's resets", r.ledger.Snapshot(0).Counters.Releases[event.CauseReset], 1)
}
