package workload

import (
	"os"
	"path"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// self is this process as an owner: its start time is known to one tick only.
func self(t *testing.T) event.Owner {
	t.Helper()
	line, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	s, ok := parseStat(string(line))
	if !ok {
		t.Fatalf("parseStat(%q)", line)
	}
	return event.Owner{
		Kind: event.OwnerProcess, PID: uint32(os.Getpid()), StartTime: s.start + 1, Comm: event.CommOf(s.comm),
	}
}

func TestDescribeMyself(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	trees := HostTrees("/")
	o := self(t)
	first := New(trees).Describe(o)
	if first.Exe != exe {
		t.Errorf("exe is %q, want %q", first.Exe, exe)
	}
	if trees.Cgroup == nil || first.Cgroup == "" {
		tracertest.Unable(t, "a cgroup2 hierarchy with this process in it is required")
	}
	id, ok := inodeAt(trees.Cgroup, path.Join(".", first.Cgroup))
	if !ok {
		t.Fatalf("group %q is not there", first.Cgroup)
	}
	o.CgroupID = id
	if again := New(trees).Describe(o); again.Cgroup != first.Cgroup {
		t.Errorf("group %d is %q, want %q", id, again.Cgroup, first.Cgroup)
	}
}

func TestWalkFindsARealGroup(t *testing.T) {
	trees := HostTrees("/")
	if trees.Cgroup == nil {
		tracertest.Unable(t, "a cgroup2 hierarchy is required")
	}
	g := newGroups(trees.Cgroup)
	if path, ok := g.search(rootInode); path != "/" || !ok {
		t.Errorf("the root is %q, %t", path, ok)
	}
}
