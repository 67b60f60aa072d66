package tracer

import (
	"slices"
	"testing"
)

// TestVerifierBudget says how many instructions this kernel's verifier walked
// for each program; scripts/vmtest compares that with docs/verifier.md.
func TestVerifierBudget(t *testing.T) {
	s := setStage(t)
	if _, err := s.tracer.FollowForks(); err != nil {
		t.Fatal(err)
	}
	progs := s.tracer.probes.progs
	names := make([]string, 0, len(progs))
	for name := range progs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		info, err := progs[name].Info()
		if err != nil {
			t.Fatal(err)
		}
		walked, ok := info.VerifiedInstructions()
		if !ok || walked == 0 {
			t.Fatalf("%s: the kernel does not say how many instructions its verifier walked", name)
		}
		t.Logf("verified: %v %s %d", s.tracer.support.Mode, name, walked)
	}
}
