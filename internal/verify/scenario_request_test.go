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

// Scenario 2: the ledger names who holds a port that was refused, in which state
// and until when.
func TestHoldersOfARefusedPort(t *testing.T) {
	b := openLab(t, 2)
	r, elsewhere := b.room(t), b.room(t)
	r.ns.SetRange(40000, 40099)
	server, holder, exited, asker := r.actor("server"), r.actor("holder"), r.actor("exited"), r.actor("asker")
	to := r.server(server, "127.0.0.1:30001", false)
	outgoing := r.connect(holder, to).Local()
	waiting := exited.Socket(tracertest.TCP4)
	want(r, "bind", waiting.Bind("127.0.0.1:30003"), 0)
	want(r, "connect", waiting.Connect(to), 0)
	waiting.CloseAcked()
	exited.Exit()
	want(r, "bind", holder.Socket(tracertest.TCP4).Bind("127.0.0.1:30002"), 0)
	tests := []struct {
		addr   string
		holder *tracertest.Actor
		state  event.State
	}{
		{"127.0.0.1:30001", server, event.StateListen},
		{outgoing.String(), holder, event.StateEstablished},
		{"127.0.0.1:30003", exited, event.StateTimeWait},
		{"127.0.0.1:30002", holder, event.StateBound},
	}
	for _, tt := range tests {
		want(r, "bind to "+tt.addr, asker.Socket(tracertest.TCP4).Bind(tt.addr), syscall.EADDRINUSE)
		r.settle()
		r.refused(asker, event.OperationBind, tt.addr, event.EADDRINUSE, event.ReasonPortHeld)
		el := r.on(netip.MustParseAddrPort(tt.addr).Port())
		want(r, "holder of "+tt.addr, int(el.Owner.PID), tt.holder.PID)
		want(r, "its state", el.State, tt.state)
	}
	left := r.on(30003).Expires - r.ledger.Snapshot(0).At
	want(r, "seconds that the TIME_WAIT keeps the port, 60 at most and a slot", left > 40e9 && left < 66e9, true)
	other := elsewhere.actor("other")
	want(elsewhere, "bind elsewhere", other.Socket(tracertest.TCP4).Bind("127.0.0.1:30001"), 0)
	elsewhere.settle()
	want(elsewhere, "its holder", int(elsewhere.on(30001).Owner.PID), other.PID)
	want(elsewhere, "refusals elsewhere", len(elsewhere.failures()), 0)
}

// Scenario 2: what a listener leaves behind is no lease, keeps its port from
// bind(), and stays lost for connect().
func TestWhatAListenerLeavesBehind(t *testing.T) {
	for _, left := range []string{"child", "TIME_WAIT"} {
		t.Run(left, func(t *testing.T) {
			r := setScene(t)
			server, client, asker := r.actor("server"), r.actor("client"), r.actor("asker")
			other := r.server(r.actor("other"), "127.0.0.1:30000", false)
			l := server.Socket(tracertest.TCP4)
			want(r, "bind", l.Bind("127.0.0.1:40020"), 0)
			want(r, "listen", l.Listen(8), 0)
			c := r.connect(client, l.Local())
			child := l.Accept()
			if left == "child" {
				child.PassTo(r.actor("keeper"))
			} else {
				child.Close()
				c.WaitEOF()
				c.Close()
			}
			server.Exit()
			want(r, "bind", asker.Socket(tracertest.TCP4).Bind("127.0.0.1:40020"), syscall.EADDRINUSE)
			r.connect(client, other)
			r.settle()
			r.refused(asker, event.OperationBind, "127.0.0.1:40020", event.EADDRINUSE, event.ReasonPortHeld)
			r.accepted(40020, map[string]int{"child": 1}[left], map[string]int{"TIME_WAIT": 1}[left])
			want(r, "leases on the port", len(r.leases(func(el *event.Lease) bool { return el.Local.Port() == 40020 })), 0)
			want(r, "another pool", countsOf(r.connects(other)), counts{capacity: 99, poisoned: 1, inUse: 1, headroom: 98})
		})
	}
}

