package host

import (
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/portwatch/portwatch/internal/event"
)

func TestParseSocket(t *testing.T) {
	tests := []struct {
		name, line string
		protocol   event.Protocol
		want       Socket
		ok         bool
	}{
		{
			"listener", "0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1", event.TCP,
			Socket{Protocol: event.TCP, State: event.StateListen, Local: netip.MustParseAddrPort("0.0.0.0:8080"), Inode: 4242},
			true,
		},
		{
			"connection", "1: 0100000A:8000 0500000A:01BB 01 0:0 0:0 0 0 0 7 1", event.TCP,
			Socket{
				Protocol: event.TCP, State: event.StateEstablished, Inode: 7,
				Local: netip.MustParseAddrPort("10.0.0.1:32768"), Remote: netip.MustParseAddrPort("10.0.0.5:443"),
			},
			true,
		},
		{
			"IPv6", "1: 000080FE00000000FF00FE0001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7 1", event.TCP,
			Socket{Protocol: event.TCP, State: event.StateListen, Local: netip.MustParseAddrPort("[fe80::fe:ff:0:1]:80"), Inode: 7},
			true,
		},
		{
			"UDP", "1: 0100007F:0035 00000000:0000 07 0:0 0:0 0 0 0 7 1", event.UDP,
			Socket{Protocol: event.UDP, State: event.StateUnconnected, Local: netip.MustParseAddrPort("127.0.0.1:53"), Inode: 7},
			true,
		},
		{"short", "1: 0100007F:0035 00000000:0000 07", event.UDP, Socket{}, false},
		{"no address", "1: 01:0035 00000000:0000 07 0:0 0:0 0 0 0 7 1", event.UDP, Socket{}, false},
		{"no port", "1: 0100007F:X 00000000:0000 07 0:0 0:0 0 0 0 7 1", event.UDP, Socket{}, false},
	}
	for _, tt := range tests {
		if got, ok := parseSocket(tt.line, tt.protocol); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, ok, tt.want)
		}
	}
}

// A line that is no socket is an error: a listener less would be a wrong
// answer.
func TestListSocketsNamesTheLine(t *testing.T) {
	net := fstest.MapFS{"tcp": {Data: []byte("header\ngarbage\n")}, "udp": {Data: []byte("header\n")}}
	err := ListSockets(net, func(*Socket) {})
	if err == nil || !strings.Contains(err.Error(), `parse tcp: line 2, "garbage"`) {
		t.Errorf("ListSockets() = %v", err)
	}
}

// An accepted connection costs no port, whatever its state; one from a bound
// port that nobody listens on does.
func TestSurveyTellsServersFromClients(t *testing.T) {
	s := NewSurvey(&event.Limits{Range: event.PortRange{Low: 32768, High: 60999}})
	add := func(state event.State, local, remote string) {
		k := Socket{Protocol: event.TCP, State: state, Local: netip.MustParseAddrPort(local)}
		if remote != "" {
			k.Remote = netip.MustParseAddrPort(remote)
		}
		s.Add(&k)
	}
	add(event.StateListen, "0.0.0.0:8080", "")
	add(event.StateEstablished, "10.0.0.1:8080", "10.0.0.9:50000")
	add(event.StateTimeWait, "10.0.0.1:8080", "10.0.0.9:50001")
	add(event.StateSynRecv, "10.0.0.1:8080", "10.0.0.9:50002")
	add(event.StateEstablished, "10.0.0.1:40000", "10.0.0.5:443")
	add(event.StateTimeWait, "10.0.0.1:40003", "10.0.0.5:443")
	add(event.StateEstablished, "10.0.0.1:40000", "10.0.0.5:80")
	pool, found, complete := s.Fullest()
	if !found || !complete || pool.Ports != 2 || pool.Remote.Port() != 443 {
		t.Errorf("the fullest pool is %+v", pool)
	}
	if even, odd := s.Halves(pool, 32768); even != 1 || odd != 1 {
		t.Errorf("halves are %d and %d", even, odd)
	}
	if s.Accepted[8080] != 2 || s.Handshakes[8080] != 1 || s.TimeWait != 2 {
		t.Errorf("accepted %d, handshakes %d, TIME_WAIT %d", s.Accepted[8080], s.Handshakes[8080], s.TimeWait)
	}
	if got := s.Outside(event.PortRange{Low: 40001, High: 60999}).String(); got != "40000" {
		t.Errorf("outside of the range are %s", got)
	}
}

func FuzzParseServices(f *testing.F) {
	f.Add("http 80/tcp\n")
	f.Add("Service Name,Port Number,Transport Protocol\nhttp,80,tcp\n")
	f.Fuzz(func(t *testing.T, text string) {
		services, err := ParseServices(text)
		if err != nil && services != nil {
			t.Errorf("services %v beside %v", services, err)
		}
		for _, s := range services {
			if s.Ports.Low == 0 || s.Ports.Ports() == 0 {
				t.Errorf("service %+v has no port", s)
			}
		}
	})
}

func FuzzParseResources(f *testing.F) {
	f.Add("cpus:8;ports(*):[31000-32000, 8080]")
	f.Add(`[{"name":"ports","ranges":{"range":[{"begin":1,"end":2}]}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		ranges, _, err := parseResources(text)
		for _, r := range ranges {
			if err == nil && (r.Low == 0 || r.Ports() == 0) {
				t.Errorf("parseResources(%q) = %v", text, ranges)
			}
		}
	})
}

// What counts against connect() is what the kernel may deal: ports of the range
// that nobody bound, and no TIME_WAIT that it takes over anyway.
func TestSurveyCountsWhatConnectCannotHave(t *testing.T) {
	settings := event.Limits{
		Range: event.PortRange{Low: 40000, High: 40009}, Reserved: []event.PortRange{{Low: 40009, High: 40009}},
		TWReuse: 2, Timestamps: 1,
	}
	s := NewSurvey(&settings)
	for _, k := range []struct {
		state         event.State
		local, remote string
	}{
		{event.StateEstablished, "127.0.0.1:40001", "127.0.0.1:443"},
		{event.StateEstablished, "127.0.0.1:20000", "127.0.0.1:443"}, // no port of the range
		{event.StateEstablished, "127.0.0.1:40009", "127.0.0.1:443"}, // reserved
		{event.StateTimeWait, "127.0.0.1:40002", "127.0.0.1:443"},    // taken over
		{event.StateTimeWait, "10.0.0.1:40002", "10.0.0.5:443"},      // not on the loopback
		{event.StateBound, "127.0.0.9:40003", ""},
		{event.StateBound, "127.0.0.9:20003", ""},
	} {
		socket := Socket{Protocol: event.TCP, State: k.state, Local: netip.MustParseAddrPort(k.local)}
		if k.remote != "" {
			socket.Remote = netip.MustParseAddrPort(k.remote)
		}
		s.Add(&socket)
	}
	for _, pool := range s.Pools(10) {
		if pool.Ports != 1 {
			t.Errorf("%v holds %d ports towards %v, want 1", pool.Local, pool.Ports, pool.Remote)
		}
	}
	if len(s.Pools(10)) != 2 || s.Poisoned() != 1 {
		t.Errorf("%d pools and %d poisoned ports, want 2 and 1", len(s.Pools(10)), s.Poisoned())
	}
}
