package tracer

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// Scenario 1: one process connects and closes until nothing is left, then
// another one tries.
func TestPoolFullOfTimeWait(t *testing.T) {
	s := setStage(t)
	_, _, addr := s.server("127.0.0.1:30000")
	culprit := s.actor("culprit")
	n, errno := culprit.ExhaustConnect(addr, 1000, true)
	want(s, "errno of the culprit's last connect", errno, syscall.EADDRNOTAVAIL)
	want(s, "connections", n, 100)
	culprit.Exit()
	victim := s.actor("victim")
	want(s, "errno of the victim", victim.Socket(tracertest.TCP4).Connect(addr), syscall.EADDRNOTAVAIL)
	s.settle()

	waiting := map[event.LeaseID]event.Owner{}
	for _, ev := range s.kinds(event.KindTimeWait) {
		waiting[ev.Lease.ID] = ev.Lease.Owner
	}
	want(s, "TIME_WAITs", len(waiting), 100)
	for _, owner := range waiting {
		wantOwner(s, &owner, culprit, "culprit")
	}
	failures := s.failures()
	want(s, "failures", len(failures), 2)
	for i, a := range []*tracertest.Actor{culprit, victim} {
		f := failures[i]
		wantOwner(s, &f.Owner, a, []string{"culprit", "victim"}[i])
		want(s, "reason", f.Reason, event.ReasonPoolExhausted)
		want(s, "errno", f.Errno, event.EADDRNOTAVAIL)
		want(s, "destination", f.Remote, addr)
		want(s, "port asked for", f.Local.Port(), 0)
		want(s, "source", f.Local.Addr().String(), "127.0.0.1")
		want(s, "count", f.Count, 1)
	}
	var lost uint64
	for _, ev := range s.kinds(event.KindLost) {
		lost += ev.Lost.Count
	}
	want(s, "losses but runs that were skipped, which are counted", lost, s.skipped())
}

// A connection that the client closes first: every step, once.
func TestLifeOfAClient(t *testing.T) {
	s := setStage(t)
	_, l, addr := s.server("127.0.0.1:30000")
	client := s.actor("client")
	c := client.Socket(tracertest.TCP4)
	want(s, "connect", c.Connect(addr), 0)
	local := c.Local()
	peer := l.Accept()
	c.Close()
	peer.WaitEOF()
	peer.Close()
	s.settle()

	life := s.of(local.Port())
	want(s, "life", path(life), "allocate:ESTABLISHED state:FIN_WAIT1 time_wait:TIME_WAIT")
	first := life[0].Lease
	wantOwner(s, &first.Owner, client, "client")
	want(s, "origin", first.Origin, event.OriginConnect)
	want(s, "local", first.Local, local)
	want(s, "remote", first.Remote, addr)
	want(s, "thread", life[0].Thread.Comm.String(), "client")
	last := life[2]
	want(s, "identity", last.Lease.ID, first.ID)
	left := last.Lease.Expires - last.Time
	if left < 59e9 || left > 66e9 {
		t.Errorf("TIME_WAIT ends in %d ns, want 60 s and a slot", left)
	}
}

// Scenario 9: no TIME_WAIT after a reset, whoever sends it.
func TestResetLeavesNoTimeWait(t *testing.T) {
	s := setStage(t)
	_, l, addr := s.server("127.0.0.1:30000")
	client := s.actor("client")
	ours, theirs := client.Socket(tracertest.TCP4), client.Socket(tracertest.TCP4)
	ours.Connect(addr)
	l.Accept()
	theirs.Connect(addr)
	peer := l.Accept()
	ports := [...]uint16{ours.Local().Port(), theirs.Local().Port()}
	ours.Linger0()
	ours.Close()
	peer.Linger0()
	peer.Close()
	theirs.WaitEOF() // ECONNRESET
	s.settle()
	want(s, "our reset", path(s.of(ports[0])), "allocate:ESTABLISHED release:closed")
	want(s, "their reset", path(s.of(ports[1])), "allocate:ESTABLISHED release:reset")
	want(s, "TIME_WAITs", len(s.kinds(event.KindTimeWait)), 0)
}

