package aggregate

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

func TestTrough(t *testing.T) {
	var tr trough
	tr.reset(9)
	for i, v := range []int32{7, 8, 5, 6, 6, 8} { // by events 1 to 6
		tr.push(v, uint64(i+1))
	}
	// After event n the values were those from the nth on.
	for at, want := range []int32{5, 5, 5, 5, 6, 6, 8} {
		if got := tr.since(uint64(at)); got != want {
			t.Errorf("least since event %d = %d, want %d", at, got, want)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	if _, ok := h.quantile(0.5); ok {
		t.Error("an empty histogram has a median")
	}
	for range 94 {
		h.add(20 * time.Millisecond)
	}
	for range 6 {
		h.add(3 * time.Second)
	}
	h.add(0)
	for q, want := range map[float64]time.Duration{0.5: 20 * time.Millisecond, 0.95: 3 * time.Second} {
		if got, _ := h.quantile(q); got < want || got > want*5/4 {
			t.Errorf("quantile %v = %v, want %v and at most a quarter more", q, got, want)
		}
	}
	for range 2 * fullCount {
		h.add(time.Minute)
	}
	if got, _ := h.quantile(0.05); got < time.Minute {
		t.Errorf("5 %% quantile = %v: what was long ago has not faded", got)
	}
}

func TestHistogramSteps(t *testing.T) {
	for d := time.Duration(1); d < 40*24*time.Hour; d += d/7 + 1 {
		step := stepOf(d)
		if end := stepEnd(step); end < d || d > 2*time.Microsecond && end > d*5/4 {
			t.Errorf("step of %v ends at %v", d, end)
		}
		if step > 0 && stepEnd(step-1) >= d && d > time.Microsecond {
			t.Errorf("step before that of %v ends at %v", d, stepEnd(step-1))
		}
	}
}

// The headroom is a saw-tooth; its lowest point counts for a minute.
func TestHeadroomLow(t *testing.T) {
	l := stream(event.PoisonWhileBound)
	for port := uint16(40000); port < 40004; port++ {
		ev := allocate(2, conn(port))
		l.Apply(&ev)
	}
	for port := uint16(40000); port < 40003; port++ {
		ev := release(3, uint64(port), event.CauseReset)
		l.Apply(&ev)
	}
	for _, tt := range []struct {
		at   float64
		want int
	}{{3, 5}, {62, 5}, {65.9, 5}, {66, 8}} {
		ev := tick(tt.at)
		l.Apply(&ev)
		p := the(t, l.Snapshot(0), towardsServer)
		if p.HeadroomLow != tt.want || p.Headroom() != 8 {
			t.Errorf("at %v s: lowest %d, now %d, want %d and 8", tt.at, p.HeadroomLow, p.Headroom(), tt.want)
		}
	}
}

func TestDemandOfAPool(t *testing.T) {
	l := stream(event.PoisonWhileBound)
	apply := func(events ...event.Event) {
		for i := range events {
			l.Apply(&events[i])
		}
	}
	refused := func(at float64, n uint64) event.Event {
		ev := refusal(at, victim, n)
		ev.Failure.Local = netip.MustParseAddrPort("10.0.0.1:0")
		return ev
	}
	apply(allocate(2, conn(40000)), refused(50, 4), allocate(51, conn(40001)), refused(58.5, 2), tick(59.2))
	p := the(t, l.Snapshot(0), towardsServer)
	got := fmt.Sprintf("%d+%d %d+%d %d+%d %d+%d", p.Second.Allocations, p.Second.Refusals, p.Recent.Allocations, p.Recent.Refusals,
		p.Minute.Allocations, p.Minute.Refusals, p.Total.Allocations, p.Total.Refusals)
	if want := "0+2 1+6 2+6 2+6"; got != want {
		t.Errorf("allocations and refusals of 1, 10, 60 s and all = %s, want %s", got, want)
	}
	if p.Second.Window != time.Second || p.Recent.Window != 9200*time.Millisecond || p.Minute.Window != time.Duration(sec(59.2)-sec(0.1)) {
		t.Errorf("windows = %v, %v, %v", p.Second.Window, p.Recent.Window, p.Minute.Window)
	}
	apply(tick(120))
	p = the(t, l.Snapshot(0), towardsServer)
	if p.Minute.Attempts() != 0 || p.Total.Attempts() != 8 {
		t.Errorf("a minute later = %+v of %+v", p.Minute, p.Total)
	}
	if len(p.Owners) != 2 || p.Owners[0].Allocations != 2 || p.Owners[1].Refusals != 6 || p.Owners[1].Ports != 0 {
		t.Errorf("owners = %+v, want the holder and the victim", p.Owners)
	}
}

func TestHistory(t *testing.T) {
	l := stream(event.PoisonWhileBound, allocate(7, conn(40000)), allocate(8, conn(40001)), release(9, 40000, event.CauseClosed), tick(13))
	p := the(t, l.Snapshot(0), towardsServer)
	if len(p.History) != 1 {
		t.Fatalf("history = %+v, want one step", p.History)
	}
	if want := (Slot{Start: sec(6), HeadroomLow: 7, UsedHigh: 1 - 7.0/9, Capacity: 9, InUse: 1, Allocations: 2}); p.History[0] != want {
		t.Errorf("step = %+v, want %+v", p.History[0], want)
	}
	ev := tick(3000)
	l.Apply(&ev)
	after := the(t, l.Snapshot(0), towardsServer)
	if len(after.History) != 100 || after.History[0].Start != sec(3000-600) || after.History[99].HeadroomLow != 8 {
		t.Errorf("history after 50 min: %d steps from %v", len(after.History), after.History[0].Start)
	}
	if p.History[0].Allocations != 2 {
		t.Error("a snapshot's history changed")
	}
}

func TestLifeAndHold(t *testing.T) {
	life := func(port uint16, ours bool) []event.Event {
		el := conn(port)
		el.ID.Born = sec(1)
		end := event.Event{Kind: event.KindRelease, Lease: event.Lease{ID: el.ID}, Time: sec(5)}
		if !ours {
			return []event.Event{allocate(1, el), end}
		}
		end.Time = sec(65)
		return []event.Event{allocate(1, el), timeWait(5, waiting(el, 65)), end}
	}
	events := append(life(40000, true), life(40001, true)...)
	events = append(events, life(40002, true)...)
	events = append(events, life(40003, false)...)
	events = append(events, inSearch(allocate(66, conn(40006)), 800*time.Microsecond))
	p := the(t, stream(event.PoisonWhileBound, events...).Snapshot(0), towardsServer)
	near := func(what string, got, want time.Duration) {
		if got < want || got > want*5/4 {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}
	near("life", p.Life.P95, 4*time.Second)
	near("hold", p.Hold.P50, 64*time.Second)
	near("search", p.Search.P50, 800*time.Microsecond)
	if p.ClosesFirst != 0.75 {
		t.Errorf("closes first = %v, want 3 of 4", p.ClosesFirst)
	}
}

func inSearch(ev event.Event, d time.Duration) event.Event {
	ev.SearchNanos = uint64(d)
	return ev
}

func TestPoolBounds(t *testing.T) {
	l := New(Options{MaxPools: 2})
	settings := limits(1, event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 40000, High: 40009}})
	l.Apply(&settings)
	for i := range 4 {
		ev := allocate(1, towards(conn(uint16(40000+i)), fmt.Sprintf("10.0.1.%d:1", i)))
		l.Apply(&ev)
	}
	s := l.Snapshot(0)
	if len(s.Pools) != 2 || s.Counters.PoolsUnlisted != 2 || l.pools.len() != 4 {
		t.Errorf("listed %d of %d, counters %+v, want 2 of 4", len(s.Pools), l.pools.len(), s.Counters)
	}
	later := []event.Event{tick(70), allocate(71, func() event.Lease { el := towards(conn(40007), "10.0.1.3:1"); el.ID.Cookie++; return el }())}
	for i := range later {
		l.Apply(&later[i])
	}
	s = l.Snapshot(0)
	if s.Counters.PoolsForgotten != 2 || len(s.Pools) != 1 || s.Pools[0].InUse != 2 {
		t.Errorf("pools %+v, counters %+v: want the one that is used, counted whole", s.Pools, s.Counters)
	}
}

// A pool in use keeps its place in the list, however quiet it is.
func TestPoolBoundSparesWhatIsInUse(t *testing.T) {
	l := New(Options{MaxPools: 1})
	for _, ev := range []event.Event{
		limits(1, event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 40000, High: 40009}}),
		allocate(1, conn(40000)), allocate(1, conn(40001)), allocate(100, towards(conn(40002), "10.0.1.1:1")),
	} {
		l.Apply(&ev)
	}
	s := l.Snapshot(0)
	if len(s.Pools) != 1 || s.Pools[0].InUse != 2 || s.Counters.PoolsForgotten != 0 || s.Counters.PoolsUnlisted != 1 {
		t.Errorf("pools %+v, counters %+v: want the one with two leases", s.Pools, s.Counters)
	}
}

