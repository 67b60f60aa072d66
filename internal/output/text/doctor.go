package text

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// DoctorOptions say how a doctor's report is printed.
type DoctorOptions struct {
	Width int  // of the terminal; 0 means no bound
	Wide  bool // every hook by itself
	// Location is the reader's time zone; nil means UTC.
	Location *time.Location
}

// AppendDoctor appends a doctor's report: what works and what that cannot
// know, the host, the hooks, and what would unlock more.
func AppendDoctor(dst []byte, d *fields.DoctorReport, o DoctorOptions) []byte {
	dst = appendWrapped(dst, verdict(d), 0, 0, o.Width)
	dst = append(dst, '\n')
	dst = appendLabelled(dst, "kernel", orUnknown(event.Printable(d.Kernel))+withBTF(d.BTF), o.Width)
	dst = appendLabelled(dst, "cgroup2", orWord(event.Printable(d.Cgroup), "not found"), o.Width)
	dst = appendLabelled(dst, "capabilities", capabilities(d.Capabilities), o.Width)
	dst = appendLabelled(dst, "kernel memory", memory(d), o.Width)
	dst = appendLabelled(dst, "instances", instances(d), o.Width)
	dst = appendLabelled(dst, "self-test", selfTest(d, o.Location), o.Width)
	if len(d.Hooks) > 0 {
		dst = append(dst, '\n')
		dst = appendHooks(dst, d.Hooks, o)
	}
	if d.Advice != "" {
		dst = append(dst, '\n')
		dst = appendWrapped(dst, "Would unlock more: "+event.Printable(d.Advice), 0, 0, o.Width)
	}
	return dst
}

// verdict is the first sentence.
func verdict(d *fields.DoctorReport) string {
	because := ""
	if d.Reason != "" {
		because = ": " + event.Printable(d.Reason)
	}
	var line string
	switch {
	case d.Mode == 0:
		return "No mode works here" + because + "."
	case d.Reason != "":
		line = "Only mode " + d.Mode.String() + " works here" + because + "."
	default:
		line = "Mode " + d.Mode.String() + " works here."
	}
	if len(d.Unavailable) > 0 {
		line += " It cannot know: " + strings.Join(d.Unavailable, "; ") + "."
	}
	return line
}

func withBTF(btf bool) string {
	if btf {
		return ", with BTF"
	}
	return ", without BTF"
}

func capabilities(all []string) string {
	switch {
	case all == nil:
		return "unknown"
	case len(all) == 0:
		return "none"
	}
	return strings.Join(all, " ")
}

func memory(d *fields.DoctorReport) string {
	if d.MemoryCeilingBytes == 0 {
		return "none: nothing is loaded"
	}
	most := size(d.MemoryCeilingBytes) + " if every map were full; beyond that portwatch counts and goes on"
	if d.MapBytes == 0 {
		return most
	}
	return size(d.MapBytes) + " while the maps are empty, " + most
}

func instances(d *fields.DoctorReport) string {
	line := ""
	switch {
	case d.Instances == nil:
		line = "not known"
	case len(d.Instances) == 0:
		line = "no other portwatch has programs in this kernel"
	default:
		words := make([]string, len(d.Instances))
		for i := range d.Instances {
			words[i] = instance(&d.Instances[i])
		}
		line = strings.Join(words, ", ")
	}
	if d.InstancesUnknown != "" {
		line += " (" + event.Printable(d.InstancesUnknown) + ")"
	}
	return line
}

func instance(i *fields.Instance) string {
	if i.PID == 0 {
		return fmt.Sprintf("program %d of an unknown process", i.Program)
	}
	return fmt.Sprintf("%s[%d]", orUnknown(event.Printable(i.Comm)), i.PID)
}

// selfTest sums up the verdicts.
func selfTest(d *fields.DoctorReport, where *time.Location) string {
	switch {
	case d.SelfTest == nil:
		return "not run"
	case d.SelfTest.Error != "":
		return "could not be run: " + event.Printable(d.SelfTest.Error)
	}
	tested, fired := 0, 0
	for i := range d.Hooks {
		if d.Hooks[i].Verdict != "" {
			tested++
		}
		if d.Hooks[i].Verdict == "fired" {
			fired++
		}
	}
	line := fmt.Sprintf("%d of %d attached hooks fired in a private network namespace", fired, tested)
	if !d.SelfTest.Remembered {
		return line + ", just now"
	}
	if where == nil {
		where = time.UTC
	}
	return line + " at " + d.SelfTest.At.In(where).Format("2006-01-02 15:04:05 -07:00") +
		"; doctor --self-test repeats it"
}

// appendHooks appends every hook by itself, or those with the same fate
// together.
func appendHooks(dst []byte, hooks []fields.HookReport, o DoctorOptions) []byte {
	if o.Wide {
		return Table[fields.HookReport]{Columns: fields.HookColumns()}.Append(dst, &fields.Context{}, hooks)
	}
	for _, g := range groups(hooks) {
		dst = appendLabelled(dst, g.fate, g.String(), o.Width)
	}
	return dst
}

// hookGroup are hooks of one kind that met the same fate.
type hookGroup struct {
	fate, kind, reason string
	hooks              []string
}

// groups keeps the order in which the fates first occur.
func groups(hooks []fields.HookReport) []*hookGroup {
	var all []*hookGroup
	for i := range hooks {
		h := &hooks[i]
		g := hookGroup{fate: h.State, kind: kindOf(h.Hook), reason: h.Reason}
		if h.Verdict == "silent" || h.Verdict == "untested" {
			g.fate, g.reason = h.Verdict, h.Detail
		}
		at := slices.IndexFunc(all, func(o *hookGroup) bool {
			return o.fate == g.fate && o.kind == g.kind && o.reason == g.reason
		})
		if at < 0 {
			at = len(all)
			all = append(all, &g)
		}
		all[at].hooks = append(all[at].hooks, h.Hook)
	}
	return all
}

// shownHooks is how many of a group are named; -o wide names all.
const shownHooks = 2

// String is "12 trampolines (fentry/a, fentry/b, …): why".
func (g *hookGroup) String() string {
	line := ""
	switch n := len(g.hooks); {
	case n == 1:
		line = g.hooks[0]
	case n <= shownHooks:
		line = fmt.Sprintf("%d %ss (%s)", n, g.kind, strings.Join(g.hooks, ", "))
	default:
		line = fmt.Sprintf("%d %ss (%s, …)", n, g.kind, strings.Join(g.hooks[:shownHooks], ", "))
	}
	if g.reason != "" {
		line += ": " + event.Printable(g.reason)
	}
	return line
}

// kindOf is what a hook is, in a word that takes an s.
func kindOf(hook string) string {
	switch before, _, _ := strings.Cut(hook, "/"); {
	case before == "fentry" || before == "fexit":
		return "trampoline"
	case before == "tp_btf":
		return "tracepoint"
	case before == "cgroup":
		return "cgroup program"
	case strings.HasPrefix(hook, "sys_exit_"):
		return "system call exit"
	}
	return "hook"
}

func orWord(word, other string) string {
	if word == "" {
		return other
	}
	return word
}
