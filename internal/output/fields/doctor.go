package fields

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// DoctorReport is what this kernel offers, and why not more.
type DoctorReport struct {
	Mode event.Mode // 0 if nothing works
	// Reason is why a better mode does not work; "" if none was tried.
	Reason       string
	Unavailable  []string // facts that the mode cannot know
	Kernel       string
	BTF          bool
	Cgroup       string   // "" if no cgroup2 hierarchy was found
	Capabilities []string // nil if not known
	Hooks        []HookReport
	SelfTest     *SelfTestReport // nil if none was run
	Advice       string          // the one line that would unlock more; "" if there is none
	// MemoryCeilingBytes is the most that kernel and user space can take; 0 if
	// not known. MapBytes is what the maps take while they are empty.
	MemoryCeilingBytes, MapBytes uint64
	// Instances are the other portwatch with programs in the kernel, nil if
	// that is not known; InstancesUnknown says what could not be read.
	Instances        []Instance
	InstancesUnknown string
}

// HookReport is the fate of one hook.
type HookReport struct {
	Hook     string
	State    string // "attached", "fallback", "refused", "absent", "off"
	Tried    []string
	Reason   string // "" if it needs none
	Lacks    string // what is not known without it; "" if it is attached
	Required bool
	// Verdict is the self-test's: "fired", "silent", "untested", "" if it was
	// not run. Detail says what did not arrive, or why nothing was tried.
	Verdict, Detail string
}

// SelfTestReport says when the hooks were tried out.
type SelfTestReport struct {
	At         time.Time
	Remembered bool   // from an earlier run in this boot
	Error      string // why it could not be run; "" if it was
}

// Instance is another portwatch.
type Instance struct {
	PID     int    // 0 if the holder of the program is not known
	Comm    string // its name; "" if not known
	Program uint32 // the id of one of its programs
}

// Doctor is the document portwatch.doctor/1.
var Doctor = newDocument("portwatch.doctor/1", "What this kernel offers, and why not more.",
	doctorEnvelope(), Object[DoctorReport]{
		one("kernel", "", "The kernel's release.", String,
			func(_ *Context, d *DoctorReport) Value { return Text(d.Kernel) }),
		one("btf", "", "Whether the kernel describes its own types.", Boolean,
			func(_ *Context, d *DoctorReport) Value { return Bool(d.BTF) }),
		one("cgroup", "", "Where the cgroup2 hierarchy was found.", String,
			func(_ *Context, d *DoctorReport) Value { return Text(d.Cgroup) }),
		wordsOf("capabilities", "The capabilities that this process has of those that are needed.",
			func(_ *Context, d *DoctorReport) []string { return d.Capabilities }),
		rows("hooks", "Each hook with its fate.", hook,
			func(d *DoctorReport) ([]HookReport, bool) { return d.Hooks, d.Hooks != nil }),
		nest("self_test", "The trial of the hooks in a private network namespace; null if there was none.", selfTest,
			func(d *DoctorReport) *SelfTestReport { return d.SelfTest }),
		one("advice", "", "The one line that would unlock more.", String,
			func(_ *Context, d *DoctorReport) Value { return Text(d.Advice) }),
		one("memory_ceiling_bytes", "bytes", "The most memory that kernel and user space can take.", Integer,
			func(_ *Context, d *DoctorReport) Value { return known(d.MemoryCeilingBytes) }),
		one("map_bytes", "bytes", "Kernel memory of the maps while they are empty.", Integer,
			func(_ *Context, d *DoctorReport) Value { return known(d.MapBytes) }),
		rows("instances", "The other portwatch that have programs in this kernel; null if that is not known.", instance,
			func(d *DoctorReport) ([]Instance, bool) { return d.Instances, d.Instances != nil }),
		one("instances_unknown", "", "Why instances, or their processes, may be missing.", String,
			func(_ *Context, d *DoctorReport) Value { return Text(d.InstancesUnknown) }),
	})

// doctorEnvelope takes the mode and what it cannot know from the report:
// nothing is watched yet.
func doctorEnvelope() Object[DoctorReport] {
	all := envelope[DoctorReport]()
	for i := range all {
		switch all[i].Name {
		case "mode":
			all[i].value = func(_ *Context, d *DoctorReport) Value { return Text(d.Mode.String()) }
		case "mode_reason":
			all[i].value = func(_ *Context, d *DoctorReport) Value { return Text(d.Reason) }
		case "unavailable":
			all[i] = wordsOf(all[i].Name, all[i].Meaning, func(_ *Context, d *DoctorReport) []string { return d.Unavailable })
		}
	}
	return all
}

var hook = Object[HookReport]{
	one("hook", "", "The hook.", String, func(_ *Context, h *HookReport) Value { return Text(h.Hook) }),
	words("state", "Its fate.", "attached fallback refused absent off", func(h *HookReport) string { return h.State }),
	wordsOf("tried", "What was tried, in order.", func(_ *Context, h *HookReport) []string { return h.Tried }),
	one("reason", "", "Why it is not attached as wished.", String,
		func(_ *Context, h *HookReport) Value { return Text(h.Reason) }),
	one("lacks", "", "What is not known without it.", String,
		func(_ *Context, h *HookReport) Value { return Text(h.Lacks) }),
	one("required", "", "Whether portwatch cannot work without it.", Boolean,
		func(_ *Context, h *HookReport) Value { return Bool(h.Required) }),
	words("self_test", "What the self-test found; null if the hook was not tried.", "fired silent untested",
		func(h *HookReport) string { return h.Verdict }),
	one("self_test_detail", "", "What did not arrive, or why nothing was tried.", String,
		func(_ *Context, h *HookReport) Value { return Text(h.Detail) }),
}

var selfTest = Object[SelfTestReport]{
	one("time", "", "When it was run.", Time, func(_ *Context, s *SelfTestReport) Value {
		if s.At.IsZero() {
			return Value{}
		}
		return Text(s.At.UTC().Format(time.RFC3339Nano))
	}),
	one("remembered", "", "Whether the result is that of an earlier run in this boot.", Boolean,
		func(_ *Context, s *SelfTestReport) Value { return Bool(s.Remembered) }),
	one("error", "", "Why it could not be run.", String,
		func(_ *Context, s *SelfTestReport) Value { return Text(s.Error) }),
}

var instance = Object[Instance]{
	one("pid", "", "The process; null if nothing readable holds the program.", Integer,
		func(_ *Context, i *Instance) Value {
			if i.PID == 0 {
				return Value{}
			}
			return Plain(uint64(i.PID))
		}),
	one("comm", "", "The process's name.", String, func(_ *Context, i *Instance) Value { return Text(i.Comm) }),
	one("program_id", "", "The id of the instance's program pw_set_state.", Integer,
		func(_ *Context, i *Instance) Value { return Plain(uint64(i.Program)) }),
}
