package aggregate

import "github.com/portwatch/portwatch/internal/event"

// MaxTree is how many processes a [Tree] can hold: a large build starts as many,
// and they take 14 MiB.
const MaxTree = 1 << 18

// Tree is everything that one process has started: its children, theirs, and so
// on, whether they and their parents still run or not. Like the ledger it knows
// what events of kind fork and lost tell, and nothing else. Who forks is the
// parent, so a daemon stays in the tree when its parent ends.
type Tree struct {
	root      processKey
	processes map[processKey]struct{}
	lost      uint64
	beyond    uint64
}

// processKey is an owner whatever it execs.
type processKey struct {
	pid   uint32
	start event.Time
}

// NewTree is the tree of what root starts from now on. It does not hold root
// itself.
func NewTree(root event.OwnerID) *Tree {
	return &Tree{root: processKeyOf(root), processes: map[processKey]struct{}{}}
}

func processKeyOf(id event.OwnerID) processKey { return processKey{id.PID, id.StartTime} }

// Apply books an event.
func (t *Tree) Apply(ev *event.Event) {
	switch {
	case ev.Kind == event.KindFork && ev.Fork != nil:
		t.grow(ev.Fork)
	case ev.Kind == event.KindLost && ev.Lost != nil && mayBeFork(ev.Lost):
		t.lost += ev.Lost.Count
	}
}

func (t *Tree) grow(f *event.Fork) {
	if parent := processKeyOf(f.Parent); parent != t.root && !t.holds(parent) {
		return
	}
	if len(t.processes) == MaxTree {
		t.beyond++
		return
	}
	t.processes[processKeyOf(f.Child)] = struct{}{}
}

func (t *Tree) holds(p processKey) bool {
	_, ok := t.processes[p]
	return ok
}

// mayBeFork reports whether a fork may be among what was lost: what names no kind
// of event may have been of any.
func mayBeFork(l *event.Lost) bool {
	switch l.Cause {
	case event.LostTruncated, event.LostDamage, event.LostDiskFull:
		return true
	}
	return l.What == event.KindFork.String()
}

// Holds reports whether an owner is a process of the tree.
func (t *Tree) Holds(id event.OwnerID) bool {
	return id.Kind == event.OwnerProcess && t.holds(processKeyOf(id))
}

// Lost is how many events were lost that may have been forks of the tree: what
// such a process has started is not in it.
func (t *Tree) Lost() uint64 { return t.lost }

// Headless reports whether nothing is known to be of the tree, and that may be for
// want of the fork that began it.
func (t *Tree) Headless() bool { return len(t.processes) == 0 && t.lost > 0 }

// Beyond is how many processes of the tree were not kept, beyond MaxTree. What
// they have started is not in it either, and is not counted.
func (t *Tree) Beyond() uint64 { return t.beyond }
