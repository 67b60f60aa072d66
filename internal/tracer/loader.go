package tracer

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// probes is everything that lives in the kernel. Every link and collection
// stays referenced here: the finalizer of a lost one would detach it silently.
type probes struct {
	spec  *ebpf.CollectionSpec
	maps  *ebpf.Collection // maps only, shared by all programs
	progs map[string]*ebpf.Program
	links map[string][]link.Link // by program
	walks walkers
	// cgroup keeps a private mount of the cgroup2 tree alive.
	cgroup cgroupTree

	mode     event.Mode
	attached map[string]bool // programs of the hook table
	host     host
	tick     tick // 0 if unknown
	// timeWaitHandler is the address of the kernel's tw_timer_handler, 0 if
	// it is hidden.
	timeWaitHandler uint64
}

// openMaps loads the object and creates the maps, nothing else.
func openMaps(o Options, h host, mode event.Mode) (*probes, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, h.explain(err)
	}
	symbol := make(chan uint64, 1)
	go func() { symbol <- timeWaitHandler() }() // as slow as all the rest
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read BPF object: %w", err)
	}
	for program, target := range o.renamed {
		spec.Programs[program].AttachTo = target
	}
	p := &probes{
		spec: spec, mode: mode, progs: map[string]*ebpf.Program{}, attached: map[string]bool{},
		links: map[string][]link.Link{}, host: h, cgroup: cgroupTree{fd: -1},
	}
	p.timeWaitHandler = <-symbol
	if p.tick, err = readTick(); err != nil {
		o.Logger.Warn("tick unknown: the end of a TIME_WAIT is not predicted, and no connection is known to be idle", zap.Error(err))
	}
	if err := p.configure(o); err != nil {
		return nil, err
	}
	only := spec.Copy()
	only.Programs = nil
	if p.maps, err = ebpf.NewCollection(only); err != nil {
		return nil, fmt.Errorf("create maps: %w", h.explain(err))
	}
	for _, inode := range o.NetNS {
		if err := p.maps.Maps["pw_namespaces"].Put(inode, uint32(1)); err != nil {
			p.maps.Close()
			return nil, fmt.Errorf("set namespaces to watch: %w", err)
		}
	}
	return p, nil
}

