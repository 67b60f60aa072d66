package aggregate

import (
	"math/bits"
	"time"
)

// histogram counts durations from a microsecond to a month in steps of at most
// a quarter. Old ones fade: past a full count everything is halved.
type histogram struct {
	counts [octaves * quarters]uint16
	total  uint32
	sum    time.Duration // of those counted, faded as they are
}

const (
	octaves   = 42
	quarters  = 4
	fullCount = 1 << 12
)

// add counts a duration; one that is not positive is not known.
func (h *histogram) add(d time.Duration) {
	if d <= 0 {
		return
	}
	if h.total >= fullCount {
		h.fade()
	}
	h.counts[stepOf(d)]++
	h.total++
	h.sum += d
}

// mean is the average; 0 if none was counted.
func (h *histogram) mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return h.sum / time.Duration(h.total)
}

func (h *histogram) fade() {
	before := h.total
	h.total = 0
	for i := range h.counts {
		h.counts[i] /= 2
		h.total += uint32(h.counts[i])
	}
	h.sum = h.sum / time.Duration(before) * time.Duration(h.total)
}

// stepOf is the octave of the duration in units of 256 ns, and the quarter of
// the octave.
func stepOf(d time.Duration) int {
	n := max(uint64(d)>>8, quarters) // the first octave is from four units to eight
	octave := bits.Len64(n) - 3
	step := octave*quarters + int(n>>octave)&(quarters-1)
	return min(step, octaves*quarters-1)
}

// stepEnd is the largest duration of a step.
func stepEnd(step int) time.Duration {
	octave, quarter := step/quarters, step%quarters
	return time.Duration(uint64(quarters+quarter+1)<<octave<<8) - 1
}

// quantile is a duration that the share q of all does not exceed, up to a
// quarter too long, and false if none was counted.
func (h *histogram) quantile(q float64) (time.Duration, bool) {
	if h.total == 0 {
		return 0, false
	}
	rest := int64(q * float64(h.total-1))
	for step, n := range h.counts {
		if rest -= int64(n); rest < 0 {
			return stepEnd(step), true
		}
	}
	return stepEnd(len(h.counts) - 1), true
}

// endings count who closed first; they fade as a histogram does.
type endings struct{ ours, theirs uint32 }

func (e *endings) add(ours bool) {
	if e.ours+e.theirs >= fullCount {
		e.ours, e.theirs = e.ours/2, e.theirs/2
	}
	if ours {
		e.ours++
	} else {
		e.theirs++
	}
}

// ratio is the share that we closed first, and false if nothing ended.
func (e *endings) ratio() (float64, bool) {
	if e.ours+e.theirs == 0 {
		return 0, false
	}
	return float64(e.ours) / float64(e.ours+e.theirs), true
}
