package aggregate

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

func TestFailures(t *testing.T) {
	bind := refusal(4, victim, 1)
	bind.Failure.Operation, bind.Failure.Reason = event.OperationBind, event.ReasonPortHeld
	bind.Failure.Errno, bind.Failure.Local = event.EADDRINUSE, netip.MustParseAddrPort("0.0.0.0:8080")
	s := ledgerOf(Options{}, refusal(1, crawler, 5), bind, refusal(3, crawler, 7)).Snapshot(0)

	if got := s.Counters.Failures.Total(); got != 13 {
		t.Errorf("total = %d, want 13", got)
	}
	if got := s.Counters.Failures.Exhaustion(); got != 12 {
		t.Errorf("exhaustion = %d, want 12: a held port is none", got)
	}
	if len(s.Failures) != 2 {
		t.Fatalf("failures = %d, want alike ones as one", len(s.Failures))
	}
	newest, older := s.Failures[0], s.Failures[1]
	if newest.Operation != event.OperationBind || newest.Local.Port() != 8080 {
		t.Errorf("newest = %+v, want the bind to 8080", newest)
	}
	if older.Count != 12 || older.First != sec(1) || older.Last != sec(3) || older.Local.IsValid() {
		t.Errorf("older = %+v, want 12 from 1 s to 3 s", older)
	}
	if diff := cmp.Diff("p100 failures=12\np200 failures=1\n", owners(s)); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}

// A process moves between cgroups: each lease keeps the one in which it was
// taken, also when its state changes and an audit confirms it.
func TestLeaseKeepsItsCgroup(t *testing.T) {
	in := func(cookie, cgroup uint64) event.Lease {
		el := tcp(cookie)
		el.Owner.CgroupID = cgroup
		return el
	}
	l := ledgerOf(Options{}, allocate(1, in(1, 71)), allocate(2, in(2, 72)), timeWait(3, waiting(in(1, 71), 63)),
		begin(4), correction(4, event.CorrectionHolds, waiting(in(1, 71), 63)), correction(4, event.CorrectionHolds, in(2, 72)))
	got := map[uint64]uint64{}
	for el := range l.Leases {
		got[el.ID.Cookie] = el.Owner.CgroupID
	}
	if diff := cmp.Diff(map[uint64]uint64{1: 71, 2: 72}, got); diff != "" {
		t.Errorf("cgroups of the leases (-want +got):\n%s", diff)
	}
}

func TestFailuresForgetTheOldest(t *testing.T) {
	events := []event.Event{refusal(1, 1, 3), refusal(2, 2, 1), refusal(3, 1, 1), refusal(4, 3, 1)}
	s := ledgerOf(Options{MaxFailures: 2}, events...).Snapshot(0)
	if len(s.Failures) != 2 || s.Failures[0].Owner.ID.PID != 3 || s.Failures[1].Owner.ID.PID != 1 {
		t.Errorf("failures = %+v, want those of 3 and 1", s.Failures)
	}
	if s.Counters.FailuresForgotten != 1 || s.Counters.Failures.Total() != 6 {
		t.Errorf("counters = %+v, want 1 forgotten of 6", s.Counters)
	}
}

func TestLevel(t *testing.T) {
	l := ledgerOf(Options{}, refusal(1, crawler, 1))
	if got := l.Snapshot(sec(61)).Level(); got != "critical" {
		t.Errorf("level after 60 s = %q", got)
	}
	if got := l.Snapshot(sec(61.1)).Level(); got != "unknown" {
		t.Errorf("level after 60.1 s = %q", got)
	}
}

func TestNamespaces(t *testing.T) {
	settings := event.Limits{
		NetNS: hostNS, Range: event.PortRange{Low: 30000, High: 30099},
		Reserved: []event.PortRange{{Low: 22, High: 22}, {Low: 30005, High: 30009}, {Low: 30095, High: 30200}},
	}
	listener := inState(tcp(1), event.StateListen)
	listener.Local = netip.MustParseAddrPort("0.0.0.0:80")
	twin := tcp(2)
	twin.ID.Born = 2
	l := ledgerOf(Options{},
		allocate(1, listener), allocate(1, tcp(2)), allocate(1, twin), allocate(1, tcp(5)),
		named(1, event.Namespace{NetNS: hostNS, Cookie: 7, Name: "host"}), limits(2, settings), allocate(3, tcp(20)))
	ns := l.Snapshot(0).Namespaces[0]
	if ns.Name != "host" || ns.Cookie != 7 || ns.TCP.Ports() != 5 || ns.TCP.DistinctPorts != 4 {
		t.Errorf("namespace = %+v, want host with 5 leases on 4 ports", ns)
	}
	if ns.TCP.InRange != 2 {
		t.Errorf("in range = %d, want 30002 and 30020: 80 is outside, 30005 reserved", ns.TCP.InRange)
	}
	if got, ok := ns.RangePorts(); !ok || got != 90 {
		t.Errorf("range ports = %d, %t, want 90", got, ok)
	}
}

func TestRangeIsUnknownBeforeLimits(t *testing.T) {
	ns := ledgerOf(Options{}, allocate(1, tcp(1))).Snapshot(0).Namespaces[0]
	if _, ok := ns.RangePorts(); ok {
		t.Error("the range is known without limits")
	}
}

