package tracer

import (
	"fmt"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// refused checks that the last failure is a bind that was refused as expected.
func (s *stage) refused(a *tracertest.Actor, comm, local string, errno event.Errno, reason event.Reason) {
	s.Helper()
	failures := s.failures()
	if len(failures) == 0 {
		s.Fatalf("no failure\nstory:\n%s", s.story())
	}
	f := failures[len(failures)-1]
	wantOwner(s, &f.Owner, a, comm)
	want(s, "operation", f.Operation, event.OperationBind)
	want(s, "asked for", f.Local.String(), local)
	want(s, "errno", f.Errno, errno)
	want(s, "reason", f.Reason, reason)
}

// Scenario 2: whatever holds the port, the refusal says what was asked for.
func TestBindToAHeldPort(t *testing.T) {
	s := setStage(t)
	holder, asker := s.actor("holder"), s.actor("asker")
	listening := holder.Socket(tracertest.TCP4)
	listening.Bind("127.0.0.1:30001")
	listening.Listen(8)
	outgoing := holder.Socket(tracertest.TCP4)
	outgoing.Connect(listening.Local())
	exited := s.actor("exited")
	waiting := exited.Socket(tracertest.TCP4)
	waiting.Bind("127.0.0.1:30003")
	waiting.Connect(listening.Local())
	waiting.CloseAcked()
	exited.Exit()
	bound := holder.Socket(tracertest.TCP4)
	bound.Bind("127.0.0.1:30002")
	for _, addr := range []string{"127.0.0.1:30001", outgoing.Local().String(), "127.0.0.1:30003", "127.0.0.1:30002"} {
		want(s, "bind to "+addr, asker.Socket(tracertest.TCP4).Bind(addr), syscall.EADDRINUSE)
		s.settle()
		s.refused(asker, "asker", addr, event.EADDRINUSE, event.ReasonPortHeld)
	}
	want(s, "holder's TIME_WAIT", path(s.of(30003)), "allocate:BOUND state:SYN_SENT state:ESTABLISHED state:FIN_WAIT1 state:FIN_WAIT2 time_wait:TIME_WAIT")
	want(s, "holder's bound socket", path(s.of(30002)), "allocate:BOUND")
	want(s, "listener", path(s.of(30001)), "allocate:BOUND state:LISTEN")
	elsewhere := tracertest.PrivateNetNS(t)
	other := tracertest.StartActor(t, elsewhere, "other")
	want(s, "bind in another namespace", other.Socket(tracertest.TCP4).Bind("127.0.0.1:30001"), 0)
}

// Scenario 2: what a listener leaves behind holds its port as well: an accepted
// socket in another process's hands, and a TIME_WAIT of the server's side.
func TestBindToThePortOfAListenerThatHasExited(t *testing.T) {
	for _, left := range []string{"child", "TIME_WAIT"} {
		t.Run(left, func(t *testing.T) {
			s := setStage(t)
			server, l, addr := s.server("127.0.0.1:30020")
			client, asker := s.actor("client"), s.actor("asker")
			c := client.Socket(tracertest.TCP4)
			want(s, "connect", c.Connect(addr), 0)
			child := l.Accept()
			if left == "child" {
				child.PassTo(s.actor("keeper"))
			} else {
				child.Close()
				c.WaitEOF()
				c.Close()
			}
			server.Exit()
			want(s, "bind", asker.Socket(tracertest.TCP4).Bind(addr.String()), syscall.EADDRINUSE)
			s.settle()
			s.refused(asker, "asker", addr.String(), event.EADDRINUSE, event.ReasonPortHeld)
			want(s, "the listener's lease", path(s.of(30020)), "allocate:BOUND state:LISTEN state:BOUND release:closed")
		})
	}
}

// Scenario 3: bind(0) until the range is exhausted.
func TestBindAnyPortUntilExhausted(t *testing.T) {
	s := setStage(t)
	a := s.actor("binder")
	bound := 0
	var errno syscall.Errno
	for errno == 0 {
		if errno = a.Socket(tracertest.TCP4).Bind("127.0.0.1:0"); errno == 0 {
			bound++
		}
	}
	s.settle()
	want(s, "bound", bound, 100)
	want(s, "errno", errno, syscall.EADDRINUSE)
	s.refused(a, "binder", "127.0.0.1:0", event.EADDRINUSE, event.ReasonRangeExhausted)
	leases := 0
	for _, ev := range s.kinds(event.KindAllocate) {
		if ev.Lease.Origin == event.OriginBind0 && ev.Lease.Protocol == event.TCP {
			leases++
		}
	}
	want(s, "leases of origin bind0", leases, 100)
}

// Scenario 15: the range changes while we watch, and a socket has its own.
func TestRangeThatChanges(t *testing.T) {
	s := setStage(t)
	_, _, addr := s.server("127.0.0.1:30000")
	a := s.actor("client")
	a.Socket(tracertest.TCP4).Connect(addr)
	s.settle()
	s.ns.SetRange(41000, 41009)
	s.ns.Sysctl("net.ipv4.ip_local_reserved_ports", "41000,41004-41005")
	own := a.Socket(tracertest.TCP4)
	own.Set(unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, 41007<<16|41006)
	want(s, "connect", own.Connect(addr), 0)
	port := own.Local().Port()
	s.settle()
	lease := s.of(port)[0].Lease
	want(s, "the socket's range", lease.Range, event.PortRange{Low: 41006, High: 41007})
	before := -1
	for i, ev := range s.events {
		if ev.Kind == event.KindLimits && ev.Limits.Range == (event.PortRange{Low: 41000, High: 41009}) {
			want(s, "reserved", fmt.Sprint(ev.Limits.Reserved), "[41000-41000 41004-41005]")
			before = i
			break
		}
		if ev.Lease.ID == lease.ID {
			break
		}
	}
	if before < 0 {
		t.Errorf("no limits in front of the first event after the change\nstory:\n%s", s.story())
	}
}

// Scenario 16: refusals that are no want of ports.
func TestRefusalsThatAreNoExhaustion(t *testing.T) {
	s := setStage(t)
	_, _, addr := s.server("127.0.0.1:30000")
	a := s.actor("asker")
	want(s, "foreign address", a.Socket(tracertest.TCP4).Bind("192.0.2.1:80"), syscall.EADDRNOTAVAIL)
	s.settle()
	s.refused(a, "asker", "192.0.2.1:80", event.EADDRNOTAVAIL, event.ReasonAddressNotLocal)

	first, second := a.Socket(tracertest.TCP4), a.Socket(tracertest.TCP4)
	for _, c := range []*tracertest.Socket{first, second} {
		c.Set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		want(s, "bind", c.Bind("127.0.0.1:30005"), 0)
	}
	want(s, "first connect", first.Connect(addr), 0)
	want(s, "second connect", second.Connect(addr), syscall.EADDRNOTAVAIL)
	a.DropCapabilities()
	want(s, "port 80", a.Socket(tracertest.TCP4).Bind("127.0.0.1:80"), syscall.EACCES)
	s.settle()
	failures := s.failures()
	want(s, "failures", len(failures), 3)
	want(s, "taken tuple", failures[1].Reason, event.ReasonTupleTaken)
	want(s, "its local end", failures[1].Local.String(), "127.0.0.1:30005")
	want(s, "its remote end", failures[1].Remote, addr)
	want(s, "privileged port", failures[2].Reason, event.ReasonPrivileged)
	for _, f := range failures {
		want(s, "exhaustion", f.Reason.Exhaustion(), false)
	}
}

// Scenario 20: listen() without bind; accepted sockets are no leases.
func TestListenWithoutBind(t *testing.T) {
	s := setStage(t)
	a, client := s.actor("server"), s.actor("client")
	l := a.Socket(tracertest.TCP4)
	want(s, "listen", l.Listen(16), 0)
	addr := l.Local()
	to := addr
	for range 3 {
		c := client.Socket(tracertest.TCP4)
		want(s, "connect", c.Connect(loopback(to)), 0)
		l.Accept()
	}
	want(s, "bind", client.Socket(tracertest.TCP4).Bind(addr.String()), syscall.EADDRINUSE)
	s.settle()
	events := s.of(addr.Port())
	want(s, "events of the port", path(events), "allocate:LISTEN")
	want(s, "origin", events[0].Lease.Origin, event.OriginListen)
	want(s, "thread", events[0].Thread.Comm.String(), "server")
	want(s, "leases", len(s.kinds(event.KindAllocate)), 1+3+s.marks)
	want(s, "accepted", s.accepted(addr.Port()).Live, 3)
}

// A second listen() on a port that two sockets share is refused.
func TestRefusedListen(t *testing.T) {
	s := setStage(t)
	a := s.actor("server")
	sockets := [2]*tracertest.Socket{a.Socket(tracertest.TCP4), a.Socket(tracertest.TCP4)}
	for _, l := range sockets {
		l.Set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		want(s, "bind", l.Bind("127.0.0.1:30006"), 0)
	}
	want(s, "first listen", sockets[0].Listen(1), 0)
	want(s, "second listen", sockets[1].Listen(1), syscall.EADDRINUSE)
	s.settle()
	failures := s.failures()
	want(s, "failures", len(failures), 1)
	want(s, "operation", failures[0].Operation, event.OperationListen)
	want(s, "asked for", failures[0].Local.String(), "127.0.0.1:30006")
	want(s, "reason", failures[0].Reason, event.ReasonPortHeld)
}

// Scenario 26: a flood of refusals hides no other one, and is counted exactly.
func TestFloodOfRefusals(t *testing.T) {
	s := setStage(t)
	_, _, addr := s.server("127.0.0.1:30000")
	const processes, each = 10, 5000
	done := make(chan *tracertest.Actor, processes)
	flooders := make([]*tracertest.Actor, processes)
	for i := range flooders {
		flooders[i] = s.actor("flooder")
	}
	for _, a := range flooders {
		go func() { a.Repeat(addr.String(), each); done <- a }()
	}
	eleventh := s.actor("eleventh")
	eleventh.Socket(tracertest.TCP4).Bind("127.0.0.1:30000")
	for range processes {
		<-done
	}
	s.settle()
	s.until("a second of polls", func(ev *event.Event) bool { return ev.Kind == event.KindTick })
	counts := map[uint32]uint64{}
	var total uint64
	for _, f := range s.failures() {
		counts[f.Owner.PID] += f.Count
		total += f.Count
	}
	skipped := s.skipped("pw_bind_x", "pw_bind4")
	// In mode full the outer function tells what the inner one was skipped for.
	within(s, "refusals told", total, 0, processes*each+1)
	within(s, "refusals, told or counted as lost", total+skipped, processes*each+1, processes*each+1+skipped)
	if skipped > 0 {
		t.Logf("cannot know: whose were %d refusals of %d: the kernel skipped the program, and counted that", skipped, total+skipped)
		return
	}
	for _, a := range flooders {
		want(s, "refusals of one flooder", counts[uint32(a.PID)], each)
	}
	want(s, "refusals of the eleventh", counts[uint32(eleventh.PID)], 1)
	for _, ev := range s.events {
		if ev.Kind == event.KindFailure && ev.Failure.Owner.Comm.String() == "eleventh" && ev.Thread.TID == 0 {
			t.Error("the eleventh's refusal came from the poll, not at once")
		}
	}
}
