package aggregate

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

// The tests' namespace gives the ports 40000 to 40009 but 40004, so nine; five of
// them even, of which connect() has four to prefer.
func stream(rule event.Poison, events ...event.Event) *Ledger {
	delay := 1000
	settings := event.Limits{
		NetNS: hostNS, Range: event.PortRange{Low: 40000, High: 40009}, Reserved: []event.PortRange{{Low: 40004, High: 40004}},
		TWReuse: 1, TWReuseDelayMillis: &delay,
	}
	start := event.Event{Kind: event.KindStart, Time: sec(0.1), Start: &event.Start{Poison: rule, OwnRangeInOnePass: true}}
	return ledgerOf(Options{}, append([]event.Event{start, limits(0.1, settings)}, events...)...)
}

// conn is a connection of the crawler from a port of the range.
func conn(port uint16) event.Lease {
	el := tcp(uint64(port))
	el.Local = netip.AddrPortFrom(el.Local.Addr(), port)
	return el
}

// towards is a connection from the same port to another far end.
func towards(el event.Lease, remote string) event.Lease {
	el.Remote = netip.MustParseAddrPort(remote)
	el.ID.Born++
	return el
}

// bound is a socket that was bound by number and nothing else.
func bound(cookie uint64, local string) event.Lease {
	el := inState(tcp(cookie), event.StateBound)
	el.Local, el.Remote, el.Origin = netip.MustParseAddrPort(local), netip.AddrPort{}, event.OriginBind
	if el.Local.Addr().Is6() {
		el.Family = event.IPv6
	}
	return el
}

// aged is a TIME_WAIT that connect() may take over once the delay has passed
// since it was entered.
func aged(el event.Lease, entered float64) event.Lease {
	el = waiting(el, entered+60)
	el.Entered, el.TimestampsSeen = sec(entered), true
	return el
}

func the(t *testing.T, s *Snapshot, name string) *Pool {
	t.Helper()
	for i := range s.Pools {
		p := &s.Pools[i]
		if pool := p.Request.String() + " " + p.Local.String(); pool == name || pool+">"+p.Remote.String() == name {
			return p
		}
	}
	t.Fatalf("no pool %s among %d", name, len(s.Pools))
	return nil
}

const towardsServer = "connect 10.0.0.1>10.0.0.5:443"

// sums are the equations' results in the order of their names.
func sums(p *Pool) string {
	return fmt.Sprintf("capacity %d poisoned %d in_use %d time_wait %d reusable %d headroom %d",
		p.Capacity, p.Poisoned, p.InUse, p.TimeWait, p.Reusable, p.Headroom())
}