func TestNamespaceEnds(t *testing.T) {
	tests := []struct {
		name   string
		second event.Event
		names  int
	}{
		{"gone", named(3, event.Namespace{NetNS: hostNS, Gone: true}), 0},
		{"its inode has another cookie", named(3, event.Namespace{NetNS: hostNS, Cookie: 8}), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := ledgerOf(Options{},
				named(1, event.Namespace{NetNS: hostNS, Cookie: 7, Name: "pod"}),
				allocate(1, tcp(1)), timeWait(2, waiting(tcp(2), 62)), refusal(2, victim, 1), tt.second)
			s := l.Snapshot(0)
			if s.Leases != 0 || causes(s) != "netns=2" {
				t.Errorf("leases = %d, causes %q, want none and netns=2", s.Leases, causes(s))
			}
			if len(s.Namespaces) != tt.names {
				t.Errorf("namespaces = %+v, want %d", s.Namespaces, tt.names)
			}
			if len(s.Failures) != 1 || s.Failures[0].NetNSName != "pod" {
				t.Errorf("failures = %+v, want the one of the pod", s.Failures)
			}
		})
	}
}

func TestRates(t *testing.T) {
	var events []event.Event
	for i := range 100 {
		events = append(events, allocate(100+float64(i)/10, tcp(uint64(i+1))))
	}
	l := ledgerOf(Options{}, append(events, refusal(109.95, crawler, 30))...)
	s := l.Snapshot(sec(109.99))
	if got := s.Owners[0].RecentAllocations; got != 100 {
		t.Errorf("recent allocations = %d, want 100", got)
	}
	if rate, ok := s.PerSecond(s.Owners[0].RecentAttempts()); !ok || rate < 12.9 || rate > 13.1 {
		t.Errorf("attempts per second = %.2f, want 13", rate)
	}
	if got := l.Snapshot(sec(113.5)).Owners[0].RecentAllocations; got != 60 {
		t.Errorf("recent allocations 4 s later = %d, want 60", got)
	}
	if got := l.Snapshot(sec(130)).Owners[0].RecentAllocations; got != 0 {
		t.Errorf("recent allocations 20 s later = %d, want 0", got)
	}
}

func TestRingTakesSmallStepsBack(t *testing.T) {
	var r ring
	r.allocation(sec(20.0005))
	r.allocation(sec(19.9995))
	r.allocation(sec(2)) // long ago: not counted
	if got, _ := r.sum(sec(20.5)); got != 2 {
		t.Errorf("sum = %d, want 2", got)
	}
	r.allocation(sec(45))
	if got, _ := r.sum(sec(45)); got != 1 {
		t.Errorf("sum after a gap = %d, want 1", got)
	}
}

func TestWindow(t *testing.T) {
	tests := []struct {
		from, at float64
		want     time.Duration
	}{
		{100, 100, 0},
		{100, 100.5, 500 * time.Millisecond},
		{100, 109.5, 9500 * time.Millisecond},
		{100, 250.25, 9250 * time.Millisecond},
		{0, 5, 5 * time.Second},
	}
	for _, tt := range tests {
		if got := window(sec(tt.from), sec(tt.at)); got != tt.want {
			t.Errorf("window(%v, %v) = %v, want %v", tt.from, tt.at, got, tt.want)
		}
	}
}

func TestAttribution(t *testing.T) {
	dated := func(cookie uint64, expires float64) event.Event {
		return timeWait(1, waiting(anonymous(tcp(cookie)), expires))
	}
	tests := []struct {
		name   string
		events []event.Event
		want   time.Duration
		known  bool
	}{
		{"none", []event.Event{allocate(1, tcp(1))}, 0, false},
		{"owned ones do not count", []event.Event{timeWait(1, waiting(tcp(1), 70))}, 0, false},
		{"the last one counts", []event.Event{dated(1, 31), dated(2, 61), dated(3, 41)}, 59 * time.Second, true},
		{"one without expiry", []event.Event{dated(1, 31), dated(2, 0)}, 0, false},
		{
			"the last one ends early",
			[]event.Event{dated(1, 31), dated(2, 61), release(2, 2, event.CauseKilled)},
			29 * time.Second, true,
		},
		{"all have ended", []event.Event{dated(1, 31), release(2, 1, event.CauseExpired)}, 0, false},
		{"overdue", []event.Event{dated(1, 31), tick(40)}, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, known := ledgerOf(Options{}, append(tt.events, tick(2))...).Snapshot(0).AttributionCompleteIn()
			if got != tt.want || known != tt.known {
				t.Errorf("complete in %v, %t, want %v, %t", got, known, tt.want, tt.known)
			}
		})
	}
}

func TestUnattributedRatio(t *testing.T) {
	s := ledgerOf(Options{}, allocate(1, tcp(1)), allocate(1, anonymous(tcp(2)))).Snapshot(0)
	if got, ok := s.UnattributedRatio(); !ok || got != 0.5 {
		t.Errorf("ratio = %v, %t, want 0.5", got, ok)
	}
	if _, ok := New(Options{}).Snapshot(0).UnattributedRatio(); ok {
		t.Error("an empty ledger has a ratio")
	}
}
