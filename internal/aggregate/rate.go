package aggregate

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

const (
	// ringSeconds is the length of the rates' window. Ten seconds smooth the
	// TIME_WAIT timer's steps of 2 s and still follow an outage.
	ringSeconds = 10
	// ringSlots is the length of each half of a ring: ten seconds one by one,
	// and a minute in the steps of a pool's history.
	ringSlots = 10
)

// tally counts the two halves of demand.
type tally struct {
	allocations, failures uint32
}

// ring counts demand over the last ten seconds and the last minute of event
// time. Its zero value is empty.
type ring struct{ seconds, slots tallies }

func second(t event.Time) uint32 { return uint32(uint64(t) / uint64(time.Second)) }

func (r *ring) allocation(t event.Time) {
	if n := r.seconds.at(second(t)); n != nil {
		n.allocations++
	}
	if n := r.slots.at(slotOf(t)); n != nil {
		n.allocations++
	}
}

func (r *ring) failure(t event.Time, count uint64) {
	if n := r.seconds.at(second(t)); n != nil {
		n.failures += uint32(count)
	}
	if n := r.slots.at(slotOf(t)); n != nil {
		n.failures += uint32(count)
	}
}

// sum counts what lies in the ten seconds that end at t, the running one among
// them.
func (r *ring) sum(t event.Time) (allocations, failures uint64) { return r.seconds.sum(second(t)) }

// lastSecond is what the last whole second before t counted. It is 0 long if
// the stream had not begun by then.
func (r *ring) lastSecond(from, t event.Time) Demand {
	s := second(t)
	if s == 0 || second(from) >= s {
		return Demand{}
	}
	d := Demand{Window: time.Second}
	if s--; s <= r.seconds.newest && r.seconds.newest-s < ringSlots {
		n := &r.seconds.counts[s%ringSlots]
		d.Allocations, d.Refusals = uint64(n.allocations), uint64(n.failures)
	}
	return d
}

// lastMinute is what the last 54 to 60 s before t counted.
func (r *ring) lastMinute(from, t event.Time) Demand {
	slot := slotOf(t)
	oldest := max(from, slotStart(slot-min(slot, ringSlots-1)))
	d := Demand{Window: time.Duration(t - min(t, oldest))}
	d.Allocations, d.Refusals = r.slots.sum(slot)
	return d
}

// tallies count in steps of some length, numbered by event time.
type tallies struct {
	counts [ringSlots]tally
	newest uint32 // the step that the newest count is of
}

// at returns the counter of a step, or nil if it lies before the window. Time
// may run back a little: an older step that is still kept takes the count.
func (c *tallies) at(step uint32) *tally {
	if step > c.newest {
		for i := range min(step-c.newest, ringSlots) {
			c.counts[(step-i)%ringSlots] = tally{}
		}
		c.newest = step
	}
	if c.newest-step >= ringSlots {
		return nil
	}
	return &c.counts[step%ringSlots]
}

// sum counts what lies in the window that ends with a step.
func (c *tallies) sum(end uint32) (allocations, failures uint64) {
	for i := range uint32(ringSlots) {
		step := c.newest - i
		if step > c.newest || step+ringSlots <= end {
			break
		}
		n := &c.counts[step%ringSlots]
		allocations += uint64(n.allocations)
		failures += uint64(n.failures)
	}
	return allocations, failures
}

// window is the time that ten seconds cover at t, given that the stream began at
// from: whole seconds and the running one.
func window(from, t event.Time) time.Duration {
	oldest := event.Time(0)
	if s := second(t); s >= ringSeconds {
		oldest = event.Time(s-ringSeconds+1) * event.Time(time.Second)
	}
	oldest = max(oldest, from)
	if t <= oldest {
		return 0
	}
	return time.Duration(t - oldest)
}