// Scenario 7: tcp_tw_reuse lets a second process take over the TIME_WAIT of
// the first.
func TestReusedTimeWaitNamesItsSuccessor(t *testing.T) {
	s := setStage(t)
	s.ns.SetRange(40000, 40000)
	s.ns.Sysctl("net.ipv4.tcp_tw_reuse", "1")
	_, l, addr := s.server("127.0.0.1:30000")
	first, second := s.actor("first"), s.actor("second")
	c := first.Socket(tracertest.TCP4)
	want(s, "first connect", c.Connect(addr), 0)
	peer := l.Accept()
	c.Close()
	peer.WaitEOF()
	peer.Close()
	var successor *tracertest.Socket
	for successor == nil { // until the delay of the reuse has passed
		again := second.Socket(tracertest.TCP4)
		if errno := again.Connect(addr); errno == 0 {
			successor = again
		} else {
			again.Close()
		}
	}
	s.settle()
	life := s.of(40000)
	want(s, "life", path(life), "allocate:ESTABLISHED state:FIN_WAIT1 time_wait:TIME_WAIT release:reused allocate:ESTABLISHED")
	want(s, "successor", life[3].Successor, life[4].Lease.ID)
	wantOwner(s, &life[0].Lease.Owner, first, "first")
	wantOwner(s, &life[4].Lease.Owner, second, "second")
}

// Scenario 8: beyond tcp_max_tw_buckets nothing waits.
func TestTimeWaitOverflow(t *testing.T) {
	s := setStage(t)
	s.ns.Sysctl("net.ipv4.tcp_max_tw_buckets", "10")
	_, _, addr := s.server("127.0.0.1:30000")
	client := s.actor("client")
	n, _ := client.ExhaustConnect(addr, 50, true)
	want(s, "connections", n, 50)
	s.settle()
	want(s, "TIME_WAITs", len(s.kinds(event.KindTimeWait)), 10)
	cause, closed := event.CauseClosed, 0
	if s.full() {
		cause = event.CauseOverflow
	} else {
		cannotTell(s, "that a TIME_WAIT is missing for want of room")
	}
	for _, ev := range s.kinds(event.KindRelease) {
		if ev.Cause == cause && ev.From == event.StateFinWait2 {
			closed++
		}
	}
	want(s, "released at once", closed, 40)
}

// Scenario 24: a blocking connect whose SYN nobody answers has its port all
// the same.
func TestUnansweredSynIsSeenAtItsRetransmission(t *testing.T) {
	s := setStage(t)
	_, l, addr := s.server("127.0.0.1:30000")
	l.Listen(0)
	filler := s.actor("filler")
	for range 4 { // more than a backlog of 0 takes
		c := filler.Socket(tracertest.TCP4)
		c.NonBlocking()
		c.Connect(addr)
	}
	client := s.actor("client")
	c := client.Socket(tracertest.TCP4)
	began := bootNow()
	c.BeginConnect(addr)
	var seen event.Time
	s.until("a lease in SYN_SENT", func(ev *event.Event) bool {
		if ev.Lease.State == event.StateSynSent && ev.Lease.Owner.Comm.String() == "client" {
			seen = bootNow()
		}
		return seen != 0
	})
	if after := seen - began; after > 1.5e9 {
		t.Errorf("seen after %d ms, want 1500 at most", after/1e6)
	}
}

