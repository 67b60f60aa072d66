package aggregate

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

func TestLeaseBound(t *testing.T) {
	l := ledgerOf(Options{MaxLeases: 2}, begin(1), end(2), allocate(3, tcp(1)), allocate(3, tcp(2)), allocate(3, tcp(3)))
	s := l.Snapshot(0)
	if s.Leases != 2 || s.Counters.LeasesRefused != 1 || s.Counters.Allocations != 3 || s.Complete {
		t.Errorf("leases %d, counters %+v, complete %t, want 2 of 3, incomplete", s.Leases, s.Counters, s.Complete)
	}
}

func TestOwnerBound(t *testing.T) {
	l := ledgerOf(Options{MaxOwners: 2},
		allocate(1, owned(tcp(1), 1)), allocate(1, owned(tcp(2), 2)), allocate(1, owned(tcp(3), 3)))
	s := l.Snapshot(0)
	if diff := cmp.Diff("unknown ESTABLISHED=1\np1 ESTABLISHED=1\np2 ESTABLISHED=1\n", owners(s)); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	if s.Counters.OwnersFolded != 1 {
		t.Errorf("folded = %d, want 1", s.Counters.OwnersFolded)
	}
}

func TestOwnerBoundMakesRoom(t *testing.T) {
	l := ledgerOf(Options{MaxOwners: 2},
		allocate(1, owned(tcp(1), 1)), allocate(1, owned(tcp(2), 2)), release(2, 1, event.CauseClosed),
		allocate(3, owned(tcp(3), 3)))
	s := l.Snapshot(0)
	if diff := cmp.Diff("p2 ESTABLISHED=1\np3 ESTABLISHED=1\n", owners(s)); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}

func TestNamespaceBound(t *testing.T) {
	other := tcp(2)
	other.NetNS = 1
	s := ledgerOf(Options{MaxNamespaces: 1}, begin(1), end(1), allocate(2, tcp(1)), allocate(2, other)).Snapshot(0)
	if s.Leases != 1 || s.Counters.NamespacesRefused != 1 || s.Complete {
		t.Errorf("leases %d, counters %+v, complete %t", s.Leases, s.Counters, s.Complete)
	}
}

func TestTombstoneBound(t *testing.T) {
	s := ledgerOf(Options{MaxLeases: 1}, begin(1),
		release(1, 1, event.CauseClosed), release(1, 2, event.CauseClosed), end(2)).Snapshot(0)
	if s.Complete || s.Counters.TombsRefused != 1 {
		t.Errorf("complete %t, counters %+v, want incomplete", s.Complete, s.Counters)
	}
}

func TestEmptyEventsAreHarmless(t *testing.T) {
	l := New(Options{})
	for kind := event.Kind(0); kind <= event.KindTick+1; kind++ {
		l.Apply(&event.Event{Kind: kind})
	}
	l.Snapshot(0)
}

// storm is a reproducible disorder of everything that can happen.
func storm(n int) []event.Event {
	rng := rand.New(rand.NewPCG(1, 2))
	events := make([]event.Event, 0, n)
	for i := range n {
		at := float64(i)/100 - rng.Float64()/1000 + 1
		el := owned(tcp(rng.Uint64N(200)+1), uint32(rng.IntN(20)+1))
		if rng.IntN(10) == 0 {
			el = anonymous(el)
		}
		el.NetNS = uint32(rng.IntN(3) + 1)
		switch rng.IntN(9) {
		case 0, 1:
			events = append(events, allocate(at, el))
		case 2:
			events = append(events, state(at, el.ID.Cookie, event.StateCloseWait))
		case 3:
			events = append(events, timeWait(at, waiting(el, at+60)))
		case 4, 5:
			events = append(events, release(at, el.ID.Cookie, event.CauseClosed))
		case 6:
			events = append(events, refusal(at, el.Owner.PID+1, 3))
		case 7:
			events = append(events, correction(at, event.Correction(rng.IntN(4)+1), el))
		case 8:
			events = append(events, named(at, event.Namespace{NetNS: el.NetNS, Gone: rng.IntN(20) == 0}))
		}
	}
	return events
}

func TestSameEventsSameSnapshot(t *testing.T) {
	events := storm(20_000)
	o := Options{MaxLeases: 150, MaxOwners: 15, MaxFailures: 8}
	opt := cmp.Options{
		cmp.AllowUnexported(Clock{}, Pool{}),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	}
	if diff := cmp.Diff(ledgerOf(o, events...).Snapshot(0), ledgerOf(o, events...).Snapshot(0), opt); diff != "" {
		t.Errorf("two ledgers differ:\n%s", diff)
	}
}

// TestAccountsAddUp compares the running counts with a count of the leases.
func TestAccountsAddUp(t *testing.T) {
	l := ledgerOf(Options{MaxLeases: 150, MaxOwners: 15}, storm(20_000)...)
	s := l.Snapshot(0)
	byOwner := map[event.OwnerID]int{}
	ports := map[bucketKey]bool{}
	for i := range l.leases.next {
		ls := l.leases.at(i)
		if !ls.live {
			continue
		}
		a := l.accounts.at(ls.account)
		byOwner[l.owners.at(a.owner).info.ID]++
		ports[bucketKeyOf(a.namespace, a.protocol, ls.local.port)] = true
	}
	total, distinct := 0, 0
	for _, o := range s.Owners {
		if o.Ports() != byOwner[o.Info.ID] {
			t.Errorf("%v has %d ports, its leases are %d", o.Info.ID, o.Ports(), byOwner[o.Info.ID])
		}
		total += o.Ports()
	}
	for _, ns := range s.Namespaces {
		distinct += ns.TCP.DistinctPorts
	}
	if total != s.Leases || total != len(l.index) || total != l.leases.len() {
		t.Errorf("owners sum to %d, leases %d, index %d, slab %d", total, s.Leases, len(l.index), l.leases.len())
	}
	if distinct != len(ports) {
		t.Errorf("namespaces have %d distinct ports, leases %d", distinct, len(ports))
	}
}

func TestSnapshotIsCached(t *testing.T) {
	l := ledgerOf(Options{}, allocate(1, tcp(1)))
	first := l.Snapshot(sec(2))
	if l.Snapshot(sec(2)) != first {
		t.Error("an unchanged ledger made a second snapshot of one moment")
	}
	quiet := l.Snapshot(sec(70))
	later := l.Snapshot(sec(80))
	if &quiet.Owners[0] != &later.Owners[0] || later.At != sec(80) {
		t.Error("a quiet ledger built its rows anew")
	}
	if quiet.Owners[0].Minute.Allocations != 0 || l.Snapshot(0).Owners[0].Minute.Allocations != 0 || first.Owners[0].Minute.Allocations != 1 {
		t.Error("recent counts did not run out")
	}
	ev := allocate(61, tcp(2))
	l.Apply(&ev)
	if got := l.Snapshot(0).Leases; got != 2 {
		t.Errorf("leases after an event = %d, want 2", got)
	}
}
