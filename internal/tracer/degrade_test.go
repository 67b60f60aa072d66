package tracer

import (
	"errors"
	"slices"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// The functions to which broken hooks are sent: one that no kernel has, and one
// that every kernel has and nothing here calls.
const (
	nowhere = "pw_no_such_function"
	silence = "tcp_abort"
)

// needFull reports whether a test of mode full has to run: not on a kernel that
// forbids it, which must say so, nor where another run of the tests does it.
func needFull(t *testing.T) bool {
	t.Helper()
	tracertest.RequireRoot(t)
	if CanTrace() == nil {
		return tracertest.Mode(t) != event.ModeTracepoint
	}
	_, err := Open(t.Context(), Options{Mode: event.ModeFull})
	if !errors.Is(err, ErrPermission) && !errors.Is(err, ErrUnsupported) {
		t.Errorf("mode full does not say why it does not work: %v", err)
	}
	t.Logf("cannot know: mode full does not work here: %v", err)
	return false
}

// Hooks whose function the kernel does not have.
func TestHookWithoutItsFunction(t *testing.T) {
	if !needFull(t) {
		return
	}
	tests := []struct {
		name, program string
		state, second HookState // of the hook and of what stands in for it
		standIn       string
		lacks         string
	}{
		{"with a stand-in", "pw_tw_kill", HookAbsent, HookFallback, "fentry/tcp_twsk_destructor", ""},
		{"without one", "pw_tw_alloc", HookAbsent, "", "", "that a TIME_WAIT is missing for want of room"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			place := hookOf(tt.program).place()
			support, err := Probe(t.Context(), Options{renamed: map[string]string{tt.program: nowhere}})
			if err != nil {
				t.Fatal(err)
			}
			if support.Mode != event.ModeFull {
				t.Errorf("mode %v", support.Mode)
			}
			if got := reportOn(support, place).State; got != tt.state {
				t.Errorf("%s is %s, want %s", place, got, tt.state)
			}
			second := reportOn(support, tt.standIn)
			if second.State != tt.second || tt.standIn != "" && !slices.Equal(second.Tried, []string{place}) {
				t.Errorf("the stand-in: %+v, want %s after %s", second, tt.second, place)
			}
			if lacks := reportOn(support, place).Lacks; lacks != tt.lacks || tt.lacks != "" && !slices.Contains(support.Unavailable, lacks) {
				t.Errorf("lacks %q, want %q, among %q", lacks, tt.lacks, support.Unavailable)
			}
		})
	}
}

// A mode whose required hook is missing is not taken; the next one is.
func TestRequiredHookWithoutItsFunction(t *testing.T) {
	if !needFull(t) {
		return
	}
	broken := Options{renamed: map[string]string{"pw_bind4": nowhere}}
	support, err := Probe(t.Context(), broken)
	if err != nil || support.Mode != event.ModeTracepoint {
		t.Errorf("mode %v (%v), want %v", support.Mode, err, event.ModeTracepoint)
	}
	broken.Mode = event.ModeFull
	if _, err := Open(t.Context(), broken); !errors.Is(err, ErrUnsupported) {
		t.Errorf("mode full: %v, want %v", err, ErrUnsupported)
	}
}

// A hook that attaches and stays silent is found out and replaced, and the
// replacement does its work.
func TestSilentHookIsReplaced(t *testing.T) {
	if !needFull(t) {
		return
	}
	o := Options{Mode: event.ModeFull, renamed: map[string]string{"pw_tw_kill": silence}}
	report, err := SelfTest(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]Verdict{}
	for _, h := range report.Hooks {
		verdicts[h.Hook] = h.Verdict
		if h.Verdict == VerdictSilent {
			o.Silent = append(o.Silent, h.Hook)
		}
	}
	if !slices.Equal(o.Silent, []string{"fentry/inet_twsk_kill"}) || verdicts["fentry/tcp_twsk_destructor"] != VerdictFired {
		t.Fatalf("verdicts: %v", report.Hooks)
	}
	support, err := Probe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	first, second := reportOn(support, "fentry/inet_twsk_kill"), reportOn(support, "fentry/tcp_twsk_destructor")
	if first.State != HookOff || second.State != HookFallback {
		t.Errorf("first %+v, second %+v", first, second)
	}
}

func reportOn(s Support, place string) HookReport {
	for _, r := range s.Hooks {
		if r.Hook == place {
			return r
		}
	}
	return HookReport{}
}

// What could not be attached leaves nothing behind that would have to be closed.
func TestRefusedAttachLeavesNoLink(t *testing.T) {
	for _, program := range []string{"pw_post_bind4", "pw_connect4"} {
		links, err := hookOf(program).attach(nil, "/no/such/hierarchy", tracefs{})
		if err == nil || len(links) != 0 {
			t.Errorf("%s: links %v, error %v", program, links, err)
		}
	}
}
