package fields

import "github.com/portwatch/portwatch/internal/event"

// DoctorReport is what this kernel offers, and why not more.
type DoctorReport struct {
	Mode         event.Mode // 0 if nothing works
	Kernel       string
	BTF          bool
	Cgroup       string   // "" if no cgroup2 hierarchy was found
	Capabilities []string // nil if not known
	Hooks        []HookReport
	Advice       string // the one line that would unlock more; "" if there is none
	// MemoryCeilingBytes is the most that kernel and user space can take; 0 if
	// not known.
	MemoryCeilingBytes uint64
}

// HookReport is the fate of one hook.
type HookReport struct {
	Hook     string
	State    string // "attached", "fallback", "refused", "absent", "off"
	Tried    []string
	Reason   string // "" if it needs none
	Lacks    string // what is not known without it; "" if it is attached
	Required bool
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
		one("advice", "", "The one line that would unlock more.", String,
			func(_ *Context, d *DoctorReport) Value { return Text(d.Advice) }),
		one("memory_ceiling_bytes", "bytes", "The most memory that kernel and user space can take.", Integer,
			func(_ *Context, d *DoctorReport) Value {
				if d.MemoryCeilingBytes == 0 {
					return Value{}
				}
				return Count(d.MemoryCeilingBytes)
			}),
	})

// doctorEnvelope takes the mode from the report: nothing is watched yet.
func doctorEnvelope() Object[DoctorReport] {
	all := envelope[DoctorReport]()
	for i := range all {
		if all[i].Name == "mode" {
			all[i].value = func(_ *Context, d *DoctorReport) Value { return Text(d.Mode.String()) }
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
}