func TestConnectPool(t *testing.T) {
	open := []event.Event{allocate(1, conn(40000)), allocate(1, conn(40001))}
	tests := []struct {
		name   string
		events []event.Event
		want   string
	}{
		{"two of nine", open, "capacity 9 poisoned 0 in_use 2 time_wait 0 reusable 0 headroom 7"},
		{
			"a port outside the range, and a reserved one, are none of it",
			append(open, allocate(1, conn(39999)), allocate(1, conn(40004))),
			"capacity 9 poisoned 0 in_use 2 time_wait 0 reusable 0 headroom 7",
		},
		{
			"one port serves many destinations",
			append(open, allocate(1, towards(conn(40002), "10.0.0.6:443")), allocate(1, towards(conn(40000), "10.0.0.5:80"))),
			"capacity 9 poisoned 0 in_use 2 time_wait 0 reusable 0 headroom 7",
		},
		{
			"a bound port serves none",
			append(open, allocate(1, bound(1, "10.9.9.9:40002"))),
			"capacity 8 poisoned 1 in_use 2 time_wait 0 reusable 0 headroom 6",
		},
		{
			"a port that is bound at another address under a connection leaves both",
			append(open, allocate(1, bound(1, "10.9.9.9:40000"))),
			"capacity 8 poisoned 1 in_use 1 time_wait 0 reusable 0 headroom 7",
		},
		{
			"an IPv6 socket's port is the same port",
			append(open, allocate(1, bound(1, "[fd00::1]:40003"))),
			"capacity 8 poisoned 1 in_use 2 time_wait 0 reusable 0 headroom 6",
		},
		{
			"a UDP port is another one",
			append(open, allocate(1, func() event.Lease { el := bound(1, "10.0.0.1:40003"); el.Protocol = event.UDP; return el }())),
			"capacity 9 poisoned 0 in_use 2 time_wait 0 reusable 0 headroom 7",
		},
		{
			"TIME_WAIT is in use, reusable or not",
			append(open, timeWait(2, waiting(conn(40000), 62)), timeWait(2, aged(conn(40001), 2)), tick(3)),
			"capacity 9 poisoned 0 in_use 2 time_wait 2 reusable 1 headroom 8",
		},
		{
			"a connection from a port that was bound first is not in use, its port is poisoned",
			append(open, allocate(1, func() event.Lease { el := conn(40002); el.Origin = event.OriginBind0; return el }())),
			"capacity 8 poisoned 1 in_use 2 time_wait 0 reusable 0 headroom 6",
		},
		{
			"a taken-over TIME_WAIT is one lease again",
			append(open, timeWait(2, aged(conn(40000), 2)), release(4, 40000, event.CauseReused), allocate(4, owned(towards(conn(40000), "10.0.0.5:443"), victim))),
			"capacity 9 poisoned 0 in_use 2 time_wait 0 reusable 0 headroom 7",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := stream(event.PoisonWhileBound, tt.events...).Snapshot(0)
			if diff := cmp.Diff(tt.want, sums(the(t, s, towardsServer))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Who keeps a poisoned port from connect(), before 6.18 and from then on.
func TestPoison(t *testing.T) {
	binder := bound(1, "10.9.9.9:40000")
	children := func(at float64, live, waiting int) event.Event {
		return event.Event{Kind: event.KindAccepted, Time: sec(at), Accepted: &event.Accepted{
			NetNS: hostNS, Port: 40000, Live: live, TimeWait: waiting,
		}}
	}
	under := allocate(1, conn(40000))
	other := allocate(1, conn(40001)) // keeps the pool
	tests := []struct {
		name              string
		events            []event.Event
		before, from618on int
	}{
		{"never bound", []event.Event{under, other}, 0, 0},
		{"bound", []event.Event{other, allocate(2, binder)}, 1, 1},
		{"bound and closed, nothing left", []event.Event{other, allocate(2, binder), release(3, 1, event.CauseClosed)}, 0, 0},
		{"the binder closes, a connection stays", []event.Event{under, other, allocate(2, binder), release(3, 1, event.CauseClosed)}, 1, 0},
		{
			"the connection waits",
			[]event.Event{under, other, allocate(2, binder), release(3, 1, event.CauseClosed), timeWait(4, waiting(conn(40000), 64))},
			1, 0,
		},
		{
			"the connection has gone as well",
			[]event.Event{under, other, allocate(2, binder), release(3, 1, event.CauseClosed), release(5, 40000, event.CauseExpired)},
			0, 0,
		},
		{"accepted sockets outlive their listener", []event.Event{other, allocate(2, binder), children(2, 2, 0), release(3, 1, event.CauseClosed)}, 1, 1},
		{"their TIME_WAITs", []event.Event{other, allocate(2, binder), children(2, 0, 1), release(3, 1, event.CauseClosed)}, 1, 1},
		{
			"the last of them goes",
			[]event.Event{other, allocate(2, binder), children(2, 0, 1), release(3, 1, event.CauseClosed), children(60, 0, 0)},
			0, 0,
		},
		{
			"the last of them goes, a connection stays",
			[]event.Event{under, other, allocate(2, binder), children(2, 1, 0), release(3, 1, event.CauseClosed), children(60, 0, 0)},
			1, 0,
		},
		{
			"an audit finds another owner of the connection",
			[]event.Event{
				under, other, allocate(2, binder), release(3, 1, event.CauseClosed), holds(4, owned(conn(40000), victim)),
			},
			1, 0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for rule, want := range map[event.Poison]int{event.PoisonUntilEmpty: tt.before, event.PoisonWhileBound: tt.from618on} {
				p := the(t, stream(rule, tt.events...).Snapshot(0), towardsServer)
				if p.Poisoned != want || p.Capacity != 9-want {
					t.Errorf("%v: %s, want %d poisoned", rule, sums(p), want)
				}
			}
		})
	}
}

// Without BPF nobody knows who bound what: connections count, headroom is the
// most there can be.
func TestPoisonIsUnknownWithoutOrigins(t *testing.T) {
	el := conn(40000)
	el.Origin = event.OriginUnknown
	hidden := bound(1, "10.9.9.9:40001")
	hidden.Origin = event.OriginUnknown
	p := the(t, stream(event.PoisonUnknown, allocate(1, el), allocate(1, hidden)).Snapshot(0), towardsServer)
	if p.PoisonKnown || sums(p) != "capacity 8 poisoned 1 in_use 1 time_wait 0 reusable 0 headroom 7" {
		t.Errorf("known %t, %s", p.PoisonKnown, sums(p))
	}
}

func TestReusable(t *testing.T) {
	over := func(local, remote string, entered float64, change ...func(*event.Lease)) event.Event {
		el := aged(conn(40000), entered)
		el.Local, el.Remote = netip.MustParseAddrPort(local), netip.MustParseAddrPort(remote)
		for _, f := range change {
			f(&el)
		}
		return timeWait(2, el)
	}
	far := over("10.0.0.1:40000", "10.0.0.5:443", 2)
	delay := 1000
	setting := func(reuse int, delay *int) event.Event {
		return limits(0.5, event.Limits{
			NetNS: hostNS, Range: event.PortRange{Low: 40000, High: 40009}, TWReuse: reuse, TWReuseDelayMillis: delay,
		})
	}
	tests := []struct {
		name   string
		events []event.Event
		want   int
	}{
		{"younger than the delay", []event.Event{setting(1, &delay), far, tick(2.999)}, 0},
		{"as old as the delay", []event.Event{setting(1, &delay), far, tick(3)}, 1},
		{"a kernel that waits for the next second, at most one", []event.Event{setting(1, nil), far, tick(2.999)}, 0},
		{"a second later", []event.Event{setting(1, nil), far, tick(3)}, 1},
		{"off", []event.Event{setting(0, &delay), far, tick(10)}, 0},
		{"for loopback only, and it is none", []event.Event{setting(2, &delay), far, tick(10)}, 0},
		{"from loopback", []event.Event{setting(2, &delay), over("127.0.0.1:40000", "10.0.0.5:443", 2), tick(10)}, 1},
		{"to loopback", []event.Event{setting(2, &delay), over("10.0.0.1:40000", "127.0.0.9:443", 2), tick(10)}, 1},
		{"bound to lo", []event.Event{setting(2, &delay), over("10.0.0.1:40000", "10.0.0.5:443", 2, func(el *event.Lease) { el.Device = 1 }), tick(10)}, 1},
		{"bound to another device", []event.Event{setting(2, &delay), over("10.0.0.1:40000", "10.0.0.5:443", 2, func(el *event.Lease) { el.Device = 2 }), tick(10)}, 0},
		{"no timestamps", []event.Event{setting(1, &delay), over("10.0.0.1:40000", "10.0.0.5:443", 2, func(el *event.Lease) { el.TimestampsSeen = false }), tick(10)}, 0},
		{"sub-state FIN_WAIT2", []event.Event{setting(1, &delay), over("10.0.0.1:40000", "10.0.0.5:443", 2, func(el *event.Lease) { el.Substate = event.SubstateFinWait2 }), tick(10)}, 0},
		{"sub-state not known", []event.Event{setting(1, &delay), over("10.0.0.1:40000", "10.0.0.5:443", 2, func(el *event.Lease) { el.Substate = event.SubstateUnknown }), tick(10)}, 0},
		{"entered at a time that is not known", []event.Event{setting(1, &delay), over("10.0.0.1:40000", "10.0.0.5:443", 2, func(el *event.Lease) { el.Entered = 0 }), tick(10)}, 0},
		{"renewed meanwhile", []event.Event{setting(1, &delay), far, over("10.0.0.1:40000", "10.0.0.5:443", 2.5), tick(3.4)}, 0},
		{"renewed, and old again", []event.Event{setting(1, &delay), far, over("10.0.0.1:40000", "10.0.0.5:443", 2.5), tick(3.4), tick(3.5)}, 1},
		{"switched off later", []event.Event{setting(1, &delay), far, tick(4), limits(5, event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 40000, High: 40009}})}, 0},
		{"switched on later", []event.Event{setting(0, &delay), far, tick(4), setting(1, &delay)}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pools := stream(event.PoisonWhileBound, tt.events...).Snapshot(0).Pools
			if len(pools) != 1 || pools[0].Reusable != tt.want || pools[0].TimeWait != 1 {
				t.Errorf("pools = %+v, want %d reusable", pools, tt.want)
			}
		})
	}
}

