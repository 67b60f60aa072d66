package tracer

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// attachment is the way in which a program meets the kernel.
type attachment uint8

const (
	onTracepoint attachment = iota // BTF-enabled raw tracepoint
	onSyscall                      // syscalls:sys_exit_*
	onCgroup                       // root of the cgroup2 tree
)

// hook is one program and one place to attach it to.
type hook struct {
	program string
	on      attachment
	// targets are the kernel's names: tracepoints, system calls. One program
	// may serve several.
	targets []string
	// required hooks make Open fail; without an optional one a fact is lacking.
	required bool
	// lacks says what cannot be known without the hook.
	lacks string
	// timer hooks run for every timer of the host: they are attached only
	// while that is cheap.
	timer bool
	// second hooks stand in for the first program on their tracepoint when
	// the kernel skips it (bpf/rescue.h).
	second bool
}

// hooks is the one table of what is attached, in this order. The tracepoint
// set works without trampolines and without kprobes.
var hooks = [...]hook{
	{
		program: "pw_destroy", on: onTracepoint, targets: []string{"tcp_destroy_sock"}, required: true,
		lacks: "release of TCP ports that were bound by number",
	},
	{
		program: "pw_set_state", on: onTracepoint, targets: []string{"inet_sock_set_state"}, required: true,
		lacks: "TCP",
	},
	{
		program: "pw_set_state2", on: onTracepoint, targets: []string{"inet_sock_set_state"},
		lacks: "state changes that a softirq makes in the middle of another: a walk finds them",
	},
	{
		program: "pw_destroy2", on: onTracepoint, targets: []string{"tcp_destroy_sock"},
		lacks: "releases likewise",
	},
	{
		program: "pw_retransmit", on: onTracepoint, targets: []string{"tcp_retransmit_skb"},
		lacks: "the port of a connect() whose SYN is not answered",
	},
	{
		program: "pw_timer_cancel", on: onTracepoint, targets: []string{"timer_cancel"}, timer: true,
		lacks: "the moment at which a TIME_WAIT ends: it is computed",
	},
	{
		program: "pw_connect_x", on: onSyscall, targets: []string{"connect"},
		lacks: "errno of a refused connect(), UDP connect()",
	},
	{program: "pw_bind_x", on: onSyscall, targets: []string{"bind"}, lacks: "refused bind()"},
	{program: "pw_listen_x", on: onSyscall, targets: []string{"listen"}, lacks: "refused listen()"},
	{
		program: "pw_send_x", on: onSyscall, targets: []string{"sendto", "sendmsg", "sendmmsg"},
		lacks: "refused UDP send",
	},
	{program: "pw_post_bind4", on: onCgroup, lacks: "bind() on IPv4 until the next walk"},
	{program: "pw_post_bind6", on: onCgroup, lacks: "bind() on IPv6 until the next walk"},
	{program: "pw_connect4", on: onCgroup, lacks: "owner of a UDP port taken by connect()"},
	{program: "pw_connect6", on: onCgroup, lacks: "owner of a UDP port taken by connect() on IPv6"},
	{program: "pw_sendmsg4", on: onCgroup, lacks: "UDP ports taken by send until the next walk"},
	{program: "pw_sendmsg6", on: onCgroup, lacks: "UDP ports taken by send on IPv6 until the next walk"},
	{program: "pw_sock_release", on: onCgroup, lacks: "release of UDP ports until the next walk"},
	{
		program: "pw_exit", on: onTracepoint, targets: []string{"sched_process_exit"},
		lacks: "the exit of an owner",
	},
}

// attach attaches a loaded program to every place of the hook.
func (h *hook) attach(prog *ebpf.Program, cgroup string, events tracefs) ([]link.Link, error) {
	switch h.on {
	case onTracepoint:
		l, err := link.AttachTracing(link.TracingOptions{Program: prog})
		return []link.Link{l}, err
	case onCgroup:
		if cgroup == "" {
			return nil, fmt.Errorf("no cgroup2 hierarchy: %w", ErrUnsupported)
		}
		l, err := link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: attachTypes[h.program], Program: prog})
		return []link.Link{l}, err
	}
	return h.attachSyscalls(prog, events)
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
	}
	return "cgroup/" + h.program[len("pw_"):]
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

// trampolines are the functions to which full mode attaches. A kernel that
// refuses one refuses all; the first decides the mode, doctor shows each.
var trampolines = [...]string{
	"inet_hash_connect", "inet6_hash_connect", "__inet_bind", "__inet6_bind", "inet_csk_get_port",
	"inet_put_port", "tcp_time_wait", "inet_twsk_alloc", "inet_twsk_kill",
	"udp_lib_get_port", "udp_lib_unhash", "inet_autobind",
}

func closeAll(links []link.Link) {
	for _, l := range links {
		l.Close()
	}
}
