package aggregate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

func TestSelect(t *testing.T) {
	udp := tcp(3)
	udp.Protocol, udp.State = event.UDP, event.StateConnected
	elsewhere := tcp(4)
	elsewhere.NetNS = 5
	s := ledgerOf(Options{}, allocate(1, tcp(1)), allocate(1, tcp(2)), allocate(1, udp), allocate(1, elsewhere),
		refusal(2, victim, 1)).Snapshot(0)

	o := s.Owners[0]
	if o.NetNS != hostNS || o.NetNSCount != 2 || o.Ports() != 4 {
		t.Errorf("owner = %+v, want 4 ports, most in the host's namespace", o)
	}
	shown := s.Select(Selection{
		Holding:   func(h *Holding) bool { return h.Protocol == event.TCP && h.NetNS == hostNS },
		Namespace: func(n *Namespace) bool { return n.NetNS == 5 },
		Failure:   func(f *Failure) bool { return f.Protocol == event.UDP },
	})
	if diff := cmp.Diff("p100 ESTABLISHED=2\np200 failures=1\n", owners(shown)); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	if len(shown.Namespaces) != 1 || len(shown.Failures) != 0 || len(s.Failures) != 1 {
		t.Errorf("namespaces %d, failures %d", len(shown.Namespaces), len(shown.Failures))
	}
}

func TestApplyDescribed(t *testing.T) {
	unit := told(1, event.Process{Owner: process(crawler), Unit: "app.service"})
	l := ledgerOf(Options{}, named(1, event.Namespace{NetNS: hostNS, Name: "host"}), allocate(1, tcp(1)), unit)
	tests := []struct {
		name  string
		event event.Event
		want  event.State
	}{
		{"state", state(2, 1, event.StateCloseWait), event.StateCloseWait},
		{"release", release(3, 1, event.CauseClosed), event.StateClose},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Record
			l.ApplyDescribed(&tt.event, &r)
			got := r.Event.Lease
			if got.Remote != tcp(1).Remote || got.Local != tcp(1).Local || got.State != tt.want {
				t.Errorf("lease = %+v, want the addresses of the lease and state %v", got, tt.want)
			}
			if r.Owner.Unit != "app.service" || r.NetNSName != "host" || r.Owner.Confidence != event.ConfidenceExact {
				t.Errorf("record = %+v, want what is known of the owner", r)
			}
		})
	}
	var r Record
	stray := release(4, 77, event.CauseClosed)
	l.ApplyDescribed(&stray, &r)
	if r.Owner.ID.Kind != event.OwnerUnknown || r.Event.Lease.Remote.IsValid() {
		t.Errorf("record of a stray release = %+v, want nothing known", r)
	}
}
