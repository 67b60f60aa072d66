package workload

import (
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"testing/fstest"
)

// dir is a directory with an inode number, link a symbolic link.
func dir(inode uint64) *fstest.MapFile {
	return &fstest.MapFile{Mode: fs.ModeDir | 0o755, Sys: &syscall.Stat_t{Ino: inode}}
}

func link(to string) *fstest.MapFile {
	return &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte(to)}
}

func TestGroupsPath(t *testing.T) {
	tree := fstest.MapFS{
		".": dir(1), "system.slice": dir(10), "system.slice/a.service": dir(11),
		"system.slice/a.service/cgroup.procs": {}, ".odd": dir(12),
	}
	tests := []struct {
		name, hint string
		id         uint64
		path       string
		ok         bool
	}{
		{"by walk", "", 11, "/system.slice/a.service", true},
		{"by hint", "/system.slice/a.service", 11, "/system.slice/a.service", true},
		{"the process has moved", "/system.slice", 11, "/system.slice/a.service", true},
		{"hint is gone", "/gone", 11, "/system.slice/a.service", true},
		{"hint leads out", "/../a", 11, "/system.slice/a.service", true},
		{"root", "/", 1, "/", true},
		{"leading dot", "", 12, "/.odd", true},
		{"gone", "/system.slice/a.service", 99, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGroups(tree)
			for range 2 { // found, then known
				if path, ok := g.path(tt.id, tt.hint); path != tt.path || ok != tt.ok {
					t.Errorf("path(%d, %q) = %q, %t; want %q, %t", tt.id, tt.hint, path, ok, tt.path, tt.ok)
				}
			}
		})
	}
}

func TestGroupsRememberTheEnded(t *testing.T) {
	tree := fstest.MapFS{".": dir(1), "a": dir(2)}
	g := newGroups(tree)
	g.path(2, "")
	delete(tree, "a")
	if path, ok := g.path(2, ""); path != "/a" || !ok {
		t.Errorf("path() = %q, %t after the group has ended", path, ok)
	}
}

func TestGroupsSearchIsRationed(t *testing.T) {
	const size = 10 * groupsPerMiss // with the root, ten questions and a bit
	tree := fstest.MapFS{".": dir(1)}
	for i := range uint64(size) {
		tree[fmt.Sprint(i)] = dir(i + 2)
	}
	g := newGroups(tree)
	g.path(1, "")
	tree["new"] = dir(size + 2)
	for i := range 10 {
		if path, ok := g.path(size+2, ""); ok {
			t.Fatalf("question %d found %q: the hierarchy was searched again", i, path)
		}
	}
	if path, ok := g.path(size+2, ""); path != "/new" || !ok {
		t.Errorf("path() = %q, %t; the hierarchy was not searched again", path, ok)
	}
}

func TestFindHierarchy(t *testing.T) {
	file := &fstest.MapFile{}
	tests := []struct {
		name string
		host fstest.MapFS
		root uint64 // inode of what is found at "mark", 0 for nothing
	}{
		{"none", fstest.MapFS{"sys/fs/cgroup": dir(1)}, 0},
		{
			"version 2",
			fstest.MapFS{"sys/fs/cgroup": dir(1), "sys/fs/cgroup/cgroup.controllers": file, "sys/fs/cgroup/mark": dir(7)},
			7,
		},
		{
			"hybrid",
			fstest.MapFS{
				"sys/fs/cgroup": dir(1), "sys/fs/cgroup/unified": dir(1),
				"sys/fs/cgroup/unified/cgroup.controllers": file, "sys/fs/cgroup/unified/mark": dir(8),
			},
			8,
		},
		{
			"a container's part",
			fstest.MapFS{"sys/fs/cgroup": dir(500), "sys/fs/cgroup/cgroup.controllers": file, "sys/fs/cgroup/mark": dir(7)},
			0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := findHierarchy(tt.host)
			if (got != nil) != (tt.root != 0) {
				t.Fatalf("findHierarchy() = %v", got)
			}
			if got == nil {
				return
			}
			if inode, ok := inodeAt(got, "mark"); inode != tt.root || !ok {
				t.Errorf("mark is inode %d, want %d", inode, tt.root)
			}
		})
	}
}
