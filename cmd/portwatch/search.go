package main

import "github.com/portwatch/portwatch/internal/aggregate"

// The share of a range in use from which on search times are measured, and the
// one below which they are not any more. Past a half of its pool every
// connect() scans what is taken first: by then the measurement has begun.
const (
	searchFrom  = 0.45
	searchUntil = 0.40
)

// search decides whether search times are worth their price.
type search struct {
	always bool // --search-time
	on     bool
	failed bool // it cannot be had here: that is said once
}

// wanted looks at the fullest range of all namespaces.
func (s *search) wanted(snap *aggregate.Snapshot) bool {
	limit := searchFrom
	if s.on {
		limit = searchUntil
	}
	return s.always || fullest(snap) > limit
}

func fullest(snap *aggregate.Snapshot) float64 {
	most := 0.0
	for i := range snap.Namespaces {
		ns := &snap.Namespaces[i]
		if ports, known := ns.RangePorts(); known && ports > 0 && ns.TCP.InRange > 0 {
			most = max(most, float64(ns.TCP.InRange)/float64(ports))
		}
	}
	return most
}

// follow switches the measurement on or off as the picture demands.
func (s *search) follow(source watcher, snap *aggregate.Snapshot) error {
	w, able := source.(searcher)
	if !able || s.failed {
		return nil
	}
	s.on = s.wanted(snap)
	if err := w.MeasureSearch(s.on); err != nil {
		s.failed = true
		return err
	}
	return nil
}
