package tracertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Cgroup is a cgroup2 group of a test's own.
type Cgroup struct {
	// ID is the kernel's.
	ID   uint64
	tb   testing.TB
	path string
}

// NewCgroup makes a group that ends with the test. The tree need not be mounted.
func NewCgroup(tb testing.TB) *Cgroup {
	tb.Helper()
	mount, err := mountPrivately("cgroup2")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = unix.Close(mount) })
	path := fmt.Sprintf("/proc/self/fd/%d/portwatch-test-%d-%d", mount, os.Getpid(), mount)
	if err := os.Mkdir(path, 0o755); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.Remove(path); err != nil {
			tb.Error(err)
		}
	})
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		tb.Fatal(err)
	}
	return &Cgroup{ID: stat.Ino, tb: tb, path: path}
}

// Add moves an actor into the group. The actor ends before the group does.
func (g *Cgroup) Add(a *Actor) {
	g.tb.Helper()
	g.tb.Cleanup(a.Exit)
	if err := os.WriteFile(filepath.Join(g.path, "cgroup.procs"), []byte(strconv.Itoa(a.PID)), 0); err != nil {
		g.tb.Fatal(err)
	}
}

// mountPrivately mounts a file system where nobody else sees it.
func mountPrivately(kind string) (mount int, err error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", kind, err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("create %s: %w", kind, err)
	}
	mount, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("mount %s: %w", kind, err)
	}
	return mount, nil
}