func TestBindPoolBound(t *testing.T) {
	l := stream(event.PoisonWhileBound)
	for i := range maxBindPools + 3 {
		ev := allocate(1, asked(uint64(i+1), fmt.Sprintf("10.0.2.%d:40000", i)))
		l.Apply(&ev)
	}
	s := l.Snapshot(0)
	if len(s.Pools) != maxBindPools || s.Counters.PoolsRefused != 3 || s.Leases != maxBindPools+3 {
		t.Errorf("pools %d, refused %d, leases %d", len(s.Pools), s.Counters.PoolsRefused, s.Leases)
	}
}

// A pool is remembered for ten minutes, and then nothing is left of it.
func TestPoolsEnd(t *testing.T) {
	l := stream(event.PoisonWhileBound, allocate(1, conn(40000)), allocate(1, asked(1, "0.0.0.0:40001")),
		release(2, 40000, event.CauseClosed), release(2, 1, event.CauseClosed), tick(601))
	if got := len(l.Snapshot(0).Pools); got != 2 {
		t.Errorf("pools after 10 min = %d, want 2", got)
	}
	ev := tick(613)
	l.Apply(&ev)
	if got := len(l.Snapshot(0).Pools); got != 0 {
		t.Errorf("pools after a little more = %d, want none", got)
	}
	if n := l.pools.len() + l.pools.flows.len() + l.pools.spans.len() + l.pools.stakes.len() + l.buckets.len(); n != 0 {
		t.Errorf("%d entries are left behind", n)
	}
}
