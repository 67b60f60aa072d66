package sockdiag

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// message is what a kernel would write into one struct inet_diag_msg.
type message struct {
	family, state, timer      uint8
	local, remote             string // address and port
	device, expires           uint32
	cookie                    uint64
	receive, send, uid, inode uint32
	attributes                []byte
}

func (m message) encode(t testing.TB) []byte {
	t.Helper()
	b := make([]byte, sizeofMsg)
	b[offFamily], b[offState], b[offTimer] = m.family, m.state, m.timer
	endpoint(t, m.local, b[offLocalPort:], b[offLocal:])
	endpoint(t, m.remote, b[offRemotePort:], b[offRemote:])
	binary.NativeEndian.PutUint32(b[offDevice:], m.device)
	binary.NativeEndian.PutUint32(b[offCookie:], uint32(m.cookie))
	binary.NativeEndian.PutUint32(b[offCookie+4:], uint32(m.cookie>>32))
	binary.NativeEndian.PutUint32(b[offExpires:], m.expires)
	binary.NativeEndian.PutUint32(b[offRQueue:], m.receive)
	binary.NativeEndian.PutUint32(b[offWQueue:], m.send)
	binary.NativeEndian.PutUint32(b[offUID:], m.uid)
	binary.NativeEndian.PutUint32(b[offInode:], m.inode)
	return append(b, m.attributes...)
}

func endpoint(t testing.TB, text string, port, addr []byte) {
	t.Helper()
	if text == "" {
		return
	}
	ap, err := netip.ParseAddrPort(text)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint16(port, ap.Port())
	copy(addr, ap.Addr().AsSlice())
}

// attribute encodes one struct nlattr with its padding.
func attribute(kind uint16, payload ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.NLA_HDRLEN+len(payload)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), payload...)
	return append(b, make([]byte, -len(b)&3)...)
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestParse(t *testing.T) {
	cgroup := attribute(attrCgroupID, binary.NativeEndian.AppendUint64(nil, 0x1_0000_2345)...)
	tests := []struct {
		name     string
		protocol event.Protocol
		msg      message
		want     Socket
	}{
		{
			"established", event.TCP,
			message{
				family: unix.AF_INET, state: 1, timer: 1, local: "10.0.0.1:40000", remote: "10.0.0.5:443",
				device: 3, expires: 200, cookie: 0xa_0000_000b, receive: 1, send: 2, uid: 33, inode: 4711,
				attributes: append(attribute(8, 0), cgroup...),
			},
			Socket{
				Protocol: event.TCP, Family: event.IPv4, State: event.StateEstablished,
				Local: addrPort("10.0.0.1:40000"), Remote: addrPort("10.0.0.5:443"), Device: 3,
				Cookie: 0xa_0000_000b, UID: 33, Inode: 4711, Timer: TimerRetransmit,
				Expires: 200 * time.Millisecond, CgroupID: 0x1_0000_2345, ReceiveQueue: 1, SendQueue: 2,
			},
		},
		{
			"dual-stack listener", event.TCP,
			message{family: unix.AF_INET6, state: 10, local: "[::]:80", send: 128, attributes: attribute(attrV6Only, 0)},
			Socket{
				Protocol: event.TCP, Family: event.IPv6, State: event.StateListen,
				Local: addrPort("[::]:80"), SendQueue: 128,
			},
		},
		{
			"v6-only listener", event.TCP,
			message{family: unix.AF_INET6, state: 10, local: "[::1]:80", attributes: attribute(attrV6Only, 1)},
			Socket{
				Protocol: event.TCP, Family: event.IPv6, State: event.StateListen,
				Local: addrPort("[::1]:80"), V6Only: true,
			},
		},
		{
			"v4-mapped", event.TCP,
			message{family: unix.AF_INET6, state: 8, local: "[::ffff:10.0.0.1]:80", remote: "[::ffff:10.0.0.2]:5"},
			Socket{
				Protocol: event.TCP, Family: event.IPv4, State: event.StateCloseWait,
				Local: addrPort("10.0.0.1:80"), Remote: addrPort("10.0.0.2:5"),
			},
		},
		{
			"UDP connected", event.UDP,
			message{family: unix.AF_INET, state: 1, local: "10.0.0.1:40000", remote: "10.0.0.5:53"},
			Socket{
				Protocol: event.UDP, Family: event.IPv4, State: event.StateConnected,
				Local: addrPort("10.0.0.1:40000"), Remote: addrPort("10.0.0.5:53"),
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(tt.msg.encode(t), tt.protocol)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(equalAddrPort)); diff != "" {
				t.Errorf("socket (-want +got):\n%s", diff)
			}
		})
	}
}