// Scenario 25: one socket holds several leases, at once and in turn.
func TestOneSocketSeveralLeases(t *testing.T) {
	s := setStage(t)
	_, l, addr := s.server("127.0.0.1:30000")
	client := s.actor("client")
	c := client.Socket(tracertest.TCP4)
	want(s, "connect", c.Connect(addr), 0)
	first := c.Local().Port()
	peer := l.Accept()
	c.Shutdown(unix.SHUT_WR)
	peer.WaitEOF()
	peer.Close()
	c.WaitEOF()
	want(s, "disconnect", c.Disconnect(), 0)
	want(s, "connect again", c.Connect(addr), 0)
	second := c.Local().Port()
	cookie := c.Cookie()
	s.settle()
	one, two := s.of(first), s.of(second)
	want(s, "first lease", path(one), "allocate:ESTABLISHED state:FIN_WAIT1 state:FIN_WAIT2 time_wait:TIME_WAIT")
	want(s, "second lease", path(two), "allocate:ESTABLISHED")
	want(s, "cookie of the first", one[3].Lease.ID.Cookie, cookie)
	want(s, "cookie of the second", two[0].Lease.ID.Cookie, cookie)
	if one[3].Lease.ID == two[0].Lease.ID {
		t.Error("two leases of one identity")
	}
}

// Scenario 25: a connect that fails for want of ports, and later succeeds on
// the same socket.
func TestConnectAgainAfterExhaustion(t *testing.T) {
	s := setStage(t)
	s.ns.SetRange(40000, 40000)
	_, l, addr := s.server("127.0.0.1:30000")
	holder, client := s.actor("holder"), s.actor("client")
	held := holder.Socket(tracertest.TCP4)
	want(s, "holder", held.Connect(addr), 0)
	l.Accept()
	c := client.Socket(tracertest.TCP4)
	want(s, "refused", c.Connect(addr), syscall.EADDRNOTAVAIL)
	held.Linger0()
	held.Close()
	want(s, "connect again", c.Connect(addr), 0)
	s.settle()
	want(s, "life of the port", path(s.of(40000)), "allocate:ESTABLISHED release:closed allocate:ESTABLISHED")
	want(s, "failures", len(s.failures()), 1)
	want(s, "reason", s.failures()[0].Reason, event.ReasonPoolExhausted)
}

// Scenario 19: the process owns, the thread is named.
func TestThreadWithANameOfItsOwn(t *testing.T) {
	s := setStage(t)
	_, _, addr := s.server("127.0.0.1:30000")
	client := s.actor("leader")
	c := client.Socket(tracertest.TCP4)
	want(s, "connect", c.ConnectOnThread("worker", addr), 0)
	port := c.Local().Port()
	s.settle()
	first := s.of(port)[0]
	wantOwner(s, &first.Lease.Owner, client, "leader")
	want(s, "thread's name", first.Thread.Comm.String(), "worker")
	if first.Thread.TID == uint32(client.PID) || first.Thread.TID == 0 {
		t.Errorf("thread id %d, want one of the process's other threads", first.Thread.TID)
	}
}

// A FIN that comes more than one slot of the timer wheel after the TIME_WAIT
// was born renews it: no end, a new sub-state, a later expiry.
func TestRenewedTimeWait(t *testing.T) {
	s := setStage(t)
	_, l, addr := s.server("127.0.0.1:30000")
	c := s.actor("client").Socket(tracertest.TCP4)
	want(s, "connect", c.Connect(addr), 0)
	port := c.Local().Port()
	peer := l.Accept()
	c.CloseAcked()
	slot := event.Time(wheelExpiry(0, 0-60*uint32(s.tracer.tick))) * event.Time(s.tracer.tick.jiffyNanos())
	born := bootNow()
	s.until("the next slot", func(ev *event.Event) bool {
		return ev.Kind == event.KindTick && ev.Time > born+slot+5e8
	})
	peer.Close()
	s.settle()
	life, renewals := s.of(port), s.renewals(port)
	want(s, "life", path(life), "allocate:ESTABLISHED state:FIN_WAIT1 state:FIN_WAIT2 time_wait:TIME_WAIT")
	want(s, "renewals", len(renewals), 1)
	birth, renewal := life[3].Lease, renewals[0].Lease
	want(s, "sub-state at birth", birth.Substate, event.SubstateFinWait2)
	want(s, "sub-state renewed", renewal.Substate, event.SubstateTimeWait)
	if renewal.Expires <= birth.Expires {
		t.Errorf("renewed until %d, before until %d", renewal.Expires, birth.Expires)
	}
}
