package tracer

import (
	"slices"

	"github.com/portwatch/portwatch/internal/event"
)

// cannotTell checks that the mode says of itself that it does not know a fact,
// and says so in the test's log.
func cannotTell(s *stage, fact string) {
	s.Helper()
	if !slices.Contains(s.tracer.support.Unavailable, fact) {
		s.Errorf("the mode does not say that it cannot know: %s", fact)
	}
	s.Logf("cannot know: %s", fact)
}

// full reports whether the stage is watched in mode full.
func (s *stage) full() bool { return s.tracer.support.Mode == event.ModeFull }
