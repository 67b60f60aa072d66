package netns

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// process writes what List reads of a process; ns may be "" for a process that
// is ending.
func process(t *testing.T, proc string, pid, started int, ns string) {
	t.Helper()
	dir := filepath.Join(proc, strconv.Itoa(pid))
	if err := os.MkdirAll(filepath.Join(dir, "ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	if ns != "" {
		if err := os.Symlink(ns, filepath.Join(dir, "ns", "net")); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "stat"),
		fmt.Sprintf("%d (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", pid, started))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestListProcesses(t *testing.T) {
	proc := t.TempDir()
	write(t, filepath.Join(proc, "self", "mountinfo"),
		"301 25 0:4 net:[99] "+filepath.Join(proc, "missing")+" rw - nsfs nsfs rw\n")
	process(t, proc, 1, 0, "net:[10]")
	process(t, proc, 7, 500, "net:[10]")
	process(t, proc, 300, 900, "net:[20]") // pids wrapped: 400 is the elder
	process(t, proc, 400, 800, "net:[20]")
	process(t, proc, 500, 800, "net:[20]")
	process(t, proc, 600, 100, "")

	got, err := List(proc)
	if err != nil {
		t.Fatal(err)
	}
	want := Listing{Namespaces: []Namespace{
		{Inode: 10, Path: filepath.Join(proc, "1/ns/net"), PID: 1, Name: "host"},
		{Inode: 20, Path: filepath.Join(proc, "400/ns/net"), PID: 400, Name: "pid:400"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
}

func TestListRejectsGarbage(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, proc string)
	}{
		{"link", func(t *testing.T, proc string) { process(t, proc, 5, 1, "pid:[4]") }},
		{"stat", func(t *testing.T, proc string) {
			process(t, proc, 5, 1, "net:[4]")
			write(t, filepath.Join(proc, "5", "stat"), "nothing")
		}},
		{"mountinfo", func(t *testing.T, proc string) {
			if err := os.Remove(filepath.Join(proc, "self", "mountinfo")); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proc := t.TempDir()
			write(t, filepath.Join(proc, "self", "mountinfo"), "")
			tt.spoil(t, proc)
			if l, err := List(proc); err == nil {
				t.Errorf("List() = %+v, want an error", l)
			}
		})
	}
}

func TestMountedNamespaceGetsItsName(t *testing.T) {
	s := scan{found: map[uint32]*candidate{
		1: {Namespace: Namespace{Inode: 1, Path: "/proc/1/ns/net", PID: 1, Name: "host"}},
		2: {Namespace: Namespace{Inode: 2, Path: "/proc/40/ns/net", PID: 40, Name: "pid:40"}},
		3: {Namespace: Namespace{Inode: 3, Path: "/proc/50/ns/net", PID: 50, Name: "pid:50"}},
	}}
	s.mounted(mount{1, "/run/netns/self"})
	s.mounted(mount{2, "/run/netns/blue"})
	s.mounted(mount{3, "/run/docker/netns/1a2b"})
	s.mounted(mount{4, "/run/docker/netns/3c4d"})
	want := []Namespace{
		{Inode: 1, Path: "/proc/1/ns/net", PID: 1, Name: "host"},
		{Inode: 2, Path: "/run/netns/blue", PID: 40, Name: "blue"},
		{Inode: 3, Path: "/run/docker/netns/1a2b", PID: 50, Name: "pid:50"},
		{Inode: 4, Path: "/run/docker/netns/3c4d"},
	}
	if diff := cmp.Diff(want, s.listing().Namespaces); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
}
