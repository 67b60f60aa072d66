package tracer

import (
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

func loopback(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
}

var somewhere = netip.MustParseAddrPort("127.0.0.1:9")

// Scenario 4: UDP takes ports by bind, connect and send, and gives them back.
func TestLifeOfUDP(t *testing.T) {
	s := setStage(t)
	a := s.actor("resolver")
	bound, connected, sender := a.Socket(tracertest.UDP4), a.Socket(tracertest.UDP4), a.Socket(tracertest.UDP4)
	want(s, "bind", bound.Bind("127.0.0.1:0"), 0)
	want(s, "connect", connected.Connect(somewhere), 0)
	want(s, "send", sender.SendTo(somewhere), 0)
	want(s, "send again", sender.SendTo(somewhere), 0)
	ports := [...]uint16{bound.Local().Port(), connected.Local().Port(), sender.Local().Port()}
	want(s, "narrowed address", connected.Local().Addr().String(), "127.0.0.1")
	bound.Connect(somewhere)
	connected.Disconnect()
	sender.Close()
	s.settle()

	want(s, "bound", path(s.of(ports[0])), "allocate:UNCONNECTED state:CONNECTED")
	want(s, "connected", path(s.of(ports[1])), "allocate:CONNECTED release:disconnected")
	want(s, "sender", path(s.of(ports[2])), "allocate:UNCONNECTED release:closed")
	origins := [...]event.Origin{event.OriginBind0, event.OriginAutobind, event.OriginAutobind}
	confidences := [...]event.Confidence{event.ConfidenceExact, event.ConfidenceExact, event.ConfidenceExact}
	if !s.full() {
		cannotTell(s, "whether a UDP send took its port or found it")
		confidences[2] = event.ConfidenceSnapshot
	}
	locals := [...]string{"127.0.0.1", "127.0.0.1", "0.0.0.0"}
	for i, port := range ports {
		lease := s.of(port)[0].Lease
		want(s, "owner", int(lease.Owner.PID), a.PID)
		want(s, "confidence", lease.Owner.Confidence, confidences[i])
		want(s, "origin", lease.Origin, origins[i])
		want(s, "local address", lease.Local.Addr().String(), locals[i])
	}
}

// A send that fails before any cgroup program is asked has taken a port all the
// same: the sender has it, not whom the socket is given to later.
func TestFailedSendTakesAPort(t *testing.T) {
	s := setStage(t)
	sender, heir := s.actor("sender"), s.actor("heir")
	c := sender.Socket(tracertest.UDP6)
	want(s, "bind", c.Bind("[::1]:0"), 0)
	want(s, "disconnect", c.Disconnect(), 0)
	want(s, "send", c.SendTo(netip.MustParseAddrPort("[::ffff:127.0.0.1]:9")), syscall.ENETUNREACH)
	port := c.Local().Port()
	c.PassTo(heir)
	s.settle()
	want(s, "life", path(s.of(port)), "allocate:UNCONNECTED")
	lease := s.of(port)[0].Lease
	want(s, "owner", int(lease.Owner.PID), sender.PID)
	want(s, "origin", lease.Origin, event.OriginAutobind)
}

// Scenario 4: UDP without a port left, by each of the three ways.
func TestUDPExhaustion(t *testing.T) {
	s := setStage(t)
	s.ns.SetRange(40000, 40009)
	a := s.actor("resolver")
	for range 10 {
		want(s, "bind", a.Socket(tracertest.UDP4).Bind("0.0.0.0:0"), 0)
	}
	want(s, "bind", a.Socket(tracertest.UDP4).Bind("0.0.0.0:0"), syscall.EADDRINUSE)
	want(s, "connect", a.Socket(tracertest.UDP4).Connect(somewhere), syscall.EAGAIN)
	want(s, "send", a.Socket(tracertest.UDP4).SendTo(somewhere), syscall.EAGAIN)
	s.settle()
	failures := s.failures()
	want(s, "failures", len(failures), 3)
	for i, operation := range [...]event.Operation{event.OperationBind, event.OperationConnect, event.OperationSend} {
		want(s, "operation", failures[i].Operation, operation)
		want(s, "reason", failures[i].Reason, event.ReasonRangeExhausted)
		want(s, "protocol", failures[i].Protocol, event.UDP)
		wantOwner(s, &failures[i].Owner, a, "resolver")
	}
	want(s, "destination of the connect", failures[1].Remote, somewhere)
}

// Scenario 4: a send that finds its buffer full is no refusal of a port.
func TestFullBufferIsNoExhaustion(t *testing.T) {
	s := setStage(t)
	a := s.actor("sender")
	u := a.Socket(tracertest.UDP4)
	u.NonBlocking()
	u.Set(unix.SOL_SOCKET, unix.SO_SNDBUF, 1)
	var errno syscall.Errno
	for i := 0; i < 10000 && errno == 0; i++ {
		errno = u.SendTo(somewhere)
	}
	s.settle()
	want(s, "failures", len(s.failures()), 0)
}

// Scenario 11: families.
func TestFamilies(t *testing.T) {
	s := setStage(t)
	a, client := s.actor("server"), s.actor("client")
	dual := a.Socket(tracertest.TCP6)
	dual.Set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	want(s, "bind", dual.Bind("[::]:30007"), 0)
	dual.Listen(16)
	mapped, six := client.Socket(tracertest.TCP6), client.Socket(tracertest.TCP6)
	want(s, "mapped", mapped.Connect(netip.MustParseAddrPort("[::ffff:127.0.0.1]:30007")), 0)
	s.ns.SetRange(41000, 41099) // the families may have the same port
	want(s, "IPv6", six.Connect(netip.MustParseAddrPort("[::1]:30007")), 0)
	ports := [...]uint16{mapped.Local().Port(), six.Local().Port()}
	s.settle()
	listener := s.of(30007)
	want(s, "listener", path(listener), "allocate:BOUND state:LISTEN")
	want(s, "listener's family", listener[0].Lease.Family, event.IPv6)
	first, second := s.of(ports[0]), s.of(ports[1])
	want(s, "mapped", path(first), "allocate:ESTABLISHED")
	want(s, "mapped family", first[0].Lease.Family, event.IPv4)
	want(s, "mapped remote", first[0].Lease.Remote.String(), "127.0.0.1:30007")
	want(s, "IPv6", path(second), "allocate:ESTABLISHED")
	want(s, "IPv6 family", second[0].Lease.Family, event.IPv6)
	want(s, "IPv6 remote", second[0].Lease.Remote.String(), "[::1]:30007")
}
