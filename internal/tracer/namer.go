package tracer

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"github.com/cilium/ebpf"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/workload"
)

// Bounds of the namer.
const (
	maxOwners   = 1 << 16 // owners that are remembered as met
	maxQuestion = 4096    // owners that wait for their names
)

// namer finds out who an owner is, away from the event path: it reads /proc
// and the cgroup tree, and asks the kernel to tell the owner's exit.
type namer struct {
	met map[event.OwnerID]struct{}
	// byPID are the owners that a process has been: one, and one more for
	// each exec.
	byPID     map[uint32][]event.Owner
	watch     *ebpf.Map // pw_owners
	questions chan event.Owner
	answers   chan event.Process
	// dropped counts owners that were not asked about because the queue was
	// full: they stay without names.
	dropped uint64
}

func newNamer(p *probes, o Options) *namer {
	n := &namer{
		met:       map[event.OwnerID]struct{}{},
		byPID:     map[uint32][]event.Owner{},
		watch:     p.maps.Maps["pw_owners"],
		questions: make(chan event.Owner, maxQuestion),
		answers:   make(chan event.Process, maxQuestion),
	}
	trees := workload.HostTrees(o.HostRoot)
	if p.cgroup.path != "" {
		trees.Cgroup = os.DirFS(p.cgroup.path)
	}
	go n.run(workload.New(trees))
	return n
}

// meet asks about an owner the first time it is seen.
func (n *namer) meet(o *event.Owner) {
	if o.Kind != event.OwnerProcess && o.Kind != event.OwnerCgroup {
		return
	}
	id := o.ID()
	if _, known := n.met[id]; known {
		return
	}
	if len(n.met) >= maxOwners {
		clear(n.met)
		clear(n.byPID)
	}
	n.met[id] = struct{}{}
	if o.Kind == event.OwnerProcess {
		n.byPID[o.PID] = append(n.byPID[o.PID], *o)
	}
	select {
	case n.questions <- *o:
	default:
		n.dropped++
	}
}

// exited returns the owners that the process was, and forgets them.
func (n *namer) exited(pid uint32, start event.Time) []event.Owner {
	var was []event.Owner
	for _, o := range n.byPID[pid] {
		if o.StartTime == start {
			was = append(was, o)
		}
	}
	delete(n.byPID, pid)
	return was
}

func (n *namer) run(r *workload.Resolver) {
	defer close(n.answers)
	for o := range n.questions {
		// The watch comes first: a process that is gone after it is found
		// gone by Describe, one that goes later is told by its exit.
		if o.Kind == event.OwnerProcess {
			_ = n.watch.Put(o.PID, uint64(o.StartTime)) // full: the exit stays unknown
		}
		answer := r.Describe(o)
		answer.Exited = o.Kind == event.OwnerProcess && isGone(o.PID)
		n.answers <- answer
	}
}

// isGone reports whether no process has the pid now. If another one has it
// already, the exit stays unknown.
func isGone(pid uint32) bool {
	_, err := os.Stat("/proc/" + strconv.FormatUint(uint64(pid), 10))
	return errors.Is(err, fs.ErrNotExist)
}

// drain tells the answers that are there.
func (n *namer) drain(now event.Time, tell func(event.Event)) {
	for {
		select {
		case answer, open := <-n.answers:
			if !open {
				return
			}
			tell(event.Event{Kind: event.KindOwner, Time: now, Process: &answer})
		default:
			return
		}
	}
}

// Close ends the goroutine; it does not wait for questions that are open.
func (n *namer) Close() {
	close(n.questions)
	for range n.answers {
	}
}
