package tracer

import (
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// cannotTell is [tracertest.CannotKnow] of the stage's mode.
func cannotTell(s *stage, fact string) {
	s.Helper()
	tracertest.CannotKnow(s, s.tracer.support.Unavailable, fact)
}

// full reports whether the stage is watched in mode full.
func (s *stage) full() bool { return s.tracer.support.Mode == event.ModeFull }
