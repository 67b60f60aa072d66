package main

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// More of what is asked of the real command: each scenario that the ledger is
// proven by, where a verb has something to say about it.

// drawn is the pool of a request without a far end.
func (s *scene) drawn(a answer, request string) answeredPool {
	s.Helper()
	for _, p := range a.Pools {
		if p.Request == request {
			return p
		}
	}
	s.Fatalf("no pool of %s: %+v", request, a.Pools)
	return answeredPool{}
}

// Scenario 4: UDP without headroom, by connect() and by a send.
func TestLiveBlameOfUDP(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	resolver, late := s.actor("resolver"), s.actor("late")
	far := netip.MustParseAddrPort("127.0.0.1:53")
	a := s.ask(fields.Blame, func() {
		for range 100 {
			s.succeed("connect", resolver.Socket(tracertest.UDP4).Connect(far))
		}
		if errno := late.Socket(tracertest.UDP4).Connect(far); errno != syscall.EAGAIN {
			t.Errorf("connect: %v", errno)
		}
		if errno := late.Socket(tracertest.UDP4).SendTo(far); errno != syscall.EAGAIN {
			t.Errorf("send: %v", errno)
		}
	}, "blame")
	if p := s.drawn(a, "udp"); p.InUse != 100 || p.Headroom != 0 || p.Level != "critical" {
		t.Errorf("pool = %+v", p)
	}
	if len(a.Victims) != 1 || a.Victims[0].Owner.PID != late.PID || a.Victims[0].Errnos["EAGAIN"] != 2 {
		t.Errorf("victims = %+v", a.Victims)
	}
	for _, f := range a.Failures {
		if f.Reason != "range_exhausted" || len(f.Holders) != 1 || f.Holders[0].Owner.PID != resolver.PID {
			t.Errorf("failure = %+v", f)
		}
	}
	s.says(a.Summary, "Of the 100 UDP ports", "`resolver`", "`late`, a victim,")
}

// Scenarios 8 and 9: what is not kept as a TIME_WAIT, for want of room or because
// of a reset, costs nothing.
func TestLiveStatusOfWhatIsNotKept(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.ns.Sysctl("net.ipv4.tcp_max_tw_buckets", "10")
	full, cut := s.server("127.0.0.1:30000", true), s.server("127.0.0.1:30001", false)
	client := s.actor("client")
	a := s.ask(fields.Status, func() {
		if n, _ := client.ExhaustConnect(full, 50, true); n != 50 {
			t.Errorf("%d connections", n)
		}
		for range 20 {
			c := client.Socket(tracertest.TCP4)
			s.succeed("connect", c.Connect(cut))
			c.Linger0()
			c.Close()
		}
		s.succeed("connect", client.Socket(tracertest.TCP4).Connect(cut))
	}, "status")
	if p := s.towards(a, full.Port()); p.InUse != 10 || p.TimeWait != 10 || p.Headroom != 90 {
		t.Errorf("without room: %+v", p)
	}
	if p := s.towards(a, cut.Port()); p.InUse != 1 || p.TimeWait != 0 {
		t.Errorf("reset: %+v", p)
	}
}

// Scenarios 10 and 19: a pid that is used again is another owner; a thread takes
// for its process.
func TestLiveBlameTellsOwnersApart(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	to := s.server("127.0.0.1:30000", false)
	first := s.actor("first")
	var second *tracertest.Actor
	a := s.ask(fields.Blame, func() {
		if n, _ := first.ExhaustConnect(to, 60, true); n != 60 {
			t.Errorf("%d connections", n)
		}
		first.Exit()
		second = tracertest.StartActorAs(t, s.ns, "second", first.PID)
		for range 30 {
			s.succeed("connect", second.Socket(tracertest.TCP4).ConnectOnThread("a-thread", to))
		}
	}, "blame")
	if len(a.Culprits) != 2 || a.Culprits[0].Owner.PID != a.Culprits[1].Owner.PID {
		t.Fatalf("culprits = %+v", a.Culprits)
	}
	if c := a.Culprits[0]; c.Owner.Comm != "first" || c.Ports != 60 || !c.Owner.Exited {
		t.Errorf("first = %+v", c)
	}
	if c := a.Culprits[1]; c.Owner.Comm != "second" || c.Ports != 30 || c.Owner.Exited {
		t.Errorf("second = %+v", c)
	}
}