func TestCliff(t *testing.T) {
	var half []event.Event
	for _, port := range []uint16{40000, 40002, 40006} {
		half = append(half, allocate(1, conn(port)))
	}
	half = slices.Clip(half)
	last := allocate(2, conn(40008))
	own := func(ev event.Event) event.Event {
		ev.Lease.Range = event.PortRange{Low: 40000, High: 40009}
		return ev
	}
	tests := []struct {
		name   string
		events []event.Event
		want   Cliff
	}{
		{"one preferred port is left", append(half, allocate(2, conn(40001))), CliffAhead},
		{"the last of them is given", append(half, last), CliffPassed},
		{"one comes back", append(half, last, release(3, 40002, event.CauseClosed)), CliffAhead},
		{"one is poisoned instead", append(half, allocate(2, bound(1, "10.9.9.9:40008"))), CliffPassed},
		{"one may be taken over", append(half, last, timeWait(3, aged(conn(40008), 3)), tick(5)), CliffAhead},
		{"a range of its own has no parity here", []event.Event{own(half[0]), own(half[1]), own(half[2]), own(last)}, CliffUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := the(t, stream(event.PoisonWhileBound, tt.events...).Snapshot(0), towardsServer).Cliff; got != tt.want {
				t.Errorf("cliff = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestRangeNotKnown(t *testing.T) {
	l := ledgerOf(Options{}, allocate(1, tcp(1)))
	p := l.Snapshot(0).Pools[0]
	if _, known := p.UsedRatio(); known || !p.Range.IsZero() || p.Cliff != CliffUnknown {
		t.Errorf("a pool without limits knows its use: %+v", p)
	}
	ev := limits(2, event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 30000, High: 30003}})
	l.Apply(&ev)
	p = l.Snapshot(0).Pools[0]
	if ratio, known := p.UsedRatio(); !known || ratio != 0.25 || p.HeadroomLow != 3 {
		t.Errorf("used ratio %v, lowest %d, want 1 of 4", ratio, p.HeadroomLow)
	}
}

func TestUsedRatioWithoutCapacity(t *testing.T) {
	l := stream(event.PoisonWhileBound, allocate(1, conn(40000)),
		limits(2, event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 40000, High: 40000}}), allocate(3, bound(1, "10.9.9.9:40000")))
	p := the(t, l.Snapshot(0), towardsServer)
	if ratio, known := p.UsedRatio(); !known || ratio != 1 || p.Capacity != 0 {
		t.Errorf("used ratio = %v, capacity %d, want 1 of 0", ratio, p.Capacity)
	}
}

