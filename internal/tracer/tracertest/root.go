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
	if rootPromised(os.Getenv) {
		tb.Fatal("root is required and was promised by CI or PORTWATCH_TEST_ROOT")
	}
	tb.Skip("root is required to make network namespaces")
}

func rootPromised(getenv func(string) string) bool {
	return getenv("CI") == "true" || getenv("PORTWATCH_TEST_ROOT") == "1"
}
