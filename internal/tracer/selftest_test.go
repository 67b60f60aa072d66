package tracer

import (
	"context"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

func TestSelfTestProvesEveryHook(t *testing.T) {
	tracertest.RequireRoot(t)
	report, err := SelfTest(t.Context(), Options{Mode: tracertest.Mode(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("took %v", report.Elapsed)
	if len(report.Hooks) == 0 || report.Kernel == "" {
		t.Fatalf("empty report: %+v", report)
	}
	for _, h := range report.Hooks {
		if h.Verdict != VerdictFired {
			t.Errorf("%s: %s: %s", h.Hook, h.Verdict, h.Detail)
		}
	}
}

// A hook that is not attached has no verdict, and a hook whose fact comes only
// with its help is silent.
func TestSelfTestNamesTheSilent(t *testing.T) {
	tracertest.RequireRoot(t)
	report, err := SelfTest(t.Context(), Options{Mode: event.ModeTracepoint, without: []string{"pw_connect_x"}})
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]Verdict{}
	for _, h := range report.Hooks {
		verdicts[h.Hook] = h.Verdict
	}
	if _, there := verdicts["sys_exit_connect"]; there {
		t.Error("verdict on a hook that was left out")
	}
	if got := verdicts["cgroup/connect4"]; got != VerdictSilent {
		t.Errorf("cgroup/connect4, whose lease the end of connect() tells: %s, want %s", got, VerdictSilent)
	}
}

func TestSelfTestEndsWithItsContext(t *testing.T) {
	tracertest.RequireRoot(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SelfTest(ctx, Options{}); err == nil {
		t.Error("no error, although it was stopped")
	}
}

func TestVerdicts(t *testing.T) {
	h := &hooks[0]
	seen := &check{program: h.program, fact: "a", seen: true}
	silent := &check{program: h.program, fact: "b"}
	untried := &check{program: h.program, fact: "c", cause: context.Canceled}
	other := &check{program: "another"}
	tests := []struct {
		name   string
		checks []*check
		want   Verdict
	}{
		{"none", []*check{other}, VerdictUntested},
		{"fired", []*check{seen}, VerdictFired},
		{"one of two facts", []*check{seen, silent}, VerdictSilent},
		{"not tried", []*check{untried}, VerdictUntested},
		{"tried in part", []*check{seen, untried}, VerdictFired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &rehearsal{checks: tt.checks}
			if got := r.verdict(h); got.Verdict != tt.want || (got.Detail == "") != (tt.want == VerdictFired) {
				t.Errorf("got %+v, want %s", got, tt.want)
			}
		})
	}
}
