package aggregate

import (
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

// In mode diag nobody tells how old a TIME_WAIT is: where connect() may take some
// over the headroom is not known, and no level is made of it.
func TestDiagHidesReuse(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mode    event.Mode
		reuse   int
		hidden  bool
		waiting bool
	}{
		{"reuse on", event.ModeDiag, 1, true, true},
		{"for loopback only, and this is none", event.ModeDiag, 2, false, true},
		{"reuse off", event.ModeDiag, 0, false, true},
		{"nothing waits", event.ModeDiag, 1, false, false},
		{"a mode that knows", event.ModeTracepoint, 1, false, true},
	} {
		l := New(Options{})
		el := conn(40000)
		events := []event.Event{
			{Kind: event.KindStart, Time: sec(0), Start: &event.Start{Mode: tt.mode}},
			{Kind: event.KindLimits, Time: sec(0), Limits: &event.Limits{
				NetNS: hostNS, Range: event.PortRange{Low: 40000, High: 40001}, TWReuse: tt.reuse, Timestamps: 1,
			}},
			allocate(1, el), allocate(1, conn(40001)),
		}
		if tt.waiting {
			events = append(events, timeWait(1, waiting(el, 61)))
		}
		for i := range events {
			l.Apply(&events[i])
		}
		for _, p := range l.Snapshot(sec(1)).Pools {
			if p.Request != RequestConnect {
				continue
			}
			_, known := p.UsedRatio()
			if p.ReuseUnknown != tt.hidden || known == tt.hidden || tt.hidden && p.Level() != "unknown" {
				t.Errorf("%s: unknown %t, ratio known %t, level %s", tt.name, p.ReuseUnknown, known, p.Level())
			}
		}
	}
}

// In mode diag, which sees no requests, the pools of bind(0) and UDP are listed for
// each namespace.
func TestDiagListsBinds(t *testing.T) {
	l := New(Options{})
	events := []event.Event{
		{Kind: event.KindStart, Time: sec(0), Start: &event.Start{Mode: event.ModeDiag}},
		{Kind: event.KindLimits, Time: sec(0), Limits: &event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 40000, High: 40001}}},
		allocate(1, bound(1, "10.0.0.1:40000")),
	}
	for i := range events {
		l.Apply(&events[i])
	}
	found := map[Request]int{}
	for _, p := range l.Snapshot(sec(1)).Pools {
		found[p.Request] = p.Headroom()
	}
	if len(found) != 1 || found[RequestBind0] != 1 {
		t.Errorf("pools and their headroom: %v, want bind0 with 1, and no UDP, of which nothing is in use", found)
	}
}