// Scenarios 11 and 13: each family has its pools, and so has each namespace.
func TestLiveStatusOfFamiliesAndNamespaces(t *testing.T) {
	t.Parallel()
	s, other := newScene(t), newScene(t)
	six, four := s.server("[::1]:30000", false), s.server("127.0.0.1:30001", false)
	elsewhere := other.server("127.0.0.1:30001", false)
	client, stranger := s.actor("client"), other.actor("stranger")
	a := s.ask(fields.Status, func() {
		s.succeed("IPv6", client.Socket(tracertest.TCP6).Connect(six))
		mapped := netip.AddrPortFrom(netip.MustParseAddr("::ffff:127.0.0.1"), four.Port())
		s.succeed("v4-mapped", client.Socket(tracertest.TCP6).Connect(mapped))
		s.succeed("IPv4", client.Socket(tracertest.TCP4).Connect(four))
		if n, _ := stranger.ExhaustConnect(elsewhere, 40, false); n != 40 {
			t.Errorf("%d connections", n)
		}
	}, "status")
	if p := s.towards(a, six.Port()); p.Family != "ipv6" || p.InUse != 1 || p.LocalAddr != "::1" {
		t.Errorf("IPv6: %+v", p)
	}
	if p := s.towards(a, four.Port()); p.Family != "ipv4" || p.InUse != 2 || p.LocalAddr != "127.0.0.1" {
		t.Errorf("IPv4, mapped or not, and not that of the other namespace: %+v", p)
	}
}

// Scenario 15: capacity follows the range.
func TestLiveStatusFollowsTheRange(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	to := s.server("127.0.0.1:30000", false)
	client := s.actor("client")
	a := s.ask(fields.Status, func() {
		s.succeed("connect", client.Socket(tracertest.TCP4).Connect(to))
		s.ns.SetRange(41000, 41009)
		s.ns.Sysctl("net.ipv4.ip_local_reserved_ports", "41000,41004-41005")
		s.succeed("connect", client.Socket(tracertest.TCP4).Connect(to))
	}, "status")
	if p := s.towards(a, to.Port()); p.Capacity != 7 || p.InUse != 1 || p.Headroom != 6 {
		t.Errorf("pool = %+v", p)
	}
}

// Scenario 16: refusals that are no want of ports are explained, and alarm nobody.
func TestLiveBlameOfOtherRefusals(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	to := s.server("127.0.0.1:30000", false)
	asker := s.actor("asker")
	a := s.ask(fields.Blame, func() {
		c := asker.Socket(tracertest.TCP4)
		c.Set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		s.succeed("bind", c.Bind("127.0.0.1:40050"))
		s.succeed("connect", c.Connect(to))
		again := asker.Socket(tracertest.TCP4)
		again.Set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		s.succeed("bind", again.Bind("127.0.0.1:40050"))
		if errno := again.Connect(to); errno != syscall.EADDRNOTAVAIL {
			t.Errorf("connect: %v", errno)
		}
		if errno := asker.Socket(tracertest.TCP4).Bind("192.0.2.1:80"); errno != syscall.EADDRNOTAVAIL {
			t.Errorf("foreign address: %v", errno)
		}
		asker.DropCapabilities()
		if errno := asker.Socket(tracertest.TCP4).Bind("127.0.0.1:80"); errno != syscall.EACCES {
			t.Errorf("privileged port: %v", errno)
		}
	}, "blame")
	var reasons []string
	for _, f := range a.Failures {
		reasons = append(reasons, f.Reason)
	}
	slices.Sort(reasons)
	if !slices.Equal(reasons, []string{"address_not_local", "privileged", "tuple_taken"}) {
		t.Errorf("reasons = %v", reasons)
	}
	s.says(a.Summary, "No request was refused for want of ports")
	for _, p := range a.Pools {
		if p.Level == "critical" {
			t.Errorf("an alarm: %+v", p)
		}
	}
}