// Scenario 3: bind(0) until nothing is left ranks the holders.
func TestExhaustedRangeRanksItsHolders(t *testing.T) {
	r := setScene(t)
	big, small, victim := r.actor("big"), r.actor("small"), r.actor("victim")
	big.ExhaustBind(tracertest.TCP4, "127.0.0.1:0", 70)
	n, errno := small.ExhaustBind(tracertest.TCP4, "127.0.0.1:0", 1000)
	want(r, "the rest", n, 30)
	want(r, "errno", errno, syscall.EADDRINUSE)
	want(r, "victim", victim.Socket(tracertest.TCP4).Bind("127.0.0.1:0"), syscall.EADDRINUSE)
	r.settle()
	p := r.binds("127.0.0.1")
	want(r, "pool", countsOf(p), counts{capacity: 100, inUse: 100})
	for _, ns := range r.ledger.Snapshot(0).Namespaces {
		if ns.NetNS == r.ns.Inode() {
			want(r, "requests for any port", ns.Bind0Attempts, 102)
		}
	}
	want(r, "owners", len(p.Owners), 3)
	for i, tt := range []struct {
		who             *tracertest.Actor
		ports, refusals int
	}{{big, 70, 0}, {small, 30, 1}, {victim, 0, 1}} {
		want(r, "rank", int(p.Owners[i].Owner.ID.PID), tt.who.PID)
		want(r, "ports", p.Owners[i].Ports, tt.ports)
		want(r, "refusals", int(p.Owners[i].Refusals), tt.refusals)
	}
	r.refused(victim, event.OperationBind, "127.0.0.1:0", event.EADDRINUSE, event.ReasonRangeExhausted)
	want(r, "level", p.Level(), "critical")
}

// Scenario 4: UDP draws from one pool in three ways, and is refused in three; a
// full buffer is no exhaustion, and a socket's address may narrow.
func TestPoolOfUDP(t *testing.T) {
	r := setScene(t)
	r.ns.SetRange(40000, 40009)
	a, far := r.actor("resolver"), netip.MustParseAddrPort("127.0.0.1:9")
	sender := a.Socket(tracertest.UDP4)
	want(r, "send", sender.SendTo(far), 0)
	port := sender.Local().Port()
	sender.NonBlocking()
	sender.Set(unix.SOL_SOCKET, unix.SO_SNDBUF, 1)
	var errno syscall.Errno
	for i := 0; i < 1000 && errno == 0; i++ {
		errno = sender.SendTo(far)
	}
	r.settle()
	want(r, "address of the autobind", r.on(port).Local.Addr().String(), "0.0.0.0")
	want(r, "connect", sender.Connect(far), 0)
	n, _ := a.ExhaustBind(tracertest.UDP4, "0.0.0.0:0", 1000)
	want(r, "binds", n, 9)
	want(r, "connect", a.Socket(tracertest.UDP4).Connect(far), syscall.EAGAIN)
	want(r, "send", a.Socket(tracertest.UDP4).SendTo(far), syscall.EAGAIN)
	r.settle()

	el := r.on(port)
	want(r, "narrowed address", el.Local.Addr(), localhost)
	want(r, "state", el.State, event.StateConnected)
	want(r, "origin", el.Origin, event.OriginAutobind)
	p := r.pool(r.ledger.Snapshot(0), aggregate.RequestUDP, netip.IPv4Unspecified(), netip.AddrPort{})
	want(r, "pool", countsOf(p), counts{capacity: 10, inUse: 10})
	want(r, "the resolver's ports", r.by(p, a).Ports, 10)
	failures := r.failures()
	want(r, "failures", len(failures), 3)
	for i, tt := range []struct {
		operation event.Operation
		errno     event.Errno
	}{{event.OperationSend, event.EAGAIN}, {event.OperationConnect, event.EAGAIN}, {event.OperationBind, event.EADDRINUSE}} {
		want(r, "operation", failures[i].Operation, tt.operation)
		want(r, "errno", failures[i].Errno, tt.errno)
		want(r, "reason", failures[i].Reason, event.ReasonRangeExhausted)
		want(r, "who", int(failures[i].Owner.ID.PID), a.PID)
	}
}

