package tracer

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/portwatch/portwatch/internal/event"
)

// forkHook tells of each new process of the host, in both modes.
var forkHook = hook{
	program: "pw_fork", on: onTracepoint, targets: []string{"sched_process_fork"}, lacks: "which process has started which",
}

// selfProgram says which process asks.
const selfProgram = "pw_self"

// onDemand are the programs that are loaded when somebody asks for what they do.
var onDemand = [...]string{searchHook.program, forkHook.program, selfProgram}

// FollowForks makes the stream tell of every new process, before anything else
// of that process, and says how such events name this one. It lasts until Close,
// and costs one record of 48 bytes for each new process of the host. Events of
// kind lost say how many were not told (what: fork). It is to be called once, by
// the goroutine that calls Read.
func (t *Tracer) FollowForks() (event.OwnerID, error) {
	p := t.probes
	self, err := p.load(selfProgram)
	if err != nil {
		return event.OwnerID{}, fmt.Errorf("load %s: %w", selfProgram, p.host.explain(err))
	}
	var own bpfPwTask
	if _, err := self.Run(&ebpf.RunOptions{Context: &own, ContextOut: &own}); err != nil {
		return event.OwnerID{}, fmt.Errorf("run %s: %w", selfProgram, err)
	}
	prog, err := p.load(forkHook.program)
	if err != nil {
		return event.OwnerID{}, &HookError{Hook: forkHook.place(), Step: "load", Cause: p.host.explain(err)}
	}
	if p.links[forkHook.program], err = forkHook.attach(prog, "", tracefs{}); err != nil {
		return event.OwnerID{}, &HookError{Hook: forkHook.place(), Step: "attach", Cause: p.host.explain(err)}
	}
	return toProcess(&own), nil
}
