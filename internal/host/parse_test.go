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
	s := NewSurvey()
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