// Scenario 14: bind(addr, 0) before connect() spends a port for every
// destination, IP_BIND_ADDRESS_NO_PORT does not.
func TestBindBeforeConnect(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	early, late := r.actor("early"), r.actor("late")
	one, two := early.Socket(tracertest.TCP4), late.Socket(tracertest.TCP4)
	two.Set(unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	for _, c := range []*tracertest.Socket{one, two} {
		want(r, "bind", c.Bind("127.0.0.1:0"), 0)
		want(r, "connect", c.Connect(to), 0)
	}
	ports := [...]uint16{one.Local().Port(), two.Local().Port()}
	r.settle()
	for i, origin := range [...]event.Origin{event.OriginBind0, event.OriginConnect} {
		want(r, "origin", r.on(ports[i]).Origin, origin)
		want(r, "state", r.on(ports[i]).State, event.StateEstablished)
	}
	want(r, "for connect()", countsOf(r.connects(to)), counts{capacity: 99, poisoned: 1, inUse: 1, headroom: 98})
	want(r, "for bind(0)", countsOf(r.binds("127.0.0.1")), counts{capacity: 100, inUse: 2, headroom: 98})
	want(r, "what connect() gave", r.connects(to).Total.Allocations, 1)
	want(r, "what bind(0) gave", r.binds("127.0.0.1").Total.Allocations, 1)
}

// Scenario 15: capacity follows the range and the reserved ports; a socket with
// a range of its own draws from a pool of its own.
func TestCapacityFollowsTheRange(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	client, prober := r.actor("client"), r.actor("prober")
	r.connect(client, to)
	r.settle()
	want(r, "before", countsOf(r.connects(to)), counts{capacity: 100, inUse: 1, headroom: 99})
	r.ns.SetRange(41000, 41009)
	r.ns.Sysctl("net.ipv4.ip_local_reserved_ports", "41000,41004-41005")
	c := client.Socket(tracertest.TCP4)
	c.Set(unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, 41007<<16|41006)
	want(r, "connect", c.Connect(to), 0)
	r.settle()

	s := r.ledger.Snapshot(0)
	want(r, "after", countsOf(r.connects(to)), counts{capacity: 7, inUse: 1, headroom: 6})
	var own *aggregate.Pool
	for i := range s.Pools {
		if s.Pools[i].Own {
			own = &s.Pools[i]
		}
	}
	if own == nil {
		t.Fatalf("no pool of its own\n%s", r.story())
	}
	want(r, "range of its own", own.Range, event.PortRange{Low: 41006, High: 41007})
	want(r, "pool of its own", countsOf(own), counts{capacity: 2, inUse: 1, headroom: 1})
	want(r, "a cliff is not known there", own.Cliff == aggregate.CliffUnknown, s.Start.OwnRangeInOnePass)
	n, _ := prober.ExhaustConnect(to, 1000, false)
	want(r, "what the kernel grants", n, 6)
	r.settle()
	want(r, "exhausted", countsOf(r.connects(to)), counts{capacity: 7, inUse: 7})
}

// Scenario 16: refusals that are no want of ports leave every pool in peace.
func TestRefusalsThatExhaustNothing(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	a := r.actor("asker")
	want(r, "foreign address", a.Socket(tracertest.TCP4).Bind("192.0.2.1:80"), syscall.EADDRNOTAVAIL)
	r.settle()
	r.refused(a, event.OperationBind, "192.0.2.1:80", event.EADDRNOTAVAIL, event.ReasonAddressNotLocal)
	first, second := a.Socket(tracertest.TCP4), a.Socket(tracertest.TCP4)
	for _, c := range []*tracertest.Socket{first, second} {
		c.Set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		want(r, "bind", c.Bind("127.0.0.1:30005"), 0)
	}
	r.connect(a, to)
	want(r, "first connect", first.Connect(to), 0)
	want(r, "second connect", second.Connect(to), syscall.EADDRNOTAVAIL)
	r.settle()
	r.refused(a, event.OperationConnect, "127.0.0.1:30005", event.EADDRNOTAVAIL, event.ReasonTupleTaken)
	a.DropCapabilities()
	want(r, "port 80", a.Socket(tracertest.TCP4).Bind("127.0.0.1:80"), syscall.EACCES)
	r.settle()
	r.refused(a, event.OperationBind, "127.0.0.1:80", event.EACCES, event.ReasonPrivileged)
	s := r.ledger.Snapshot(0)
	want(r, "exhaustion", s.Counters.Failures.Exhaustion(), 0)
	want(r, "last exhaustion", s.Refused, 0)
	want(r, "refusals of the pool", r.connects(to).Minute.Refusals, 0)
	want(r, "pool", countsOf(r.connects(to)), counts{capacity: 100, inUse: 1, headroom: 99})
}

// Scenario 20: listen() without bind draws from the pool of bind(0); what it
// accepts costs no port, and holds the listener's against bind().
func TestAcceptedSocketsCostNoPort(t *testing.T) {
	r := setScene(t)
	server, client := r.actor("server"), r.actor("client")
	l := server.Socket(tracertest.TCP4)
	want(r, "listen", l.Listen(16), 0)
	port := l.Local().Port()
	to := netip.AddrPortFrom(localhost, port)
	for range 3 {
		r.connect(client, to)
		l.Accept()
	}
	want(r, "bind", client.Socket(tracertest.TCP4).Bind(to.String()), syscall.EADDRINUSE)
	r.settle()
	r.refused(client, event.OperationBind, to.String(), event.EADDRINUSE, event.ReasonPortHeld)
	r.accepted(port, 3, 0)
	want(r, "origin", r.on(port).Origin, event.OriginListen)
	want(r, "for listen()", countsOf(r.binds("0.0.0.0")), counts{capacity: 100, inUse: 4, headroom: 96})
	want(r, "the server's ports", r.by(r.binds("0.0.0.0"), server).Ports, 1)
	want(r, "for connect()", countsOf(r.connects(to)), counts{capacity: 99, poisoned: 1, inUse: 3, headroom: 96})
}

// Scenario 24: a SYN that nobody answers has its port, and is shown in the pool
// within a second and a half.
func TestUnansweredSynIsInItsPool(t *testing.T) {
	r := setScene(t)
	l := r.actor("server").Socket(tracertest.TCP4)
	want(r, "bind", l.Bind("127.0.0.1:30000"), 0)
	want(r, "listen", l.Listen(0), 0)
	to, filler, client := l.Local(), r.actor("filler"), r.actor("client")
	for range 4 { // more than a backlog of 0 takes
		c := filler.Socket(tracertest.TCP4)
		c.NonBlocking()
		c.Connect(to)
	}
	client.Socket(tracertest.TCP4).BeginConnect(to)
	mine := func(el *event.Lease) bool {
		return int(el.Owner.PID) == client.PID && el.State == event.StateSynSent
	}
	r.wait(t, "a lease in SYN_SENT", func(*aggregate.Snapshot) bool { return len(r.leases(mine)) == 1 })
	s := r.ledger.Snapshot(0)
	if after := s.At - r.leases(mine)[0].ID.Born; after > 1.5e9 {
		t.Errorf("in the picture after %d ms, want 1500 at most", after/1e6)
	}
	p := r.connects(to)
	want(r, "the client's port", r.by(p, client).Ports, 1)
	waiting := len(r.leases(func(el *event.Lease) bool { return el.Remote == to && el.State == event.StateSynSent }))
	want(r, "leases in SYN_SENT", p.SynSent, waiting)
}

// Scenario 25: one socket has a port in use and one that waits.
func TestOneSocketTwoPorts(t *testing.T) {
	r := setScene(t)
	l := r.actor("server").Socket(tracertest.TCP4)
	want(r, "bind", l.Bind("127.0.0.1:30000"), 0)
	want(r, "listen", l.Listen(8), 0)
	to, client := l.Local(), r.actor("client")
	c := r.connect(client, to)
	peer := l.Accept()
	c.Shutdown(unix.SHUT_WR)
	peer.WaitEOF()
	peer.Close()
	c.WaitEOF()
	want(r, "disconnect", c.Disconnect(), 0)
	want(r, "connect again", c.Connect(to), 0)
	cookie := c.Cookie()
	r.settle()
	leases := r.leases(func(el *event.Lease) bool { return el.ID.Cookie == cookie })
	want(r, "leases of the socket", len(leases), 2)
	want(r, "first", leases[0].State, event.StateTimeWait)
	want(r, "second", leases[1].State, event.StateEstablished)
	want(r, "pool", countsOf(r.connects(to)), counts{capacity: 100, inUse: 2, timeWait: 1, headroom: 98})
	report := r.verify(t)
	want(r, "differences", len(report.Differences), 0)
}

// Scenario 25: a socket that was refused for want of ports gets one later.
func TestPoolGivesAgainAfterARefusal(t *testing.T) {
	r := setScene(t)
	r.ns.SetRange(40000, 40000)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	holder, client := r.actor("holder"), r.actor("client")
	held := r.connect(holder, to)
	c := client.Socket(tracertest.TCP4)
	want(r, "refused", c.Connect(to), syscall.EADDRNOTAVAIL)
	r.settle()
	r.refused(client, event.OperationConnect, "127.0.0.1:0", event.EADDRNOTAVAIL, event.ReasonPoolExhausted)
	want(r, "holder's port", r.by(r.connects(to), holder).Ports, 1)
	reset(held)
	want(r, "connect again", c.Connect(to), 0)
	r.settle()
	p := r.connects(to)
	want(r, "pool", countsOf(p), counts{capacity: 1, inUse: 1})
	part := r.by(p, client)
	want(r, "client's part", part, aggregate.PoolOwner{Owner: part.Owner, Ports: 1, Allocations: 1, Refusals: 1})
	want(r, "holder's ports", r.by(p, holder).Ports, 0)
}

// Scenario 26: a flood of refusals hides no other one, and is counted exactly.
func TestTotalsOfAFlood(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	const processes, each = 10, 5000
	done := make(chan struct{}, processes)
	flooders := make([]*tracertest.Actor, processes)
	for i := range flooders {
		flooders[i] = r.actor("flooder")
	}
	for _, a := range flooders {
		go func() { a.Repeat(to.String(), each); done <- struct{}{} }()
	}
	eleventh := r.actor("eleventh")
	want(r, "eleventh", eleventh.Socket(tracertest.TCP4).Bind(to.String()), syscall.EADDRINUSE)
	shown := func() (f aggregate.Failure) {
		for _, f = range r.failures() {
			if int(f.Owner.ID.PID) == eleventh.PID {
				return f
			}
		}
		return aggregate.Failure{}
	}
	lossy := func() uint64 { return r.skipped("pw_bind_x", "pw_bind4") }
	r.wait(t, "the eleventh", func(*aggregate.Snapshot) bool { return shown().Count > 0 || lossy() > 0 })
	if after := r.ledger.Snapshot(0).At - shown().First; lossy() == 0 && after > 1e9 {
		t.Errorf("the eleventh is shown after %d ms, want 1000 at most", after/1e6)
	}
	for range processes {
		<-done
	}
	r.settle()
	at := r.ledger.Snapshot(0).At
	r.until(t, "a second of polls", func(ev *event.Event) bool { return isTick(ev) && ev.Time > at })
	skipped := lossy()
	var total uint64
	counts := map[uint32]uint64{}
	for _, f := range r.failures() {
		counts[f.Owner.ID.PID] += f.Count
		total += f.Count
	}
	if total > processes*each+1 || total+skipped < processes*each+1 {
		t.Fatalf("%d refusals counted and %d known to be lost of %d", total, skipped, processes*each+1)
	}
	if skipped > 0 {
		t.Logf("cannot know: whose were %d refusals of %d: the kernel skipped the program, and counted that", skipped, total+skipped)
		return
	}
	for _, a := range flooders {
		want(r, "refusals of one flooder", counts[uint32(a.PID)], each)
	}
	want(r, "refusals of the eleventh", counts[uint32(eleventh.PID)], 1)
}
