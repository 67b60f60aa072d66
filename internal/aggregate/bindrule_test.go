package aggregate

import (
	"net/netip"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

// bindAsker is the user who asks in these tests, bindOther another one.
const (
	bindAsker = 1000
	bindOther = 1001
)

// socketAt is a socket on port 8080 whose flags are known.
func socketAt(addr string, state event.State, sharing event.Sharing) event.Sighting {
	local := netip.AddrPortFrom(netip.MustParseAddr(addr), 8080)
	sharing.Known = true
	return event.Sighting{Sharing: sharing, Lease: event.Lease{
		Protocol: event.TCP, Family: familyOfAddr(local.Addr()), State: state, Local: local,
	}}
}

func requestAt(addr string, flags string) *BindRequest {
	return &BindRequest{
		Protocol: event.TCP, Local: netip.AddrPortFrom(netip.MustParseAddr(addr), 8080), UID: bindAsker,
		ReuseAddr: flags == "addr", ReusePort: flags == "port",
		Privileged: AnswerNo, AddressLocal: AnswerYes, UnprivilegedStart: 1024,
	}
}

func TestJudgeBind(t *testing.T) {
	var none, addr, port, others event.Sharing
	addr.ReuseAddr = true
	port.ReusePort, port.UID = true, bindAsker
	others.ReusePort, others.UID = true, bindOther
	listen, wait, bound := event.StateListen, event.StateTimeWait, event.StateBound
	udp := func(s event.Sighting) event.Sighting { s.Lease.Protocol = event.UDP; return s }
	v6only := func(s event.Sighting) event.Sighting { s.Lease.V6Only = true; return s }
	on := func(device uint32, s event.Sighting) event.Sighting { s.Lease.Device = device; return s }
	vrf := func(s event.Sighting) event.Sighting {
		s.Bucket = event.Bucket{Known: true, Bound: true, Domain: 7}
		return s
	}
	tests := []struct {
		name, at, flags string
		sockets         []event.Sighting
		want            Answer
	}{
		{"nobody", "0.0.0.0", "", nil, AnswerNo},
		{"plain against plain", "0.0.0.0", "", []event.Sighting{socketAt("0.0.0.0", bound, none)}, AnswerYes},
		{"another address", "10.0.0.1", "", []event.Sighting{socketAt("10.0.0.2", bound, none)}, AnswerNo},
		{"wildcard against an address", "0.0.0.0", "", []event.Sighting{socketAt("10.0.0.2", bound, none)}, AnswerYes},
		{"address against the wildcard", "10.0.0.1", "", []event.Sighting{socketAt("0.0.0.0", bound, none)}, AnswerYes},
		{"IPv6 wildcard against IPv4", "::", "", []event.Sighting{socketAt("10.0.0.2", bound, none)}, AnswerYes},
		{"IPv6 address against IPv4", "fd00::1", "", []event.Sighting{socketAt("0.0.0.0", bound, none)}, AnswerNo},
		{"IPv4 against dual stack", "10.0.0.1", "", []event.Sighting{socketAt("::", bound, none)}, AnswerYes},
		{"IPv4 against IPv6 only", "10.0.0.1", "", []event.Sighting{v6only(socketAt("::", bound, none))}, AnswerNo},
		{"bound to a device", "0.0.0.0", "", []event.Sighting{on(3, socketAt("0.0.0.0", bound, none))}, AnswerYes},
		{"in another VRF", "0.0.0.0", "", []event.Sighting{vrf(socketAt("0.0.0.0", bound, none))}, AnswerNo},

		{"reuseaddr against plain", "0.0.0.0", "addr", []event.Sighting{socketAt("0.0.0.0", bound, none)}, AnswerYes},
		{"reuseaddr against reuseaddr", "0.0.0.0", "addr", []event.Sighting{socketAt("0.0.0.0", bound, addr)}, AnswerNo},
		{"reuseaddr against its listener", "0.0.0.0", "addr", []event.Sighting{socketAt("0.0.0.0", listen, addr)}, AnswerYes},
		{"reuseaddr against a server's TIME_WAIT", "0.0.0.0", "addr", []event.Sighting{socketAt("10.0.0.1", wait, addr)}, AnswerNo},
		{"reuseaddr against a client's TIME_WAIT", "0.0.0.0", "addr", []event.Sighting{socketAt("10.0.0.1", wait, none)}, AnswerYes},
		{"plain against reuseaddr", "0.0.0.0", "", []event.Sighting{socketAt("0.0.0.0", bound, addr)}, AnswerYes},

		{"reuseport against plain", "0.0.0.0", "port", []event.Sighting{socketAt("0.0.0.0", bound, none)}, AnswerYes},
		{"reuseport against one's own listener", "0.0.0.0", "port", []event.Sighting{socketAt("0.0.0.0", listen, port)}, AnswerNo},
		{"reuseport against another user", "0.0.0.0", "port", []event.Sighting{socketAt("0.0.0.0", listen, others)}, AnswerYes},
		{"reuseport against another user's TIME_WAIT", "0.0.0.0", "port", []event.Sighting{socketAt("0.0.0.0", wait, others)}, AnswerNo},
		{"reuseport against reuseaddr", "0.0.0.0", "port", []event.Sighting{socketAt("0.0.0.0", bound, addr)}, AnswerYes},

		{"UDP reuseaddr against reuseaddr", "0.0.0.0", "addr", []event.Sighting{udp(socketAt("0.0.0.0", event.StateUnconnected, addr))}, AnswerNo},
		{"UDP reuseport against another user", "0.0.0.0", "port", []event.Sighting{udp(socketAt("0.0.0.0", event.StateUnconnected, others))}, AnswerYes},
		{"UDP reuseport against one's own", "0.0.0.0", "port", []event.Sighting{udp(socketAt("0.0.0.0", event.StateUnconnected, port))}, AnswerNo},
		{
			"UDP reuseport against one's own and a stranger", "0.0.0.0", "port",
			[]event.Sighting{udp(socketAt("10.0.0.1", event.StateUnconnected, port)), udp(socketAt("10.0.0.2", event.StateUnconnected, none))},
			AnswerUnknown,
		},
		{
			"TCP reuseport against one's own and a stranger", "0.0.0.0", "port",
			[]event.Sighting{socketAt("10.0.0.1", bound, port), socketAt("10.0.0.2", bound, none)},
			AnswerYes,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := requestAt(tt.at, tt.flags)
			if len(tt.sockets) > 0 {
				r.Protocol = tt.sockets[0].Lease.Protocol
			}
			got := JudgeBind(r, tt.sockets, true)
			if got.Fails != tt.want {
				t.Fatalf("fails: %d, want %d", got.Fails, tt.want)
			}
			if (got.Errno == event.EADDRINUSE) != (tt.want == AnswerYes) || (got.Reason == event.ReasonPortHeld) != (tt.want == AnswerYes) {
				t.Errorf("errno %s, reason %s", got.Errno, got.Reason)
			}
			if (len(got.InTheWay) > 0) != (tt.want != AnswerNo) {
				t.Errorf("in the way: %v", got.InTheWay)
			}
		})
	}
}

