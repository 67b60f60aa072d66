package tracer

import (
	"os"
	"slices"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

// testMode is the mode in which the tests open a tracer: PORTWATCH_TEST_MODE, or
// the best that the kernel permits.
func testMode(tb testing.TB) event.Mode {
	tb.Helper()
	word := os.Getenv("PORTWATCH_TEST_MODE")
	for _, m := range []event.Mode{event.ModeFull, event.ModeTracepoint} {
		if word == m.String() {
			return m
		}
	}
	if word != "" {
		tb.Fatalf("PORTWATCH_TEST_MODE=%s: known are full and tracepoint", word)
	}
	return 0
}

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
