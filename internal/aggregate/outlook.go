package aggregate

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// foresee runs every pool that is followed over time forward, and notes with
// each what is known of its ends and what becomes of it.
func (l *Ledger) foresee(at event.Time) {
	for i := range l.pools.next {
		if c := l.pools.at(i).course; c != nil {
			c.outlook = outlook{}
		}
	}
	// TIME_WAITs first: how long they take tells when the live ones are back.
	l.lookAhead(at, true)
	l.lookAhead(at, false)
	for i := range l.pools.next {
		p := l.pools.at(i)
		if p.course != nil {
			m := l.motionOf(p, at)
			p.course.forecast = m.run(&p.course.outlook)
		}
	}
}

// lookAhead books the ends of all leases that wait, or of all that do not.
func (l *Ledger) lookAhead(at event.Time, waiting bool) {
	for i := range l.leases.next {
		ls := l.leases.at(i)
		if !ls.live || (ls.state == event.StateTimeWait) != waiting {
			continue
		}
		for pool := range l.poolsTakenFrom(ls) {
			if p := l.pools.at(pool); p.course != nil {
				l.bookEnd(p, ls, at)
			}
		}
	}
}

func (l *Ledger) bookEnd(p *pool, ls *lease, at event.Time) {
	c := p.course
	if ls.state == event.StateTimeWait {
		ripens := event.Time(0)
		if p.request == RequestConnect {
			ripens = l.ripensAt(ls)
		}
		c.outlook.addWaiting(ls, ripens, at)
		return
	}
	c.outlook.addLive(ls, c.life.spread(), c.life.mean(), c.expectedWait(), at)
}

// expectedWait is how long a port of the pool is kept after its connection, on
// average over those that we close first and those that the peer does.
func (c *course) expectedWait() time.Duration {
	ours, known := c.endings.ratio()
	if !known {
		return 0
	}
	return time.Duration(ours * float64(c.outlook.wait()))
}

// motionOf is what the pool's forecast runs on.
func (l *Ledger) motionOf(p *pool, at event.Time) motion {
	sp, c := l.pools.spans.at(p.span), p.course
	capacity := p.open(sp)
	m := motion{
		capacity: int(capacity), headroom: int(capacity - p.taken()),
		observed: time.Duration(at - max(l.from, c.began)),
	}
	allocations, refusals := c.demand.sum(at)
	if w := min(window(l.from, at), m.observed); w > 0 {
		m.demand = float64(allocations+refusals) / w.Seconds()
	}
	if life := c.life.mean(); life > 0 {
		m.hold = life + c.expectedWait()
	}
	m.refusing = refusals > 0
	if p.request != RequestConnect {
		c.outlook.unknown = max(c.outlook.unknown, int(p.counts.inUse)-c.outlook.known())
	}
	return m
}

// known is how many leases have a known end.
func (o *outlook) known() int {
	n := 0
	for _, k := range o.near {
		n += int(k)
	}
	for _, k := range o.far {
		n += int(k)
	}
	return n
}

// poolsTakenFrom yields the pools that cannot give the lease's port: those of
// its tuple for a connection, else the one that it was drawn from.
func (l *Ledger) poolsTakenFrom(ls *lease) func(func(uint32) bool) {
	return func(yield func(uint32) bool) {
		if ls.flow == 0 {
			if ls.home != 0 && l.pools.at(ls.home-1).request != RequestConnect {
				yield(ls.home - 1)
			}
			return
		}
		if l.bucketOf(ls).poisoned {
			return
		}
		for next := l.pools.flows.at(ls.flow - 1).pools; next != 0; {
			p := l.pools.at(next - 1)
			if p.collides(ls.device) && l.pools.spans.at(p.span).holds(ls.local.port) && !yield(next-1) {
				return
			}
			next = p.next
		}
	}
}
