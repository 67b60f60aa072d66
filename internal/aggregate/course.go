package aggregate

import (
	"math"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// The history of a pool: 10 minutes in steps of 6 s.
const (
	slotLength   = 6 * time.Second
	historySlots = int(10 * time.Minute / slotLength)
	// minuteSlots and the running slot cover the last minute.
	minuteSlots = int(time.Minute / slotLength)
)

// NoHeadroom stands for a headroom that is not known, because the namespace's
// limits are not.
const NoHeadroom = math.MaxInt32

// Slot is a step of a pool's history.
type Slot struct {
	Start       event.Time
	HeadroomLow int32 // the least within the step; NoHeadroom if not known
	// UsedHigh is the most that was used of what the capacity was at the time.
	UsedHigh    float64
	Capacity    int32 // at its end
	InUse       int32 // at its end
	Allocations uint32
	Refusals    uint32
}

func slotOf(t event.Time) uint32 { return uint32(uint64(t) / uint64(slotLength)) }

func slotStart(slot uint32) event.Time { return event.Time(uint64(slot) * uint64(slotLength)) }

// course is what is remembered of a pool over time.
type course struct {
	began                 event.Time
	demand                ring
	allocations, refusals uint64
	life, hold, search    histogram
	endings               endings
	current               Slot
	// past is only ever appended to: a snapshot may keep its tail.
	past []Slot
	// sight is the last look at who holds its ports; nil before a refusal.
	sight *Sight
	// peak is the pool at its worst moment, as far as it was looked at; nil
	// while it was never worth a look.
	peak *Peak
	// As of the last snapshot.
	outlook  outlook
	forecast Forecast
}

// grantCourse begins to remember what happens in a pool, if there is room, or if
// room can be made by forgetting pools that are small and quiet.
func (l *Ledger) grantCourse(i uint32) {
	p := l.pools.at(i)
	if p.course != nil {
		return
	}
	if l.pools.courses >= l.opts.MaxPools && !l.retireCourses() {
		l.counters.PoolsUnlisted++
		return
	}
	l.pools.courses++
	p.course, p.settled = &course{began: l.now}, l.version
	l.openSlot(p, slotOf(l.now))
}

// retireCourses forgets the courses of connect pools that hold one port at most
// and were quiet for a minute; at most once per second of event time, so that a
// flood of destinations stays cheap.
func (l *Ledger) retireCourses() bool {
	if l.pools.retired != 0 && second(l.pools.retired) == second(l.now) {
		return false
	}
	l.pools.retired = l.now
	for i := range l.pools.next {
		p := l.pools.at(i)
		if p.course == nil || p.request != RequestConnect || p.leases > 1 || p.used+event.Time(time.Minute) > l.now {
			continue
		}
		p.course = nil
		l.pools.courses--
		l.counters.PoolsForgotten++
		if p.leases == 0 && l.pools.flows.at(p.flow-1).leases == 0 {
			l.closePool(i)
		}
	}
	return l.pools.courses < l.opts.MaxPools
}

func (l *Ledger) openSlot(p *pool, slot uint32) {
	p.course.current = Slot{Start: slotStart(slot), HeadroomLow: NoHeadroom}
	if sp := l.pools.spans.at(p.span); !sp.effective.IsZero() {
		p.course.current.note(p.open(sp), p.taken())
	}
}

// note books how much was taken of a capacity.
func (s *Slot) note(capacity, taken int32) {
	s.HeadroomLow = min(s.HeadroomLow, capacity-taken)
	used := 1.0
	if capacity > 0 {
		used = 1 - float64(capacity-taken)/float64(capacity)
	}
	s.UsedHigh = max(s.UsedHigh, used)
}

// rollHistory closes the slots that ended before now. All pools are settled
// here, so no trough has to remember more than one slot.
func (l *Ledger) rollHistory() {
	slot := slotOf(l.now)
	if slot == l.pools.slot {
		return
	}
	for i := range l.pools.next {
		p := l.pools.at(i)
		if p.live && p.course != nil {
			l.settle(p)
			l.lookAtPeak(i)
			l.closeSlots(p, slot)
		}
	}
	l.pools.slot = slot
	l.version++ // a cached snapshot ends with the slot before
	for i := range l.pools.spans.next {
		if s := l.pools.spans.at(i); s.pools > 0 {
			s.trough.reset(s.open())
		}
	}
}

// closeSlots ends the running slot and those up to the given one, in which
// nothing happened.
func (l *Ledger) closeSlots(p *pool, slot uint32) {
	c := p.course
	sp := l.pools.spans.at(p.span)
	c.current.Capacity, c.current.InUse = p.open(sp), p.counts.inUse
	c.remember()
	first := l.pools.slot + 1
	if gap := uint32(historySlots); slot > gap {
		first = max(first, slot-gap)
	}
	for s := first; s < slot; s++ {
		l.openSlot(p, s)
		c.current.Capacity, c.current.InUse = p.open(sp), p.counts.inUse
		c.remember()
	}
	l.openSlot(p, slot)
}

// remember appends the running slot to the past. What lies further back than the
// history is left behind when the slice has to move anyway.
func (c *course) remember() {
	if len(c.past) == cap(c.past) {
		kept := c.past[max(0, len(c.past)-historySlots):]
		moved := make([]Slot, len(kept), 2*len(kept)+8)
		copy(moved, kept)
		c.past = moved
	}
	c.past = append(c.past, c.current)
}

// history is the past that is spoken of; nobody writes to it again.
func (c *course) history() []Slot {
	n := len(c.past)
	return c.past[max(0, n-historySlots):n:n]
}

// lowest is the least headroom of the last minute.
func (c *course) lowest() int32 {
	low := c.current.HeadroomLow
	for _, s := range c.history()[max(0, len(c.history())-minuteSlots):] {
		low = min(low, s.HeadroomLow)
	}
	return low
}

// highest is the most that was used within the last minute.
func (c *course) highest() float64 {
	high := c.current.UsedHigh
	for _, s := range c.history()[max(0, len(c.history())-minuteSlots):] {
		high = max(high, s.UsedHigh)
	}
	return high
}

// drew books an allocation with the pool that the lease drew from.
func (l *Ledger) drew(ls *lease, ev *event.Event) {
	if ls.home == 0 {
		return
	}
	p := l.pools.at(ls.home - 1)
	p.used = l.now
	if p.leases > 1 { // else it was asked for a course a moment ago
		l.grantCourse(ls.home - 1)
	}
	l.countBind0(p, ls.account, 1)
	s := l.stakeOf(ls.home-1, ls)
	s.allocations++
	s.allocation(ev.Time)
	if c := p.course; c != nil {
		c.allocations++
		c.current.Allocations++
		c.demand.allocation(ev.Time)
		c.search.add(time.Duration(ev.SearchNanos))
	}
}

// countBind0 books requests for any TCP port with their namespace.
func (l *Ledger) countBind0(p *pool, account uint32, requests uint64) {
	if p.request == RequestBind0 {
		l.namespaces.at(l.accounts.at(account).namespace).bind0 += requests
	}
}

// refuse books refusals for want of ports with the pool that had none: its
// number plus one, 0 if there is no such pool.
func (l *Ledger) refuse(account uint32, ev *event.Event) uint32 {
	f := ev.Failure
	if !f.Reason.Exhaustion() || f.Folded {
		return 0
	}
	home := l.refusingPool(account, f)
	if home == 0 {
		return 0
	}
	l.grantCourse(home - 1)
	p := l.pools.at(home - 1)
	p.used = l.now
	l.countBind0(p, account, f.Count)
	s := l.stakeFor(home-1, account)
	s.refusals += f.Count
	s.ask(ev.Time, f.Count)
	if c := p.course; c != nil {
		c.refusals += f.Count
		c.current.Refusals += uint32(f.Count)
		c.demand.failure(ev.Time, f.Count)
	}
	return home
}

// refusingPool is the pool of a request that was refused, plus one.
func (l *Ledger) refusingPool(account uint32, f *event.Failure) uint32 {
	a := l.accounts.at(account)
	local := endpointOf(f.Local)
	if f.Protocol == event.TCP && f.Operation == event.OperationConnect {
		remote := endpointOf(f.Remote)
		if !local.valid || !remote.valid {
			return 0
		}
		flow := l.flowFor(flowKey{a.namespace, remote.port, local.addr, remote.addr})
		home := l.connectPool(flow, placeOf(local, f.Family, f.Device, false), f.Range)
		l.leaveFlow(flow)
		return home
	}
	at := anywhere(f.Family, f.Device)
	if local.valid && f.Operation == event.OperationBind {
		at = placeOf(local, f.Family, f.Device, false)
	}
	return l.bindPool(a.namespace, f.Protocol, at, f.Range)
}
