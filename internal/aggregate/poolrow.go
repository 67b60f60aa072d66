package aggregate

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// PoolKey is what tells pools apart.
type PoolKey struct {
	Request     Request
	NetNS       uint32
	NetNSCookie uint64 // 0 if unknown
	NetNSName   string // "" if unknown
	Device      uint32 // 0 for sockets that are bound to none
	Protocol    event.Protocol
	Family      event.Family
	Local       netip.Addr     // unspecified for any
	Remote      netip.AddrPort // connect pools only, else invalid
	// Range is the effective one; zero while the namespace's limits are not
	// known. Own says that it is that of sockets with a range of their own.
	Range event.PortRange
	Own   bool
}

// Pool is the ports that one kind of request draws from, as of the newest event.
type Pool struct {
	PoolKey
	number uint32 // in the ledger, as long as no event comes

	// Capacity is the ports that a request could be given if nobody held any;
	// it means nothing while Range is zero.
	Capacity int
	// Poisoned is the ports of the range that connect() skips because somebody
	// bound them; connect pools only. Where PoisonKnown is false there may be
	// more, and Headroom is the most that can be left.
	Poisoned    int
	PoisonKnown bool
	// ReuseUnknown says that connect() may take over some of the TIME_WAITs, and
	// that the mode does not tell which: the headroom is not known then.
	ReuseUnknown bool
	InUse        int
	TimeWait     int // of InUse
	Reusable     int // of TimeWait: connect() may take them over now
	SynSent      int // of InUse
	Cliff        Cliff

	// HeadroomLow is the least headroom of the last 60 s, up to 66.
	HeadroomLow int
	// UsedHigh is the most that was used within that time: 1 - headroom ÷
	// capacity, each as it was then.
	UsedHigh float64

	// What was asked for within the last 1, 10 and 60 s of event time, each as
	// far as its Window reaches, and since the pool is remembered.
	Second, Recent, Minute, Total Demand

	// Life is how long the sockets lived, Hold how long they kept their ports,
	// Search how long the kernel looked for one.
	Life, Hold, Search Spread
	// ClosesFirst is the share of connections that were closed from here
	// first, and so left a TIME_WAIT here; negative if none has ended.
	ClosesFirst float64

	Forecast Forecast

	History []Slot      // oldest first; the running step is not in it
	Owners  []PoolOwner // most ports first
}

// Demand is what was asked for within a window.
type Demand struct {
	Window                time.Duration
	Allocations, Refusals uint64
}

// Attempts is what was given and what was refused: a full pool caps its own
// allocations.
func (d *Demand) Attempts() uint64 { return d.Allocations + d.Refusals }

// add sums demand within the same window.
func (d *Demand) add(other *Demand) {
	d.Window = max(d.Window, other.Window)
	d.Allocations += other.Allocations
	d.Refusals += other.Refusals
}

// Spread is a median and a 95th percentile, each up to a quarter too long; 0 if
// not known. Recent ones weigh most.
type Spread struct{ P50, P95 time.Duration }

// Cliff tells whether connect() has ports of the parity left that it tries first.
type Cliff uint8

// The sides of the cliff.
const (
	CliffUnknown Cliff = iota // there is no parity, or the range is not known
	CliffAhead
	CliffPassed
)

// PoolOwner is an owner's part of a pool.
type PoolOwner struct {
	Owner    *OwnerInfo
	Ports    int // of the pool's InUse; they add up to it
	TimeWait int // of those
	// Allocations and Refusals are the owner's in this pool since it has a
	// part in it.
	Allocations, Refusals uint64
}

// Headroom is how many further requests succeed now.
func (p *Pool) Headroom() int { return p.Capacity - p.InUse + p.Reusable }

// UsedRatio is UsedHigh; 1 if there is no capacity. False while the range is not
// known.
func (p *Pool) UsedRatio() (float64, bool) {
	switch {
	case p.Range.IsZero() || p.ReuseUnknown:
		return 0, false
	case p.Capacity <= 0:
		return 1, true
	}
	return p.UsedHigh, true
}

// RunsDryWithin reports whether the forecast says that the pool will refuse
// within d.
func (p *Pool) RunsDryWithin(d time.Duration) bool {
	return p.Forecast.Outcome == OutcomeRunsDry && p.Forecast.DryIn <= d
}

// Level is how urgent the pool is: "critical" if it refused within the last
// minute or will within the next, "warning" past the cliff, at 70 % and more or
// if it runs dry within a quarter of an hour, "unknown" if its range, or who has
// poisoned it, is not known, else "ok".
func (p *Pool) Level() string {
	ratio, known := p.UsedRatio()
	switch {
	case p.Minute.Refusals > 0 || p.RunsDryWithin(time.Minute):
		return "critical"
	case p.Cliff == CliffPassed || known && ratio >= 0.7 || p.RunsDryWithin(15*time.Minute):
		return "warning"
	case !known || p.Request == RequestConnect && !p.PoisonKnown:
		return "unknown"
	}
	return "ok"
}