func equalAddrPort(a, b netip.AddrPort) bool { return a == b }

func TestStateOf(t *testing.T) {
	tests := []struct {
		name     string
		protocol event.Protocol
		kernel   uint8
		timer    Timer
		state    event.State
		substate event.Substate
	}{
		{"full FIN_WAIT2", event.TCP, 5, TimerKeepalive, event.StateFinWait2, 0},
		{"mini FIN_WAIT2", event.TCP, 5, TimerTimeWait, event.StateTimeWait, event.SubstateFinWait2},
		{"TIME_WAIT", event.TCP, 6, TimerTimeWait, event.StateTimeWait, event.SubstateTimeWait},
		{"unheard-of sub-state", event.TCP, 9, TimerTimeWait, event.StateTimeWait, event.SubstateUnknown},
		{"bound, as listed", event.TCP, 7, TimerNone, event.StateBound, 0},
		{"bound, as asked for", event.TCP, 13, TimerNone, event.StateBound, 0},
		{"SYN_RECV", event.TCP, 3, TimerRetransmit, event.StateSynRecv, 0},
		{"unheard-of state", event.TCP, 14, TimerNone, event.StateUnknown, 0},
		{"UDP unconnected", event.UDP, 7, TimerNone, event.StateUnconnected, 0},
		{"UDP connected", event.UDP, 1, TimerNone, event.StateConnected, 0},
		{"unheard-of UDP state", event.UDP, 2, TimerNone, event.StateUnknown, 0},
		{"another protocol", 132, 1, TimerNone, event.StateUnknown, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			state, substate := stateOf(tt.protocol, tt.kernel, tt.timer)
			if state != tt.state || substate != tt.substate {
				t.Errorf("stateOf() = %v, %v; want %v, %v", state, substate, tt.state, tt.substate)
			}
		})
	}
}

func TestParseRejects(t *testing.T) {
	whole := message{family: unix.AF_INET, state: 1, local: "10.0.0.1:1"}
	with := func(attributes ...byte) []byte {
		m := whole
		m.attributes = attributes
		return m.encode(t)
	}
	tests := []struct {
		name string
		msg  []byte
	}{
		{"nothing", nil},
		{"cut short", whole.encode(t)[:sizeofMsg-1]},
		{"unix socket", message{family: unix.AF_UNIX}.encode(t)},
		{"attribute without header", with(4, 0)},
		{"attribute longer than the message", with(255, 255, 21, 0)},
		{"attribute shorter than its header", with(0, 0, 21, 0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if s, err := parse(tt.msg, event.TCP); err == nil {
				t.Errorf("parse() = %+v, want an error", s)
			}
		})
	}
}

func FuzzInetDiag(f *testing.F) {
	f.Add([]byte(nil), uint8(event.TCP))
	f.Add(message{family: unix.AF_INET6, state: 10, local: "[::]:80", attributes: attribute(attrV6Only, 1)}.encode(f),
		uint8(event.TCP))
	f.Add(message{family: unix.AF_INET, state: 6, timer: 3, local: "10.0.0.1:1", remote: "10.0.0.2:2"}.encode(f),
		uint8(event.UDP))
	f.Fuzz(func(t *testing.T, msg []byte, protocol uint8) {
		s, err := parse(msg, event.Protocol(protocol))
		if err != nil {
			return
		}
		if !s.Local.IsValid() || s.Local.Addr().Is4() != (s.Family == event.IPv4) || s.Local.Addr().Is4In6() {
			t.Errorf("family %v of local address %v", s.Family, s.Local)
		}
		if s.Substate != 0 && s.State != event.StateTimeWait {
			t.Errorf("state %v has sub-state %v", s.State, s.Substate)
		}
		if n := testing.AllocsPerRun(1, func() { _, _ = parse(msg, event.TCP) }); n != 0 {
			t.Errorf("%v allocations for %d bytes", n, len(msg))
		}
	})
}

func BenchmarkParse(b *testing.B) {
	msg := message{
		family: unix.AF_INET, state: 1, local: "10.0.0.1:40000", remote: "10.0.0.5:443",
		attributes: attribute(attrCgroupID, 1, 2, 3, 4, 5, 6, 7, 8),
	}.encode(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(msg, event.TCP); err != nil {
			b.Fatal(err)
		}
	}
}
