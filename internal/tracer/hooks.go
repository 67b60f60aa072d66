package tracer

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/portwatch/portwatch/internal/event"
)

// attachment is the way in which a program meets the kernel.
type attachment uint8

const (
	onTracepoint attachment = iota // BTF-enabled raw tracepoint
	onSyscall                      // syscalls:sys_exit_*
	onCgroup                       // root of the cgroup2 tree
	onEntry                        // fentry: entry of a kernel function
	onExit                         // fexit: its exit
)

// modes are those in which a hook is attached.
type modes uint8

const (
	inFull modes = 1 << iota
	inTracepoint
	inBoth = inFull | inTracepoint
)

// hook is one program and one place to attach it to.
type hook struct {
	program string
	modes   modes
	on      attachment
	// targets are the kernel's names: tracepoints, system calls, functions. One
	// program may serve several system calls.
	targets []string
	// required hooks make the mode fail; without an optional one a fact is
	// lacking.
	required bool
	// lacks says what cannot be known without the hook.
	lacks string
	// timer hooks run for every timer of the host: they are attached only
	// while that is cheap.
	timer bool
	// second hooks stand in for the first program on their tracepoint when
	// the kernel skips it (bpf/rescue.h).
	second bool
	// standsInFor is the program that this one replaces, if that could not be
	// attached or was found silent.
	standsInFor string
}

// inMode reports whether the hook belongs to a mode.
func (h *hook) inMode(m event.Mode) bool {
	switch m {
	case event.ModeFull:
		return h.modes&inFull != 0
	case event.ModeTracepoint:
		return h.modes&inTracepoint != 0
	}
	return false
}

// onFunction reports whether the hook needs a trampoline.
func (h *hook) onFunction() bool { return h.on == onEntry || h.on == onExit }

// attach attaches a loaded program to every place of the hook.
func (h *hook) attach(prog *ebpf.Program, cgroup string, events tracefs) ([]link.Link, error) {
	switch h.on {
	case onTracepoint, onEntry, onExit:
		return alone(link.AttachTracing(link.TracingOptions{Program: prog}))
	case onCgroup:
		if cgroup == "" {
			return nil, fmt.Errorf("no cgroup2 hierarchy: %w", ErrUnsupported)
		}
		return alone(link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: attachTypes[h.program], Program: prog}))
	}
	return h.attachSyscalls(prog, events)
}

// alone is the list of one link, and of none if it was refused: what is listed
// is closed at the end.
func alone(l link.Link, err error) ([]link.Link, error) {
	if err != nil {
		return nil, err
	}
	return []link.Link{l}, nil
}

func (h *hook) attachSyscalls(prog *ebpf.Program, events tracefs) ([]link.Link, error) {
	var links []link.Link
	for _, call := range h.targets {
		l, err := events.attach("syscalls", "sys_exit_"+call, prog)
		if err != nil {
			closeAll(links)
			return nil, err
		}
		links = append(links, l)
	}
	return links, nil
}

// place is how people know the hook's target.
func (h *hook) place() string {
	switch h.on {
	case onTracepoint:
		if h.second {
			return "tp_btf/" + h.targets[0] + " (second)"
		}
		return "tp_btf/" + h.targets[0]
	case onSyscall:
		return "sys_exit_" + strings.Join(h.targets, ",")
	case onEntry:
		return "fentry/" + h.targets[0]
	case onExit:
		return "fexit/" + h.targets[0]
	}
	return "cgroup/" + h.program[len("pw_"):]
}

// hookOf is a program's row of the table; nil if it has none.
func hookOf(program string) *hook {
	for i := range hooks {
		if hooks[i].program == program {
			return &hooks[i]
		}
	}
	return nil
}

// attachTypes are those of the cgroup programs.
var attachTypes = map[string]ebpf.AttachType{
	"pw_post_bind4":   ebpf.AttachCGroupInet4PostBind,
	"pw_post_bind6":   ebpf.AttachCGroupInet6PostBind,
	"pw_connect4":     ebpf.AttachCGroupInet4Connect,
	"pw_connect6":     ebpf.AttachCGroupInet6Connect,
	"pw_sendmsg4":     ebpf.AttachCGroupUDP4Sendmsg,
	"pw_sendmsg6":     ebpf.AttachCGroupUDP6Sendmsg,
	"pw_sock_release": ebpf.AttachCgroupInetSockRelease,
}

func closeAll(links []link.Link) {
	for _, l := range links {
		l.Close()
	}
}