// A socket's own range narrows the namespace's; a bound that lies outside is
// ignored. Tuples from either range keep the other's sockets from them.
func TestOwnRange(t *testing.T) {
	own := conn(40001)
	own.Range = event.PortRange{Low: 40001, High: 50000}
	s := stream(event.PoisonWhileBound, allocate(1, conn(40000)), allocate(1, own), allocate(1, conn(40005))).Snapshot(0)
	if len(s.Pools) != 2 {
		t.Fatalf("pools = %d, want one for each range", len(s.Pools))
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		want, rng := "capacity 9 poisoned 0 in_use 3 time_wait 0 reusable 0 headroom 6", "40000-40009"
		if p.Own {
			want, rng = "capacity 8 poisoned 0 in_use 2 time_wait 0 reusable 0 headroom 6", "40001-40009"
		}
		if sums(p) != want || p.Range.String() != rng {
			t.Errorf("%v own %t: %s, want %s of %s", p.Range, p.Own, sums(p), want, rng)
		}
	}
}

func TestRangeChanges(t *testing.T) {
	l := stream(event.PoisonWhileBound, allocate(1, conn(40000)), allocate(1, conn(40009)), allocate(1, bound(1, "10.9.9.9:40008")),
		limits(2, event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 40008, High: 40019}}))
	want := "capacity 11 poisoned 1 in_use 1 time_wait 0 reusable 0 headroom 10"
	if got := sums(the(t, l.Snapshot(0), towardsServer)); got != want {
		t.Errorf("after the change: %s, want %s", got, want)
	}
}
