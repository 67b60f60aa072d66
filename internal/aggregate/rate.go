package aggregate

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// ringSeconds is the length of the rates' window. Ten seconds smooth the
// TIME_WAIT timer's steps of 2 s and still follow an outage.
const ringSeconds = 10

// tally counts the two halves of demand.
type tally struct {
	allocations, failures uint32
}

// ring counts per second of event time over the last ringSeconds. Its zero
// value is empty.
type ring struct {
	slots  [ringSeconds]tally
	newest uint32 // the second that the newest slot counts
}

func second(t event.Time) uint32 { return uint32(uint64(t) / uint64(time.Second)) }

// slot returns the counter for t, or nil if t lies before the window. Time
// may run back a little: an older second that is still kept takes the count.
func (r *ring) slot(t event.Time) *tally {
	s := second(t)
	if s > r.newest {
		r.clear(s)
		r.newest = s
	}
	if r.newest-s >= ringSeconds {
		return nil
	}
	return &r.slots[s%ringSeconds]
}

// clear empties the slots between the newest second and s.
func (r *ring) clear(s uint32) {
	steps := min(s-r.newest, ringSeconds)
	for i := range steps {
		r.slots[(s-i)%ringSeconds] = tally{}
	}
}

func (r *ring) allocation(t event.Time) {
	if slot := r.slot(t); slot != nil {
		slot.allocations++
	}
}

func (r *ring) failure(t event.Time, n uint64) {
	if slot := r.slot(t); slot != nil {
		slot.failures += uint32(n)
	}
}

// sum counts what lies in the window that ends at t.
func (r *ring) sum(t event.Time) (allocations, failures uint64) {
	end := second(t)
	for i := range uint32(ringSeconds) {
		s := r.newest - i
		if s > r.newest || s+ringSeconds <= end {
			break
		}
		slot := &r.slots[s%ringSeconds]
		allocations += uint64(slot.allocations)
		failures += uint64(slot.failures)
	}
	return allocations, failures
}

// lastSecond is what the last whole second before t counted. It is 0 long if
// the stream had not begun by then.
func (r *ring) lastSecond(from, t event.Time) Demand {
	s := second(t)
	if s == 0 || second(from) >= s {
		return Demand{}
	}
	d := Demand{Window: time.Second}
	if s--; s <= r.newest && r.newest-s < ringSeconds {
		slot := &r.slots[s%ringSeconds]
		d.Allocations, d.Refusals = uint64(slot.allocations), uint64(slot.failures)
	}
	return d
}

// window is the time that a ring covers at t, given that the stream began at
// from: whole seconds and the running one, at most ringSeconds.
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
