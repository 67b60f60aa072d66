package tracer

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// losses reads the kernel side's counters of what got lost, and tells what
// came since it last looked.
type losses struct {
	drops  *ebpf.Map
	progs  map[string]*ebpf.Program
	seen   [bpfPwDropPW_DROP_MAX]uint64
	nested map[string]uint64
}

func newLosses(p *probes) *losses {
	return &losses{drops: p.maps.Maps["pw_drops"], progs: p.progs, nested: map[string]uint64{}}
}

// what each group of counters counts; a group is a map's, by errno.
var dropGroups = [...]struct {
	first bpfPwDrop
	what  string
}{
	{bpfPwDropPW_DROP_LEASE, "lease"},
	{bpfPwDropPW_DROP_TIMEWAIT, "time_wait"},
	{bpfPwDropPW_DROP_FAILURE, "failure"},
	{bpfPwDropPW_DROP_ACCEPTED, "accepted"},
	{bpfPwDropPW_DROP_THREAD, "thread"},
	{bpfPwDropPW_DROP_FOLDED, "failure_address"},
}

// The errno behind enum pw_map_error.
var mapErrnos = [...]event.Errno{event.Errno(unix.E2BIG), event.Errno(unix.ENOMEM), event.Errno(unix.EBUSY), 0}

// read returns what was lost since the last call.
func (l *losses) read() ([]event.Lost, error) {
	lost, err := l.readDrops()
	nested, nestedErr := l.readNested()
	return append(lost, nested...), errors.Join(err, nestedErr)
}

func (l *losses) readDrops() ([]event.Lost, error) {
	var lost []event.Lost
	for i := range l.seen {
		if bpfPwDrop(i) >= bpfPwDropPW_RESCUED_STATE {
			break // those are no losses
		}
		sum, err := l.sum(bpfPwDrop(i))
		if err != nil {
			return lost, err
		}
		if sum > l.seen[i] {
			lost = append(lost, lossOf(bpfPwDrop(i), sum-l.seen[i]))
			l.seen[i] = sum
		}
	}
	return lost, nil
}

func lossOf(index bpfPwDrop, count uint64) event.Lost {
	lost := event.Lost{CPU: -1, Count: count}
	if index < bpfPwDropPW_DROP_LEASE {
		lost.Cause = event.LostRing
		lost.What = ringKind(bpfPwKind(index)).String()
		return lost
	}
	lost.Cause = event.LostMap
	for _, g := range dropGroups {
		if index >= g.first && index < g.first+bpfPwDrop(len(mapErrnos)) {
			lost.What = g.what
			lost.Errno = mapErrnos[index-g.first]
		}
	}
	return lost
}

func ringKind(k bpfPwKind) event.Kind {
	switch k {
	case bpfPwKindPW_RELEASE:
		return event.KindRelease
	case bpfPwKindPW_FAILURE:
		return event.KindFailure
	case bpfPwKindPW_EXIT:
		return event.KindOwner
	case bpfPwKindPW_FORK:
		return event.KindFork
	}
	return leaseKinds[k]
}

// rescuers take over what their program was skipped for (bpf/rescue.h); they
// count it. Their own skips lose nothing.
var rescuers = map[string]struct {
	second  string
	counter bpfPwDrop
}{
	"pw_set_state": {"pw_set_state2", bpfPwDropPW_RESCUED_STATE},
	"pw_destroy":   {"pw_destroy2", bpfPwDropPW_RESCUED_DESTROY},
}

// readNested asks each program how often the kernel skipped it: a tracing
// program because it was already running on the CPU (__bpf_trace_run, 6.1), one
// on a system call because a bpf() call was under way there (trace_call_bpf;
// counted since 6.7, before that nobody knows). What was rescued is no loss.
func (l *losses) readNested() ([]event.Lost, error) {
	var lost []event.Lost
	for name, prog := range l.progs {
		if name == rescuers["pw_set_state"].second || name == rescuers["pw_destroy"].second {
			continue
		}
		stats, err := prog.Stats()
		if err != nil {
			return lost, fmt.Errorf("read statistics of %s: %w", name, err)
		}
		missed := stats.RecursionMisses
		if r, ok := rescuers[name]; ok {
			rescued, err := l.sum(r.counter)
			if err != nil {
				return lost, err
			}
			missed -= min(rescued, missed)
		}
		if missed > l.nested[name] {
			lost = append(lost, event.Lost{What: skipped(name), CPU: -1, Cause: event.LostNested, Count: missed - l.nested[name]})
			l.nested[name] = missed
		}
	}
	return lost, nil
}

// skipped is what is lost where a program did not run: a fork is one by whatever
// way it is lost, and of most others only the program is known.
func skipped(program string) string {
	if program == forkHook.program {
		return event.KindFork.String()
	}
	return program
}

// sum adds up a counter over all CPUs.
func (l *losses) sum(counter bpfPwDrop) (uint64, error) {
	var perCPU []uint64
	if err := l.drops.Lookup(uint32(counter), &perCPU); err != nil {
		return 0, fmt.Errorf("read pw_drops: %w", err)
	}
	var sum uint64
	for _, n := range perCPU {
		sum += n
	}
	return sum, nil
}

// heals reports whether a loss makes the picture incomplete until the next
// walk: a fold loses addresses of refusals only, an alarm only an example, and no
// walk finds out who has forked.
func heals(l event.Lost) bool {
	switch l.What {
	case "failure_address", event.KindFailure.String(), event.KindOwner.String(), event.KindFork.String():
		return false
	}
	return true
}