// The bucket lets a request pass whatever its sockets say by now.
func TestJudgeBindByTheBucket(t *testing.T) {
	with := func(b event.Bucket) []event.Sighting {
		s := socketAt("10.0.0.1", event.StateBound, event.Sharing{})
		b.Known = true
		s.Bucket = b
		return []event.Sighting{s}
	}
	at := netip.MustParseAddr
	everywhere := event.Bucket{ReusePort: event.ReachEverywhere, UID: bindAsker}
	tests := []struct {
		name, at, flags string
		bucket          event.Bucket
		want            Answer
	}{
		{"no leave", "10.0.0.1", "addr", event.Bucket{}, AnswerYes},
		{"reuseaddr", "10.0.0.1", "addr", event.Bucket{ReuseAddr: true}, AnswerNo},
		{"reuseaddr, plain asks", "10.0.0.1", "", event.Bucket{ReuseAddr: true}, AnswerYes},
		{"reuseport", "10.0.0.1", "port", everywhere, AnswerNo},
		{"reuseport of another user", "10.0.0.1", "port", event.Bucket{ReusePort: event.ReachEverywhere, UID: bindOther}, AnswerYes},
		{"reuseport at the address", "10.0.0.1", "port", event.Bucket{ReusePort: event.ReachAddress, UID: bindAsker, At: at("10.0.0.1")}, AnswerNo},
		{"reuseport at every address", "10.0.0.1", "port", event.Bucket{ReusePort: event.ReachAddress, UID: bindAsker, At: at("0.0.0.0")}, AnswerNo},
		{"reuseport elsewhere", "10.0.0.1", "port", event.Bucket{ReusePort: event.ReachAddress, UID: bindAsker, At: at("10.0.0.2")}, AnswerYes},
		{"reuseport, the wildcard asks", "0.0.0.0", "port", event.Bucket{ReusePort: event.ReachAddress, UID: bindAsker, At: at("10.0.0.1")}, AnswerYes},
		{"dual stack", "10.0.0.1", "port", event.Bucket{ReusePort: event.ReachAddress, UID: bindAsker, At: at("::")}, AnswerNo},
		{"IPv6 only", "10.0.0.1", "port", event.Bucket{ReusePort: event.ReachAddress, UID: bindAsker, At: at("::"), AtV6Only: true}, AnswerYes},
		{"the IPv6 wildcard asks", "::", "port", event.Bucket{ReusePort: event.ReachAddress, UID: bindAsker, At: at("0.0.0.0")}, AnswerNo},
		{"the IPv6 wildcard asks at a v4-mapped one", "::", "port", event.Bucket{ReusePort: event.ReachAddress, UID: bindAsker, At: at("::ffff:0.0.0.0")}, AnswerYes},
		{"IPv4 asks at a v4-mapped one", "10.0.0.1", "port", event.Bucket{ReusePort: event.ReachAddress, UID: bindAsker, At: at("::ffff:0.0.0.0")}, AnswerNo},
		{"the IPv6 wildcard asks at an address", "::", "port", event.Bucket{ReusePort: event.ReachAddress, UID: bindAsker, At: at("10.0.0.1")}, AnswerYes},
	}
	for _, tt := range tests {
		if got := JudgeBind(requestAt(tt.at, tt.flags), with(tt.bucket), true).Fails; got != tt.want {
			t.Errorf("%s: fails: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// What the kernel asks before it looks at the port, and in which order.
func TestJudgeBindBeforeThePort(t *testing.T) {
	held := []event.Sighting{socketAt("::", event.StateBound, event.Sharing{})}
	tests := []struct {
		name              string
		at                string
		port              uint16
		privileged, local Answer
		want              Answer
		errno             event.Errno
	}{
		{"port 1023 without the capability", "10.0.0.1", 1023, AnswerNo, AnswerYes, AnswerYes, event.EACCES},
		{"port 1023 with it", "10.0.0.1", 1023, AnswerYes, AnswerYes, AnswerYes, event.EADDRINUSE},
		{"port 1024 without it", "10.0.0.1", 1024, AnswerNo, AnswerYes, AnswerYes, event.EADDRINUSE},
		{"a foreign address", "10.0.0.1", 1024, AnswerNo, AnswerNo, AnswerYes, event.EADDRNOTAVAIL},
		{"IPv4 asks for the address first", "10.0.0.1", 80, AnswerNo, AnswerNo, AnswerYes, event.EADDRNOTAVAIL},
		{"IPv6 asks for the capability first", "fd00::1", 80, AnswerNo, AnswerNo, AnswerYes, event.EACCES},
		{"nobody knows by what", "10.0.0.1", 80, AnswerUnknown, AnswerYes, AnswerYes, 0},
	}
	for _, tt := range tests {
		r := requestAt(tt.at, "")
		r.Local = netip.AddrPortFrom(r.Local.Addr(), tt.port)
		r.Privileged, r.AddressLocal = tt.privileged, tt.local
		if got := JudgeBind(r, held, true); got.Fails != tt.want || got.Errno != tt.errno {
			t.Errorf("%s: fails %d by %s, want %d by %s", tt.name, got.Fails, got.Errno, tt.want, tt.errno)
		}
	}
	r := requestAt("10.0.0.1", "")
	if got := JudgeBind(r, nil, false).Fails; got != AnswerUnknown {
		t.Errorf("without all sockets: fails %d, want not known", got)
	}
	r.AddressLocal = AnswerUnknown
	if got := JudgeBind(r, nil, true).Fails; got != AnswerUnknown {
		t.Errorf("without knowing the address: fails %d, want not known", got)
	}
}

// Without the flags of the sockets, only what does not depend on them is known.
func TestJudgeBindWithoutFlags(t *testing.T) {
	unread := func(addr string, state event.State) []event.Sighting {
		s := socketAt(addr, state, event.Sharing{})
		s.Sharing = event.Sharing{}
		return []event.Sighting{s}
	}
	connected := unread("fd00::1", event.StateEstablished)
	connected[0].Lease.Remote = netip.MustParseAddrPort("[fd00::2]:443")
	tests := []struct {
		name, at, flags string
		sockets         []event.Sighting
		want            Answer
	}{
		{"plain", "0.0.0.0", "", unread("0.0.0.0", event.StateBound), AnswerYes},
		{"reuseaddr against a listener", "0.0.0.0", "addr", unread("0.0.0.0", event.StateListen), AnswerYes},
		{"reuseaddr against others", "0.0.0.0", "addr", unread("0.0.0.0", event.StateTimeWait), AnswerUnknown},
		{"reuseport", "0.0.0.0", "port", unread("0.0.0.0", event.StateListen), AnswerUnknown},
		{"reuseport elsewhere", "10.0.0.1", "port", unread("10.0.0.2", event.StateListen), AnswerNo},
		{"an IPv6 connection against IPv4", "0.0.0.0", "", connected, AnswerUnknown},
		{"an IPv6 connection against IPv6", "::", "", connected, AnswerYes},
	}
	for _, tt := range tests {
		if got := JudgeBind(requestAt(tt.at, tt.flags), tt.sockets, true).Fails; got != tt.want {
			t.Errorf("%s: fails: %d, want %d", tt.name, got, tt.want)
		}
	}
}