func (l *Ledger) poolRows(at event.Time) []Pool {
	rows := make([]Pool, 0, l.pools.courses)
	l.foresee(at)
	var held map[uint32][]PoolOwner
	for i := range l.pools.next {
		p := l.pools.at(i)
		if p.course == nil || p.request != RequestConnect && p.counts.inUse == 0 && l.start.Mode == event.ModeDiag {
			continue // nobody asked, as far as that is known
		}
		l.settle(p)
		row := l.poolRow(p, at)
		row.number = i
		row.Forecast = p.course.forecast
		if p.request == RequestConnect {
			row.Owners = l.stakeRows(p)
		} else {
			if held == nil {
				held = l.portHolders()
			}
			row.Owners = l.withStakes(p, held[i])
		}
		slices.SortFunc(row.Owners, comparePoolOwners)
		rows = append(rows, row)
	}
	slices.SortFunc(rows, comparePools)
	return rows
}

func (l *Ledger) poolRow(p *pool, at event.Time) Pool {
	sp, c := l.pools.spans.at(p.span), p.course
	row := Pool{
		PoolKey: l.keyOfPool(p), PoisonKnown: l.start.Poison != event.PoisonUnknown,
		Capacity: int(p.open(sp)), InUse: int(p.counts.inUse), TimeWait: int(p.counts.timeWait),
		Reusable: int(p.counts.reusable), SynSent: int(p.counts.synSent),
		HeadroomLow: int(c.lowest()), UsedHigh: c.highest(), History: c.history(), Cliff: l.cliff(p, sp),
		Life: c.life.spread(), Hold: c.hold.spread(), Search: c.search.spread(), ClosesFirst: -1,
	}
	if p.request == RequestConnect {
		row.Poisoned = int(sp.lost)
		if row.ReuseUnknown = l.hidesReuse(&row); row.ReuseUnknown {
			row.Cliff = CliffUnknown
		}
	}
	if ratio, ok := c.endings.ratio(); ok {
		row.ClosesFirst = ratio
	}
	l.fillDemand(&row, c, at)
	return row
}

// hidesReuse reports whether the pool has TIME_WAITs that connect() may take over
// once they are old enough, in a mode that knows neither their age nor their
// timestamps.
func (l *Ledger) hidesReuse(p *Pool) bool {
	if l.start.Mode != event.ModeDiag || p.TimeWait == 0 {
		return false
	}
	i, known := l.namespaces.byInode[p.NetNS]
	if !known {
		return false
	}
	limits := &l.namespaces.at(i).limits
	return limits.Timestamps != 0 && reusableFrom(limits, 1, p.Local.IsLoopback() || p.Remote.Addr().IsLoopback()) != 0
}

func (l *Ledger) keyOfPool(p *pool) PoolKey {
	sp := l.pools.spans.at(p.span)
	ns := l.namespaces.at(sp.namespace)
	key := PoolKey{
		Request: p.request, NetNS: ns.inode, NetNSCookie: ns.cookie, NetNSName: ns.name,
		Device: p.device, Protocol: protocolOf(p.request), Family: event.IPv4, Range: sp.effective, Own: !sp.own.IsZero(),
	}
	if p.kind == seatIPv6 {
		key.Family = event.IPv6
	}
	key.Local = endpoint{addr: p.addr, valid: true}.addrPort(key.Family).Addr()
	if p.request == RequestConnect {
		tuple := &l.pools.flows.at(p.flow - 1).key
		key.Remote = endpoint{tuple.remote, tuple.port, true}.addrPort(key.Family)
	}
	return key
}

func (l *Ledger) fillDemand(row *Pool, c *course, at event.Time) {
	row.Total = Demand{Window: time.Duration(at - l.from), Allocations: c.allocations, Refusals: c.refusals}
	row.Recent.Window = window(l.from, at)
	row.Recent.Allocations, row.Recent.Refusals = c.demand.sum(at)
	row.Second, row.Minute = c.demand.lastSecond(l.from, at), c.demand.lastMinute(l.from, at)
}

func (h *histogram) spread() Spread {
	var s Spread
	s.P50, _ = h.quantile(0.5)
	s.P95, _ = h.quantile(0.95)
	return s
}

// cliff compares what is left of the preferred parity with nothing.
func (l *Ledger) cliff(p *pool, sp *span) Cliff {
	switch {
	case p.request != RequestConnect || sp.effective.IsZero():
		return CliffUnknown
	case !sp.own.IsZero() && l.start.OwnRangeInOnePass:
		return CliffUnknown
	case sp.preferred-sp.lostPreferred-p.counts.preferred+p.counts.preferredReusable <= 0:
		return CliffPassed
	case l.start.Poison == event.PoisonUnknown: // poisoned ports may have used them up
		return CliffUnknown
	}
	return CliffAhead
}

// comparePools puts first what was refused within the last minute, then what
// is used most, then what is asked for most. Names decide the rest.
func comparePools(a, b Pool) int {
	used := func(p *Pool) float64 {
		ratio, ok := p.UsedRatio()
		if !ok {
			return -1
		}
		return ratio
	}
	return cmp.Or(
		cmp.Compare(b.Minute.Refusals, a.Minute.Refusals),
		cmp.Compare(used(&b), used(&a)),
		cmp.Compare(b.Minute.Allocations, a.Minute.Allocations),
		cmp.Compare(a.NetNS, b.NetNS), cmp.Compare(a.Request, b.Request), cmp.Compare(a.Device, b.Device),
		cmp.Compare(a.Family, b.Family), a.Local.Compare(b.Local), a.Remote.Compare(b.Remote),
		cmp.Compare(a.Range.Low, b.Range.Low), cmp.Compare(a.Range.High, b.Range.High),
		compareBool(a.Own, b.Own))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
