package sockdiag

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

func TestRequestStates(t *testing.T) {
	tests := []struct {
		name   string
		states []event.State
		mask   uint32
		wants  []event.State
		spurns []event.State
	}{
		{"all", nil, 0x3ffe, []event.State{event.StateListen, event.StateBound, event.StateUnknown}, nil},
		{"none", []event.State{}, 0, nil, []event.State{event.StateListen}},
		{
			"time-wait selects both sub-states",
			[]event.State{event.StateTimeWait},
			1<<5 | 1<<6,
			[]event.State{event.StateTimeWait},
			[]event.State{event.StateFinWait2},
		},
		{
			"a request socket is listed as SYN_RECV",
			[]event.State{event.StateNewSynRecv},
			1 << 3,
			[]event.State{event.StateSynRecv},
			[]event.State{event.StateSynSent},
		},
		{"bound", []event.State{event.StateBound}, 1 << 13, []event.State{event.StateBound}, []event.State{event.StateClose}},
		{
			"udp",
			[]event.State{event.StateConnected, event.StateUnconnected},
			1<<1 | 1<<7,
			[]event.State{event.StateConnected, event.StateUnconnected},
			[]event.State{event.StateEstablished},
		},
		{"unheard-of", []event.State{200}, 0, nil, []event.State{event.StateUnknown}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Request{Protocol: event.TCP, States: tt.states}
			if got := r.mask(); got != tt.mask {
				t.Errorf("mask() = %#x, want %#x", got, tt.mask)
			}
			for _, s := range tt.wants {
				if !r.wants(s) {
					t.Errorf("wants(%v) = false", s)
				}
			}
			for _, s := range tt.spurns {
				if r.wants(s) {
					t.Errorf("wants(%v) = true", s)
				}
			}
		})
	}
}

func TestRequestFamilies(t *testing.T) {
	tests := []struct {
		family event.Family
		want   []uint8
		ok     bool
	}{
		{0, []uint8{unix.AF_INET, unix.AF_INET6}, true},
		{event.IPv4, []uint8{unix.AF_INET}, true},
		{event.IPv6, []uint8{unix.AF_INET6}, true},
		{9, nil, false},
	}
	for _, tt := range tests {
		r := Request{Family: tt.family}
		got, err := r.families()
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != tt.ok {
			t.Errorf("families(%d): %v, (-want +got):\n%s", tt.family, err, diff)
		}
	}
}
