package tracer

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/portwatch/portwatch/internal/event"
)

// searchHook measures how long the kernel looks for a port. A sockops program
// runs nine times per connection, so it is attached on demand only. Where
// another program owns the hook exclusively, attaching fails, and nothing but
// the search time is missing.
var searchHook = hook{program: "pw_sockops", on: onCgroup, lacks: "how long the kernel looks for a port"}

// MeasureSearch attaches or detaches the measurement of search times: every
// allocation by connect() then carries event.Event.SearchNanos. It is to be
// called by the goroutine that calls Read, and does nothing if things are so
// already, or in mode full, which measures always.
func (t *Tracer) MeasureSearch(on bool) error {
	if t.support.Mode == event.ModeFull || on == (len(t.probes.links[searchHook.program]) > 0) {
		return nil
	}
	if !on {
		return t.probes.detach(searchHook.program)
	}
	prog, err := t.probes.load(searchHook.program)
	if err != nil {
		return &HookError{Hook: searchHook.place(), Step: "load", Cause: t.probes.host.explain(err)}
	}
	if t.probes.cgroup.path == "" {
		return &HookError{Hook: searchHook.place(), Step: "attach", Cause: errors.New("no cgroup2 hierarchy")}
	}
	l, err := link.AttachCgroup(link.CgroupOptions{
		Path: t.probes.cgroup.path, Attach: ebpf.AttachCGroupSockOps, Program: prog,
	})
	if err != nil {
		return &HookError{Hook: searchHook.place(), Step: "attach", Cause: fmt.Errorf("sock_ops: %w", err)}
	}
	t.probes.links[searchHook.program] = []link.Link{l}
	return nil
}