// configure sets sizes and constants.
func (p *probes) configure(o Options) error {
	spec := p.spec
	spec.Maps["pw_leases"].MaxEntries = uint32(o.MaxLeases)
	spec.Maps["pw_timewait"].MaxEntries = uint32(o.MaxLeases)
	spec.Maps["pw_news"].MaxEntries = uint32(o.NewsBytes)
	spec.Maps["pw_alarms"].MaxEntries = alarmBytes
	constants := map[string]any{
		"pw_full":         p.mode == event.ModeFull,
		"pw_tw_handler":   p.timeWaitHandler,
		"pw_filter_netns": len(o.NetNS) > 0,
		"pw_watch_tcp":    o.watches(event.TCP),
		"pw_watch_udp":    o.watches(event.UDP),
		"pw_nr_connect":   uint32(unix.SYS_CONNECT),
		"pw_nr_bind":      uint32(unix.SYS_BIND),
		"pw_idle_after":   p.tick.jiffies(o.idleAfter),
		// The reader comes by ten times a second; what fills an eighth of
		// a ring before that wakes it.
		"pw_news_wakeup":   uint64(o.NewsBytes / 8),
		"pw_alarms_wakeup": uint64(alarmBytes / 8),
	}
	for name, value := range constants {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// timeWaitHandler is the kernel's tw_timer_handler, or 0 if /proc/kallsyms
// hides it.
func timeWaitHandler() uint64 {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return 0
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if !strings.HasSuffix(lines.Text(), " tw_timer_handler") {
			continue
		}
		addr, _, _ := strings.Cut(lines.Text(), " ")
		value, _ := strconv.ParseUint(addr, 16, 64)
		return value
	}
	return 0
}

// loadAll loads every program of the mode at once, which is much faster than
// one by one. It gives up at the first refusal; load then finds out which it was.
func (p *probes) loadAll(o Options) {
	all := p.spec.Copy()
	for _, program := range onDemand {
		delete(all.Programs, program)
	}
	for _, program := range lookPrograms {
		delete(all.Programs, program)
	}
	for i := range hooks {
		h := &hooks[i]
		if !h.inMode(p.mode) || h.standsInFor != "" || o.leavesOut(h.program) {
			delete(all.Programs, h.program)
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(all, ebpf.CollectionOptions{MapReplacements: p.maps.Maps})
	if err != nil {
		return
	}
	for name := range coll.Programs {
		p.progs[name] = coll.DetachProgram(name)
	}
	coll.Close()
}

// load loads one program with the shared maps, so that a refusal has its own
// verifier log and takes nothing else down.
func (p *probes) load(name string) (*ebpf.Program, error) {
	if prog := p.progs[name]; prog != nil {
		return prog, nil
	}
	only := p.spec.Copy()
	for other := range only.Programs {
		if other != name {
			delete(only.Programs, other)
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(only, ebpf.CollectionOptions{MapReplacements: p.maps.Maps})
	if err != nil {
		return nil, err
	}
	p.progs[name] = coll.DetachProgram(name)
	coll.Close()
	return p.progs[name], nil
}

// attach loads and attaches one hook and reports what came of it. Only a
// required hook's failure is an error.
func (p *probes) attach(h *hook, events tracefs, support *Support) error {
	report := HookReport{Hook: h.place(), Required: h.required, State: HookAttached}
	if h.standsInFor != "" {
		report.State, report.Tried = HookFallback, []string{hookOf(h.standsInFor).place()}
	}
	step := "load"
	prog, err := p.load(h.program)
	if err == nil {
		step = "attach"
		var links []link.Link
		links, err = h.attach(prog, p.cgroup.path, events)
		p.links[h.program] = links
	}
	if err != nil {
		cause := p.host.explain(err)
		report.State = HookRefused
		if errors.Is(cause, ErrUnsupported) {
			report.State = HookAbsent
		}
		report.Reason = (&HookError{Hook: h.program, Step: step, Cause: cause}).Error()
		report.Lacks = h.lacks
		support.Unavailable = append(support.Unavailable, h.lacks)
		if h.required {
			support.report(report)
			return &HookError{Hook: h.place(), Step: step, Cause: cause}
		}
	}
	p.attached[h.program] = err == nil
	support.report(report)
	if err == nil && h.standsInFor != "" {
		support.replace(hookOf(h.standsInFor).place())
	}
	return nil
}

// attachAll attaches the hook table. o.without leaves hooks out, for tests.
func (p *probes) attachAll(o Options, support *Support) error {
	events, err := openTracefs()
	if err != nil {
		o.Logger.Warn("no tracefs", zap.Error(err))
	}
	defer events.Close()
	for i := range hooks {
		h := &hooks[i]
		if !h.inMode(p.mode) || p.attached[h.standsInFor] {
			continue
		}
		if err := p.attachWanted(h, o, events, support); err != nil {
			return err
		}
	}
	if p.mode == event.ModeTracepoint {
		support.report(HookReport{
			Hook: searchHook.place(), State: HookOff, Lacks: searchHook.lacks,
			Reason: "attached while more than 45 % of a range is in use, or with --search-time",
		})
	}
	support.report(HookReport{
		Hook: forkHook.place(), State: HookOff, Lacks: forkHook.lacks,
		Reason: "attached by run where CMD cannot have a control group of its own",
	})
	if p.attached["pw_connect_x"] || p.attached["pw_stream_connect"] || p.attached["pw_stream_connect_outer"] {
		return p.set("pw_has_exit", uint32(1))
	}
	return nil
}

// attachWanted attaches a hook unless there is a reason not to.
func (p *probes) attachWanted(h *hook, o Options, events tracefs, support *Support) error {
	reason := p.unwanted(h, o)
	if reason == "" {
		return p.attach(h, events, support)
	}
	support.report(HookReport{Hook: h.place(), State: HookOff, Required: h.required, Reason: reason, Lacks: h.lacks})
	support.Unavailable = append(support.Unavailable, h.lacks)
	if h.required {
		return &HookError{Hook: h.place(), Step: "attach", Cause: fmt.Errorf("%s: %w", reason, ErrUnsupported)}
	}
	return nil
}

// unwanted says why a hook is left out; "" if it is not.
func (p *probes) unwanted(h *hook, o Options) string {
	switch {
	case o.leavesOut(h.program):
		return "left out"
	case h.onFunction() && slices.Contains(o.Silent, h.place()):
		return "it attaches to this kernel and does not fire"
	case !h.timer:
		return ""
	case p.timeWaitHandler == 0:
		return "/proc/kallsyms hides the address of tw_timer_handler"
	}
	return ""
}

func (o Options) leavesOut(program string) bool {
	return slices.Contains(o.without, program)
}

// detach takes a program off its places; it stays loaded.
func (p *probes) detach(program string) error {
	var errs []error
	for _, l := range p.links[program] {
		errs = append(errs, l.Close())
	}
	delete(p.links, program)
	delete(p.attached, program)
	return errors.Join(errs...)
}

// set changes one of the object's variables while it runs.
func (p *probes) set(name string, value any) error {
	if err := p.maps.Variables[name].Set(value); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// Close detaches and unloads everything.
func (p *probes) Close() error {
	var errs []error
	for program := range p.links {
		errs = append(errs, p.detach(program))
	}
	errs = append(errs, p.walks.Close())
	for _, prog := range p.progs {
		errs = append(errs, prog.Close())
	}
	errs = append(errs, p.cgroup.Close())
	p.maps.Close()
	return errors.Join(errs...)
}
