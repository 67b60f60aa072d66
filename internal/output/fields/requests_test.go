package fields

import (
	"strings"
	"testing"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// frameIn is a frame of one lease that a dump brought, in the mode.
func frameIn(m event.Mode) *aggregate.Snapshot {
	l := aggregate.New(aggregate.Options{})
	l.Apply(&event.Event{Kind: event.KindStart, Time: 1e9, Start: &event.Start{Mode: m, Reason: "no BTF"}})
	l.Apply(&event.Event{Kind: event.KindCorrection, Correction: event.CorrectionHolds, Time: 2e9, Lease: event.Lease{
		ID: event.LeaseID{Cookie: 1, Born: 2}, NetNS: 5, Protocol: event.TCP, Family: event.IPv4, State: event.StateListen,
	}})
	l.Apply(&event.Event{Kind: event.KindTick, Time: 3e9})
	return l.Snapshot(4e9)
}

// What two dumps cannot tell is null, never 0 and never an empty list.
func TestDumpsTellNoRequests(t *testing.T) {
	keys := []string{
		`"allocations":`, `"failures":`, `"failures_by_reason":`, `"attempts_per_second":`,
		`"allocations_per_second":`, `"failures_per_second":`, `"failures_for_want_of_ports":`,
	}
	for _, m := range []event.Mode{event.ModeTracepoint, event.ModeDiag} {
		s := frameIn(m)
		got := string(Top.AppendJSON(nil, &Context{Meta: &s.Meta}, s))
		for _, key := range keys {
			known := strings.Count(got, key) - strings.Count(got, key+"null")
			if seen := m != event.ModeDiag; known > 0 != seen {
				t.Errorf("mode %v: %s has %d values in %s", m, key, known, got)
			}
		}
		if !strings.Contains(got, `"mode_reason":"no BTF"`) {
			t.Errorf("mode %v: no reason in %s", m, got)
		}
	}
}

func TestColumnsOfRequestsLeave(t *testing.T) {
	for _, requests := range []bool{true, false} {
		headers := ""
		for _, c := range OwnerColumns(true, requests) {
			headers += c.Header + " "
		}
		for _, c := range NamespaceColumns(requests) {
			headers += c.Header + " "
		}
		for _, header := range []string{"TRY/s", "FAIL/s", "ALLOCATIONS", "FAILURES"} {
			if strings.Contains(headers, header) != requests {
				t.Errorf("requests %v: columns %s", requests, headers)
			}
		}
	}
}
