package aggregate

import (
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

// task is a process that started at second start.
func task(pid uint32, start float64) event.OwnerID {
	return event.OwnerID{Kind: event.OwnerProcess, PID: pid, StartTime: sec(start)}
}

func forked(parent, child event.OwnerID) event.Event {
	return event.Event{Kind: event.KindFork, Time: child.StartTime, Fork: &event.Fork{Parent: parent, Child: child}}
}

func grown(events ...event.Event) *Tree {
	t := NewTree(task(10, 1))
	for i := range events {
		t.Apply(&events[i])
	}
	return t
}

func TestTree(t *testing.T) {
	root, child, grandchild, stranger := task(10, 1), task(11, 2), task(12, 3), task(20, 1)
	execd := grandchild
	execd.Exec = 3
	tests := []struct {
		name   string
		events []event.Event
		asked  event.OwnerID
		want   bool
	}{
		{"the root is nobody's child", []event.Event{forked(root, child)}, root, false},
		{"a child", []event.Event{forked(root, child)}, child, true},
		{"a grandchild", []event.Event{forked(root, child), forked(child, grandchild)}, grandchild, true},
		{"one that has exec'd since", []event.Event{forked(root, child), forked(child, grandchild)}, execd, true},
		{"one that is forked by what has exec'd", []event.Event{
			forked(root, child), forked(child, grandchild), forked(execd, task(13, 4)),
		}, task(13, 4), true},
		{"a stranger's child", []event.Event{forked(root, child), forked(stranger, task(21, 2))}, task(21, 2), false},
		{"a pid that is used again", []event.Event{forked(root, child)}, task(11, 5), false},
		{"the child of a pid that is used again", []event.Event{
			forked(root, child), forked(task(11, 5), task(12, 6)),
		}, task(12, 6), false},
		{"the child of a root of that pid", []event.Event{forked(task(10, 0), child)}, child, false},
		{"a cgroup", []event.Event{forked(root, child)}, event.OwnerID{Kind: event.OwnerCgroup, PID: 11, StartTime: sec(2)}, false},
		{"nobody", []event.Event{forked(root, event.OwnerID{})}, event.OwnerID{}, false},
	}
	for _, tt := range tests {
		if got := grown(tt.events...).Holds(tt.asked); got != tt.want {
			t.Errorf("%s: holds %t, want %t", tt.name, got, tt.want)
		}
	}
}

// A tree of which the beginning may be lost is not an empty one.
func TestTreeWithoutItsBeginning(t *testing.T) {
	root, child := task(10, 1), task(11, 2)
	lost := event.Event{Kind: event.KindLost, Time: sec(2), Lost: &event.Lost{What: "fork", Cause: event.LostRing, CPU: -1, Count: 1}}
	for _, tt := range []struct {
		events []event.Event
		want   bool
	}{
		{nil, false},
		{[]event.Event{lost}, true},
		{[]event.Event{forked(root, child), lost}, false},
		{[]event.Event{forked(task(20, 1), task(21, 2)), lost}, true},
	} {
		if got := grown(tt.events...).Headless(); got != tt.want {
			t.Errorf("%d events: headless %t, want %t", len(tt.events), got, tt.want)
		}
	}
}

// A loss counts where a fork may be among what was lost.
func TestTreeCountsLostForks(t *testing.T) {
	tests := []struct {
		lost event.Lost
		want uint64
	}{
		{event.Lost{What: "fork", Cause: event.LostRing, Count: 3}, 3},
		{event.Lost{What: "fork", Cause: event.LostNested, Count: 1}, 1},
		{event.Lost{What: "record", Cause: event.LostTruncated, Count: 2}, 2},
		{event.Lost{What: "events", Cause: event.LostDamage, Count: 5}, 5},
		{event.Lost{What: "events", Cause: event.LostDiskFull, Count: 7}, 7},
		{event.Lost{What: "allocate", Cause: event.LostRing, Count: 4}, 0},
		{event.Lost{What: "lease", Cause: event.LostMap, Count: 4}, 0},
		{event.Lost{What: "owner_name", Cause: event.LostReader, Count: 4}, 0},
	}
	for _, tt := range tests {
		tree := grown(event.Event{Kind: event.KindLost, Lost: &tt.lost})
		if got := tree.Lost(); got != tt.want {
			t.Errorf("%+v: %d lost, want %d", tt.lost, got, tt.want)
		}
	}
}

func TestTreeIsBounded(t *testing.T) {
	tree := grown()
	for i := range uint32(MaxTree) {
		ev := forked(task(10, 1), task(100+i, 2))
		tree.Apply(&ev)
	}
	if tree.Beyond() != 0 {
		t.Fatalf("%d beyond the bound, want none", tree.Beyond())
	}
	last, extra := task(99+MaxTree, 2), task(7, 3)
	for _, ev := range []event.Event{forked(last, extra), forked(extra, task(8, 3)), forked(task(10, 1), task(9, 3))} {
		tree.Apply(&ev)
	}
	if !tree.Holds(last) || tree.Holds(extra) || tree.Beyond() != 2 {
		t.Errorf("holds the last %t, one more %t, %d beyond; want true, false and the 2 whose parents are known",
			tree.Holds(last), tree.Holds(extra), tree.Beyond())
	}
}
