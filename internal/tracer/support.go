package tracer

import (
	"slices"

	"github.com/portwatch/portwatch/internal/event"
)

// Support is what this kernel offers and why not more.
type Support struct {
	Mode   event.Mode
	Kernel string // release, as uname -r prints it
	BTF    bool
	// Cgroup is where the cgroup2 tree was found: its mount point, or
	// "private mount", or "" if there is none.
	Cgroup string
	// Held and Missing are the capabilities that are needed, by name.
	Held, Missing []string
	Hooks         []HookReport
	// Advice is the one thing that would unlock more; "" if nothing would.
	Advice string
	// MemoryCeilingBytes is what the maps take when full, rings included, and
	// MapBytes what they took right after they were made.
	MemoryCeilingBytes, MapBytes uint64
	// Unavailable are the facts that this mode cannot know.
	Unavailable []string
	// poison and ownRangeInOnePass are the kernel's rules for connect(), as
	// event.Start has them.
	poison            event.Poison
	ownRangeInOnePass bool
	// Instances are the other portwatch on the host. Only Probe looks for them.
	Instances Instances
}

// cannotKnow are the facts that no hook of the mode can bring, whatever is
// attached. What a missing hook takes away comes on top.
func cannotKnow(m event.Mode) []string {
	switch m {
	case event.ModeFull:
		return []string{
			"refusals by a security module (SELinux, AppArmor), before the call reaches TCP or UDP",
			"the destination of a refused UDP send",
		}
	case event.ModeTracepoint:
		return []string{
			"refusals of bind(), listen() and sends by io_uring and 32-bit tasks, and of write() on UDP",
			"the errno of their and of MPTCP's refused connect()",
			"the destination of a refused UDP send",
			"whether a UDP send took its port or found it",
			"how long the kernel searched for a port",
			"that a TIME_WAIT is missing for want of room",
			"when a TIME_WAIT takes its step from FIN_WAIT2, within one slot of the timer wheel",
		}
	case event.ModeDiag:
		return []string{
			"refusals", "rates", "who left a TIME_WAIT", "by which request a port was given",
			"ports held by a closed listener", "what came and went between two dumps",
		}
	}
	return nil
}

// HookState is what became of a hook.
type HookState string

// The states of a hook.
const (
	HookAttached HookState = "attached"
	HookFallback HookState = "fallback" // something else stands in for it
	HookRefused  HookState = "refused"  // the kernel has it, and does not let us
	HookAbsent   HookState = "absent"   // the kernel does not have it
	HookOff      HookState = "off"      // not wanted, or not needed in this mode
)

// HookReport is the story of one hook.
type HookReport struct {
	Hook     string // where it attaches
	State    HookState
	Required bool
	// Tried are the ways that were tried before, in order.
	Tried []string
	// Reason says why it is not attached, or what stands in; "" if attached.
	Reason string
	// Lacks says what is not known without it; "" if it is attached.
	Lacks string
}

func (s *Support) report(r HookReport) { s.Hooks = append(s.Hooks, r) }

// replace notes that something else does the work of a hook: nothing is lacking
// without it.
func (s *Support) replace(hook string) {
	for i := range s.Hooks {
		if r := &s.Hooks[i]; r.Hook == hook {
			s.Unavailable = slices.DeleteFunc(s.Unavailable, func(fact string) bool { return fact == r.Lacks })
			r.Lacks = ""
		}
	}
}