// Scenario 20: accepted sockets cost no port of the range.
func TestLiveStatusOfAServer(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.ns.SetRange(41000, 41099)
	server, client := s.actor("server"), s.actor("client")
	l := server.Socket(tracertest.TCP4)
	a := s.ask(fields.Status, func() {
		s.succeed("listen", l.Listen(64)) // takes any port
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), l.Local().Port())
		for range 40 {
			s.succeed("connect", client.Socket(tracertest.TCP4).Connect(to))
			l.Accept()
		}
	}, "status")
	if p := s.drawn(a, "bind0"); p.InUse != 41 || p.Headroom != 59 {
		t.Errorf("the listener and its clients: %+v", p)
	}
	if n := a.Namespaces[0].TCP; n.Accepted != 40 || n.Bind0Attempts != 1 {
		t.Errorf("namespace = %+v", n)
	}
}

// Scenario 23: packets that are handled in interrupts.
func TestLiveBlameUnderInterrupts(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.ns.SpreadPackets()
	to := s.server("127.0.0.1:30000", true)
	client := s.actor("client")
	a := s.ask(fields.Blame, func() {
		if n, _ := client.ExhaustConnect(to, 1000, true); n != 100 {
			t.Errorf("%d connections", n)
		}
	}, "blame")
	if p := s.towards(a, to.Port()); p.InUse != 100 {
		t.Errorf("pool = %+v", p)
	}
	if len(a.Culprits) != 1 || a.Culprits[0].Owner.PID != client.PID {
		t.Errorf("culprits = %+v", a.Culprits)
	}
}

// Scenario 24: connects without an answer are counted, and the sentence says where
// to look.
func TestLiveStatusOfUnansweredConnects(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	mute := s.actor("mute").Socket(tracertest.TCP4)
	s.succeed("bind", mute.Bind("127.0.0.1:30000"))
	s.succeed("listen", mute.Listen(1))
	to := mute.Local()
	client := s.actor("client")
	a := s.ask(fields.Status, func() {
		for range 16 { // two are accepted by the kernel
			c := client.Socket(tracertest.TCP4)
			c.NonBlocking()
			if errno := c.Connect(to); errno != syscall.EINPROGRESS {
				t.Errorf("connect: %v", errno)
			}
		}
	}, "status")
	p := s.towards(a, to.Port())
	if p.InUse != 16 || p.SynSent < 10 {
		t.Errorf("pool = %+v", p)
	}
	s.says(a.Summary, fmt.Sprintf("%d connects to 127.0.0.1:30000 wait in SYN_SENT: look at NAT, firewall or the server.", p.SynSent))
}

// Scenario 26: one refusal among very many is told, and the totals are exact.
func TestLiveBlameInAFlood(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	held := s.server("127.0.0.1:30000", false)
	flooder, single := s.actor("flooder"), s.actor("single")
	a := s.ask(fields.Blame, func() {
		flooder.Repeat(held.String(), 50000)
		if errno := single.Socket(tracertest.TCP4).Bind(held.String()); errno != syscall.EADDRINUSE {
			t.Errorf("bind: %v", errno)
		}
	}, "blame")
	failures := map[int]int{}
	for _, v := range a.Victims {
		failures[v.Owner.PID] = v.Failures
	}
	if failures[flooder.PID] != 50000 || failures[single.PID] != 1 {
		t.Errorf("victims = %+v", a.Victims)
	}
}
