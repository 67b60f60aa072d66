package tracer

import (
	"net/netip"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
)

func socketAt(state event.State, local string) *sockdiag.Socket {
	return &sockdiag.Socket{Protocol: event.TCP, State: state, Local: netip.MustParseAddrPort(local)}
}

func TestAcceptedSocketsAreTold(t *testing.T) {
	on := func(device uint32, s *sockdiag.Socket) *sockdiag.Socket { s.Device = device; return s }
	v6Only := socketAt(event.StateListen, "[::]:80")
	v6Only.V6Only = true
	tests := []struct {
		name     string
		listener *sockdiag.Socket
		socket   *sockdiag.Socket
		want     bool
	}{
		{"child", socketAt(event.StateListen, "127.0.0.1:80"), socketAt(event.StateEstablished, "127.0.0.1:80"), true},
		{"its TIME_WAIT", socketAt(event.StateListen, "0.0.0.0:80"), socketAt(event.StateTimeWait, "10.0.0.1:80"), true},
		{"another address", socketAt(event.StateListen, "127.0.0.1:80"), socketAt(event.StateEstablished, "10.0.0.1:80"), false},
		{"another port", socketAt(event.StateListen, "0.0.0.0:80"), socketAt(event.StateEstablished, "10.0.0.1:81"), false},
		{"both families", socketAt(event.StateListen, "[::]:80"), socketAt(event.StateEstablished, "10.0.0.1:80"), true},
		{"IPv6 only", v6Only, socketAt(event.StateEstablished, "10.0.0.1:80"), false},
		{"IPv4 only", socketAt(event.StateListen, "0.0.0.0:80"), socketAt(event.StateEstablished, "[::1]:80"), false},
		{"another device", on(3, socketAt(event.StateListen, "0.0.0.0:80")), socketAt(event.StateEstablished, "10.0.0.1:80"), false},
		{"any device", socketAt(event.StateListen, "0.0.0.0:80"), on(3, socketAt(event.StateEstablished, "10.0.0.1:80")), true},
		{"a second listener", socketAt(event.StateListen, "0.0.0.0:80"), socketAt(event.StateListen, "10.0.0.1:80"), false},
		{"bound to the same port", socketAt(event.StateListen, "0.0.0.0:80"), socketAt(event.StateBound, "0.0.0.0:80"), false},
		{"no listener", socketAt(event.StateBound, "0.0.0.0:80"), socketAt(event.StateEstablished, "10.0.0.1:80"), false},
		{"half open", socketAt(event.StateListen, "0.0.0.0:80"), socketAt(event.StateSynRecv, "10.0.0.1:80"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := diagListeners{}
			l.accepted(tt.listener)
			if got := l.accepted(tt.socket); got != tt.want {
				t.Errorf("accepted: %v, want %v", got, tt.want)
			}
		})
	}
}

// told is what a dump of the sockets makes the table tell.
func told(t *diagLeases, whole bool, sockets ...*sockdiag.Socket) (holds, gone []event.Lease) {
	t.begin()
	for _, s := range sockets {
		t.meet(s, 7)
	}
	t.settle(map[uint32]bool{7: true}, whole, func(ev event.Event) {
		if ev.Correction == event.CorrectionGone {
			gone = append(gone, ev.Lease)
		} else {
			holds = append(holds, ev.Lease)
		}
	})
	return holds, gone
}

func connected(cookie uint64, state event.State, local string) *sockdiag.Socket {
	s := socketAt(state, local)
	s.Cookie = cookie
	return s
}

func TestDiagIdentity(t *testing.T) {
	table := newDiagLeases(10)
	live := connected(1, event.StateCloseWait, "10.0.0.1:40000")
	holds, _ := told(table, false, live)
	if len(holds) != 1 {
		t.Fatalf("told %v", holds)
	}
	first := holds[0].ID

	waiting := connected(1, event.StateTimeWait, "10.0.0.1:40000")
	if holds, gone := told(table, false, waiting); len(holds) != 1 || holds[0].ID != first || len(gone) != 0 {
		t.Errorf("a TIME_WAIT is not its socket's lease: %v, gone %v", holds, gone)
	}
	again := connected(1, event.StateEstablished, "10.0.0.1:40001")
	if holds, gone := told(table, false, waiting, again); len(holds) != 1 || holds[0].ID == first || len(gone) != 0 {
		t.Errorf("the socket that connects again is not a second lease: %v, gone %v", holds, gone)
	}
	moved := connected(1, event.StateEstablished, "10.0.0.1:40002")
	if holds, gone := told(table, false, waiting, moved); len(holds) != 1 || len(gone) != 1 || gone[0].Local.Port() != 40001 {
		t.Errorf("another port is not another lease: %v, gone %v", holds, gone)
	}
}

func TestDiagForgivesOneMiss(t *testing.T) {
	table := newDiagLeases(10)
	s := connected(1, event.StateEstablished, "10.0.0.1:40000")
	told(table, true, s)
	if _, gone := told(table, false); len(gone) != 0 {
		t.Errorf("gone after one miss: %v", gone)
	}
	if holds, _ := told(table, false, s); len(holds) != 0 {
		t.Errorf("told again: %v", holds)
	}
	told(table, false)
	if _, gone := told(table, false); len(gone) != 1 {
		t.Errorf("not gone after two misses: %v", gone)
	}
}

func TestDiagOverflowIsCountedOnce(t *testing.T) {
	table := newDiagLeases(1)
	sockets := []*sockdiag.Socket{
		connected(1, event.StateEstablished, "10.0.0.1:1"), connected(2, event.StateEstablished, "10.0.0.1:2"),
		connected(3, event.StateEstablished, "10.0.0.1:3"),
	}
	told(table, true, sockets...)
	first := table.overflow()
	told(table, true, sockets...)
	if second := table.overflow(); first != 2 || second != 1 {
		t.Errorf("overflow %d, then %d; want 2, then 1 as long as it lasts", first, second)
	}
}
