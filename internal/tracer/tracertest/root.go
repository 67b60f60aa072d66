package tracertest

import (
	"os"
	"testing"
)

// RequireRoot skips a test that needs root. Where CI=true or
// PORTWATCH_TEST_ROOT=1 says that root was promised, it fails the test
// instead, so that nothing turns green by skipping.
func RequireRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() == 0 {
		return
	}
	Unable(tb, "root is required")
}

// Unable skips a test that this machine cannot run, or fails it as RequireRoot
// does where a machine was promised that can.
func Unable(tb testing.TB, why string) {
	tb.Helper()
	if rootPromised(os.Getenv) {
		tb.Fatal(why + ", and was promised by CI or PORTWATCH_TEST_ROOT")
	}
	tb.Skip(why)
}

func rootPromised(getenv func(string) string) bool {
	return getenv("CI") == "true" || getenv("PORTWATCH_TEST_ROOT") == "1"
}
