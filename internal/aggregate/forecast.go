package aggregate

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// Outcome is where a pool is heading.
type Outcome uint8

// The outcomes.
const (
	// OutcomeUnknown: there are less than 10 s of data, or over a fifth of the
	// pool is held by leases whose end nothing tells.
	OutcomeUnknown Outcome = iota
	OutcomeRefusing
	OutcomeRunsDry
	OutcomeLevelsOff
	OutcomeDraining // nothing is asked for, and ports come back
)

var outcomeWords = [...]string{"unknown", "refusing", "runs_dry", "levels_off", "draining"}

// String is the outcome's word.
func (o Outcome) String() string { return outcomeWords[o] }

// Forecast is what becomes of a pool if things go on as in the last 10 s.
type Forecast struct {
	Outcome Outcome
	// DryIn is the time until the first refusal: of OutcomeRunsDry.
	DryIn time.Duration
	// LevelsOffAt is the used ratio at which it levels off, at its worst
	// within a step of the timer wheel: of OutcomeLevelsOff.
	LevelsOffAt float64
	// Sustainable is the rate, in allocations a second, that the pool bears for
	// ever; 0 while nothing has ended whose hold time could be measured.
	Sustainable float64
	// Returning is how many ports come back within 10, 30 and 60 s by the end
	// of their TIME_WAIT, whatever else happens.
	Returning [3]int
}

// returningWithin are the times of Forecast.Returning.
var returningWithin = [3]time.Duration{10 * time.Second, 30 * time.Second, time.Minute}

const (
	// forecastStep is the grain of the near future, which reaches past the
	// longest TIME_WAIT; the far future is coarser.
	forecastStep   = 250 * time.Millisecond
	nearSteps      = int(128 * time.Second / forecastStep)
	farStep        = 16 * time.Second
	farSteps       = 64
	forecastBound  = time.Duration(farSteps) * farStep // 17 min
	forecastNeeds  = 10 * time.Second                  // of data
	unknownBound   = 5                                 // a fifth
	stepsPerFar    = int(farStep / forecastStep)
	forecastLength = farSteps * stepsPerFar
)

// outlook is what is known of the ends of a pool's leases.
type outlook struct {
	near      [nearSteps]int32
	far       [farSteps]int32
	unknown   int // leases whose end nothing tells
	returning [3]int
	waits     int           // TIME_WAITs with a known end
	waited    time.Duration // how long those wait in all
	reusable  int           // of them, what connect() may take over before that
	delay     time.Duration // how long those are kept from connect(), in all
}

// add books that a port comes back after some time.
func (o *outlook) add(after time.Duration) {
	after = max(after, 0)
	switch {
	case after < time.Duration(nearSteps)*forecastStep:
		o.near[after/forecastStep]++
	case after < forecastBound:
		o.far[after/farStep]++
	}
}

// wait is how long a port is kept from new requests after its connection, on
// average, where we close first.
func (o *outlook) wait() time.Duration {
	if o.waits == 0 {
		return 0
	}
	kept := o.waits - o.reusable
	return (o.delay + o.waited*time.Duration(kept)/time.Duration(o.waits)) / time.Duration(o.waits)
}

// addWaiting books a TIME_WAIT: it comes back when its timer ends, or for
// connect() when it is ripe.
func (o *outlook) addWaiting(ls *lease, ripensAt, now event.Time) {
	if ls.expires == 0 {
		o.unknown++
		return
	}
	left := time.Duration(ls.expires - min(now, ls.expires))
	for i, within := range returningWithin {
		if left <= within {
			o.returning[i]++
		}
	}
	o.waits++
	o.waited += time.Duration(ls.expires - min(ls.changed, ls.expires))
	switch {
	case ls.ripe: // headroom has it already
		o.reusable++
		o.delay += time.Duration(ripensAt - min(ls.entered, ripensAt))
	case ripensAt != 0 && ripensAt < ls.expires:
		o.reusable++
		o.delay += time.Duration(ripensAt - min(ls.entered, ripensAt))
		o.add(time.Duration(ripensAt - min(now, ripensAt)))
	default:
		o.add(left)
	}
}

// addLive books a lease that is in use. It ends when it is as old as others
// became; one that is older than nearly all of them has no known end. As long as
// none has ended, none does: that is what a leak looks like.
func (o *outlook) addLive(ls *lease, life Spread, mean, wait time.Duration, now event.Time) {
	age := time.Duration(now - min(now, ls.id.Born))
	switch {
	case !ls.witnessed || mean > 0 && age > life.P95:
		o.unknown++
	case mean > 0:
		o.add(max(mean-age, 0) + wait)
	}
}

// motion is what a pool's forecast runs on.
type motion struct {
	capacity, headroom int
	demand             float64 // attempts a second
	hold               time.Duration
	refusing           bool
	observed           time.Duration
}

// run plays the pool forward.
func (m *motion) run(o *outlook) Forecast {
	f := Forecast{Returning: o.returning}
	if m.hold > 0 {
		f.Sustainable = float64(m.capacity) / m.hold.Seconds()
	}
	switch {
	case m.refusing:
		f.Outcome = OutcomeRefusing
	case m.observed < forecastNeeds:
	case m.demand == 0 && o.comesBack():
		f.Outcome = OutcomeDraining
	case m.demand == 0:
		f.Outcome, f.LevelsOffAt = OutcomeLevelsOff, m.used(float64(m.headroom))
	case o.unknown*unknownBound > m.capacity:
	default:
		m.play(o, &f)
	}
	return f
}

func (o *outlook) comesBack() bool {
	for _, n := range o.near {
		if n > 0 {
			return true
		}
	}
	for _, n := range o.far {
		if n > 0 {
			return true
		}
	}
	return false
}

func (m *motion) used(headroom float64) float64 {
	if m.capacity <= 0 {
		return 1
	}
	return min(max(1-headroom/float64(m.capacity), 0), 1)
}

// play goes through time step by step: known ends come back, demand takes, and
// what it has taken comes back after the hold time.
func (m *motion) play(o *outlook, f *Forecast) {
	headroom, perStep := float64(m.headroom), m.demand*forecastStep.Seconds()
	settled := m.hold + 2*time.Duration(len(o.near)/2)*forecastStep // past the last known TIME_WAIT
	lowest, last := headroom, headroom
	for step := range forecastLength {
		at := time.Duration(step) * forecastStep
		headroom += o.back(step)
		if m.hold > 0 && at >= m.hold {
			headroom += perStep
		}
		if headroom < perStep {
			f.Outcome = OutcomeRunsDry
			f.DryIn = at + time.Duration(max(headroom, 0)/m.demand*float64(time.Second))
			return
		}
		headroom -= perStep
		if at >= settled {
			lowest = min(lowest, headroom)
		} else {
			lowest = headroom
		}
		last = headroom
	}
	f.Outcome, f.LevelsOffAt = OutcomeLevelsOff, m.used(min(lowest, last))
}

// back is what comes back in a step.
func (o *outlook) back(step int) float64 {
	var n int32
	if step < nearSteps {
		n = o.near[step]
	}
	if step%stepsPerFar == 0 {
		n += o.far[step/stepsPerFar]
	}
	return float64(n)
}
