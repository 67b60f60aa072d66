package tracertest

import (
	"os"
	"slices"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

// Mode is the mode in which tests open a tracer: PORTWATCH_TEST_MODE, or 0, the
// best that the kernel permits. Any other word fails the test.
func Mode(tb testing.TB) event.Mode {
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

// CannotKnow checks that a mode says of itself that it does not know a fact, and
// says so in the test's log, where the matrix finds it.
func CannotKnow(tb testing.TB, unavailable []string, fact string) {
	tb.Helper()
	if !slices.Contains(unavailable, fact) {
		tb.Errorf("the mode does not say that it cannot know: %s", fact)
	}
	tb.Logf("cannot know: %s", fact)
}
