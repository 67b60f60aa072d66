package aggregate

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

var meterTarget = ConnectTarget{Remote: netip.MustParseAddrPort("10.0.0.5:443"), Local: netip.MustParseAddr("10.0.0.1")}

// metered counts the headroom of ports 40000 to 40009, of which 40009 is reserved.
func metered(reuse int, blind bool, sockets ...event.Sighting) ConnectAnswer {
	limits := event.Limits{
		NetNS: askedNS, Range: event.PortRange{Low: 40000, High: 40009}, Reserved: []event.PortRange{{Low: 40009, High: 40009}},
		TWReuse: reuse, Timestamps: 1, TWReuseDelayMillis: new(1000),
	}
	m := NewConnectMeter(&limits, "host", []ConnectTarget{meterTarget}, blind)
	for i := range sockets {
		m.Add(&sockets[i])
	}
	return m.Answers()[0]
}

// on moves a socket to a port; bound says what its bucket does.
func on(port uint16, bound bool, s event.Sighting) event.Sighting {
	s.Lease.Local = netip.AddrPortFrom(s.Lease.Local.Addr(), port)
	s.Bucket = event.Bucket{Known: true, Bound: bound}
	return s
}

func TestConnectMeter(t *testing.T) {
	mine := here(5, "10.0.0.1", event.StateEstablished, "10.0.0.5:443")
	elsewhere, otherDevice, stranger := mine, mine, mine
	elsewhere.Lease.Remote = netip.MustParseAddrPort("10.0.0.6:443")
	otherDevice.Lease.Device, stranger.Lease.NetNS = 3, otherNS
	listener := here(5, "0.0.0.0", event.StateListen, "")
	wait := waitingFor("10.0.0.5:443", time.Minute)
	wait.Lease.TimestampsSeen = true
	old, young, half := wait, wait, wait
	old.Lease.Entered, young.Lease.Entered = wait.Seen-event.Time(time.Second), wait.Seen-event.Time(time.Second)+1
	half.Lease.Substate, half.Lease.Entered = event.SubstateFinWait2, 0
	plain := old
	plain.Lease.TimestampsSeen = false
	vrf := on(40001, true, mine)
	vrf.Bucket.Domain = 7
	tests := []struct {
		name    string
		reuse   int
		sockets []event.Sighting
		want    int
	}{
		{"nobody", 0, nil, 9},
		{"one of ours", 0, []event.Sighting{on(40001, false, mine)}, 8},
		{"one on a reserved port", 0, []event.Sighting{on(40009, false, mine)}, 9},
		{"one outside the range", 0, []event.Sighting{on(40010, false, mine)}, 9},
		{"one to another destination", 0, []event.Sighting{on(40001, false, elsewhere)}, 9},
		{"one of a device", 0, []event.Sighting{on(40001, false, otherDevice)}, 9},
		{"one of another namespace", 0, []event.Sighting{on(40001, false, stranger)}, 9},
		{"one of a VRF", 0, []event.Sighting{vrf}, 9},
		{"a bound port", 0, []event.Sighting{on(40001, true, listener)}, 8},
		{"ours on a bound port counts once", 0, []event.Sighting{on(40001, true, mine)}, 8},
		{"a TIME_WAIT", 0, []event.Sighting{on(40001, false, old)}, 8},
		{"a TIME_WAIT that may be taken over", 1, []event.Sighting{on(40001, false, old)}, 9},
		{"one that is too young", 1, []event.Sighting{on(40001, false, young)}, 8},
		{"one without timestamps", 1, []event.Sighting{on(40001, false, plain)}, 8},
		{"one in FIN_WAIT2", 1, []event.Sighting{on(40001, false, half)}, 8},
		{"one beyond the loopback", 2, []event.Sighting{on(40001, false, old)}, 8},
	}
	for _, tt := range tests {
		if a := metered(tt.reuse, false, tt.sockets...); a.Pool.Headroom() != tt.want || a.AtMost {
			t.Errorf("%s: headroom %d, at most %v; want exactly %d", tt.name, a.Pool.Headroom(), a.AtMost, tt.want)
		}
	}
}

// Without BPF the headroom is the most that there can be.
func TestConnectMeterBlind(t *testing.T) {
	unread := func(port uint16, s event.Sighting) event.Sighting {
		s = on(port, false, s)
		s.Bucket = event.Bucket{}
		return s
	}
	mine := here(5, "10.0.0.1", event.StateEstablished, "10.0.0.5:443")
	for _, tt := range []struct {
		name  string
		reuse int
		s     event.Sighting
		want  int
	}{
		{"ours", 0, unread(40001, mine), 8},
		{"a listener", 0, unread(40001, here(5, "0.0.0.0", event.StateListen, "")), 8},
		{"a TIME_WAIT of unknown age", 0, unread(40001, waitingFor("10.0.0.5:443", time.Minute)), 8},
		{"the same where reuse is on", 1, unread(40001, waitingFor("10.0.0.5:443", time.Minute)), 9},
	} {
		if a := metered(tt.reuse, true, tt.s); a.Pool.Headroom() != tt.want || !a.AtMost || a.Pool.PoisonKnown {
			t.Errorf("%s: headroom %d, at most %v; want at most %d", tt.name, a.Pool.Headroom(), a.AtMost, tt.want)
		}
	}
}

// Each search of an odd range passes over a port: the last may not be had. A range
// of one port is searched.
func TestConnectMeterOddRange(t *testing.T) {
	for _, tt := range []struct {
		high uint16
		odd  bool
	}{{40000, false}, {40001, false}, {40002, true}, {40003, false}} {
		limits := event.Limits{NetNS: askedNS, Range: event.PortRange{Low: 40000, High: tt.high}}
		a := NewConnectMeter(&limits, "host", []ConnectTarget{meterTarget}, false).Answers()[0]
		if a.OddRange != tt.odd || a.AtMost != tt.odd || strings.HasPrefix(a.Explanation(), "At most") != tt.odd {
			t.Errorf("40000 to %d: %+v, %q, want odd %t", tt.high, a, a.Explanation(), tt.odd)
		}
	}
}
