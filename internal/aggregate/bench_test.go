package aggregate

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

const benchLeases = 100_000

// benchLease spreads leases over 64 owners, 8 far ends and the default range.
func benchLease(i int) event.Lease {
	el := owned(tcp(1), uint32(i%64)+1)
	el.ID = event.LeaseID{Cookie: uint64(i) + 1, Born: 1}
	el.Local = netip.AddrPortFrom(el.Local.Addr(), uint16(32768+i%28232))
	el.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i / 28232 % 8)}), 443)
	return el
}

func fullLedger() *Ledger {
	l := New(Options{})
	settings := limits(1, event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 32768, High: 60999}})
	l.Apply(&settings)
	for i := range benchLeases {
		ev := allocate(1, benchLease(i))
		l.Apply(&ev)
	}
	return l
}

// life is what one connection that closes first brings: four events.
func life(i int) [4]event.Event {
	el := benchLease(i)
	established := event.Event{Kind: event.KindState, Time: sec(2), Lease: event.Lease{ID: el.ID, NetNS: hostNS, State: event.StateEstablished}}
	end := event.Event{Kind: event.KindRelease, Time: sec(2), Lease: event.Lease{ID: el.ID, NetNS: hostNS}, Cause: event.CauseExpired}
	return [4]event.Event{
		allocate(2, inState(el, event.StateSynSent)), established, timeWait(2, waiting(el, 62)), end,
	}
}

// BenchmarkApply is the cost of one event with 100,000 leases live, over whole
// lives of further leases.
func BenchmarkApply(b *testing.B) {
	l := fullLedger()
	lives := make([][4]event.Event, 4096)
	for i := range lives {
		lives[i] = life(benchLeases + i)
	}
	for i := range lives { // the tables have grown before the clock starts
		for k := range lives[i] {
			l.Apply(&lives[i][k])
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		l.Apply(&lives[i/4%len(lives)][i%4])
	}
}

// BenchmarkApplyFailure is the cost of a refusal that is already known.
func BenchmarkApplyFailure(b *testing.B) {
	l := fullLedger()
	ev := refusal(2, crawler, 1)
	l.Apply(&ev)
	b.ReportAllocs()
	for b.Loop() {
		l.Apply(&ev)
	}
}

// BenchmarkSnapshot builds the picture of 100,000 leases of 64 owners anew.
func BenchmarkSnapshot(b *testing.B) {
	l := fullLedger()
	ev := state(2, 1, event.StateEstablished)
	b.ReportAllocs()
	for b.Loop() {
		l.Apply(&ev)
		l.Snapshot(0)
	}
}

// ledgerOfPools has 100,000 leases in 2,000 pools of connect() and one of bind(0).
func ledgerOfPools() *Ledger {
	l := New(Options{})
	settings := limits(1, event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 32768, High: 60999}})
	l.Apply(&settings)
	for i := range benchLeases {
		el := benchLease(i)
		el.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i % 2000 >> 8), byte(i % 2000)}), 443)
		ev := allocate(1, el)
		l.Apply(&ev)
	}
	any := allocate(1, asked(1, "0.0.0.0:60999"))
	any.Lease.ID.Born = 2
	l.Apply(&any)
	return l
}

// BenchmarkApplyBindFirst is the cost of one event of programs that bind(0) and
// then connect: each poisons a port for all of the 2,000 pools, and heals it.
func BenchmarkApplyBindFirst(b *testing.B) {
	l := ledgerOfPools()
	el := asked(benchLeases+1, "10.0.0.1:60998")
	connected := event.Event{Kind: event.KindState, Time: sec(2), Lease: event.Lease{
		ID: el.ID, NetNS: hostNS, State: event.StateSynSent, Family: event.IPv4, Local: el.Local, Remote: tcp(1).Remote,
	}}
	life := [...]event.Event{
		allocate(2, el), connected, state(2, benchLeases+1, event.StateEstablished), release(2, benchLeases+1, event.CauseClosed),
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		l.Apply(&life[i%4])
	}
}

// BenchmarkSnapshotOfPools builds that picture anew, each pool with its history.
func BenchmarkSnapshotOfPools(b *testing.B) {
	l := ledgerOfPools()
	for t := range 120 {
		ev := tick(float64(6 * t))
		l.Apply(&ev)
	}
	ev := state(720, 1, event.StateEstablished)
	b.ReportAllocs()
	for b.Loop() {
		l.Apply(&ev)
		if got := len(l.Snapshot(0).Pools); got != 2001 {
			b.Fatalf("%d pools, want 2001", got)
		}
	}
}

// BenchmarkSnapshotUnchanged is the cost of a picture that is there already.
func BenchmarkSnapshotUnchanged(b *testing.B) {
	l := fullLedger()
	l.Snapshot(sec(100))
	b.ReportAllocs()
	at := sec(100)
	for b.Loop() {
		at++
		l.Snapshot(at)
	}
}

func TestApplyDoesNotAllocate(t *testing.T) {
	l := fullLedger()
	events := life(benchLeases)
	got := testing.AllocsPerRun(1000, func() {
		for i := range events {
			l.Apply(&events[i])
		}
	})
	if got != 0 {
		t.Errorf("allocations per connection = %v, want 0", got)
	}
}

func TestMemoryPerLease(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l := fullLedger()
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := (after.HeapAlloc - before.HeapAlloc) / benchLeases
	t.Logf("%d bytes per lease", per)
	if per > 240 {
		t.Errorf("a lease takes %d bytes, want at most 240", per)
	}
	runtime.KeepAlive(l)
}
