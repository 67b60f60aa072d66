package aggregate

import (
	"slices"

	"github.com/portwatch/portwatch/internal/event"
)

// peakFrom is the used ratio from which on a pool's worst moment is remembered.
const peakFrom = 0.5

// Peak is a pool at a moment.
type Peak struct {
	At   event.Time
	Pool Pool
}

// worse reports whether a step of a pool's history is worse than its peak: more
// is used, or as much and more is refused.
func (pk *Peak) worse(s *Slot) bool {
	switch {
	case pk == nil:
		return true
	case s.UsedHigh != pk.Pool.UsedHigh:
		return s.UsedHigh > pk.Pool.UsedHigh
	}
	return uint64(s.Refusals) > pk.Pool.Recent.Refusals
}

// lookAtPeak remembers the pool as it is if it never was worse. It is asked at
// the end of each step of history, and once a second while the pool refuses, so
// that what it says of the worst moment is at most a step late.
func (l *Ledger) lookAtPeak(i uint32) {
	p := l.pools.at(i)
	c := p.course
	if c.current.UsedHigh < peakFrom && c.current.Refusals == 0 || !c.peak.worse(&c.current) {
		return
	}
	row := l.poolRow(p, l.now)
	row.History, row.UsedHigh = nil, c.current.UsedHigh
	row.Recent.Refusals = uint64(c.current.Refusals)
	row.Owners = l.ownersOf(i)
	if c.current.Refusals > 0 {
		row.Forecast.Outcome = OutcomeRefusing
	}
	c.peak = &Peak{At: l.now, Pool: row}
}

// ownersOf are the owners of the pool's ports, and those who asked for some.
func (l *Ledger) ownersOf(i uint32) []PoolOwner {
	p := l.pools.at(i)
	rows := l.portHoldersIn(i)
	if p.request != RequestConnect {
		rows = l.withStakes(p, rows)
	}
	slices.SortFunc(rows, comparePoolOwners)
	return rows
}
