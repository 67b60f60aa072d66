package workload

import (
	"io/fs"
	"path"
	"syscall"
)

const (
	// maxGroups bounds the directories of one walk. The table, which keeps
	// ended groups too, is emptied when it has reached as many: it never holds
	// more than twice that.
	maxGroups = 1 << 16
	// groupsPerMiss is how many directories a search may cost for each id
	// that was not known: a host with 5,000 groups is searched for the first
	// unknown id and then for every 20th. It bounds the work by the number of
	// questions, without a clock.
	groupsPerMiss = 256
	// rootInode is the inode number of a hierarchy's root (kernfs_create_root,
	// fs/kernfs/dir.c): a directory with another is but a part of it, and
	// paths from there are not the host's.
	rootInode = 1
)

// groups knows the cgroup2 groups by id. An id is never used twice
// (kernfs_new_node) and a group cannot be renamed or moved in version 2, so a
// path once found holds for ever.
type groups struct {
	fsys   fs.FS // nil if the hierarchy is not visible
	paths  map[uint64]string
	absent map[uint64]struct{} // was searched for and had ended
	misses int                 // since the last search
	size   int                 // directories in the last search
}

func newGroups(fsys fs.FS) *groups {
	return &groups{fsys: fsys, paths: map[uint64]string{}, absent: map[uint64]struct{}{}}
}

// findHierarchy finds the cgroup2 hierarchy in a host's tree: alone, or beside
// version 1 ("hybrid"). It is nil if there is none.
func findHierarchy(host fs.FS) fs.FS {
	for _, dir := range [...]string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
		if _, err := fs.Stat(host, dir+"/cgroup.controllers"); err != nil {
			continue // another file system
		}
		if inode, ok := inodeAt(host, dir); !ok || inode != rootInode {
			continue
		}
		if sub, err := fs.Sub(host, dir); err == nil {
			return sub
		}
	}
	return nil
}

func (g *groups) visible() bool { return g.fsys != nil }

// path is the path of the group with the id. The one at hint is looked at
// first: as a rule it is that in which the process still is.
func (g *groups) path(id uint64, hint string) (path string, ok bool) {
	if path, ok = g.paths[id]; ok {
		return path, true
	}
	if g.confirm(id, hint) {
		return hint, true
	}
	return g.search(id)
}

// confirm reports whether the group at hint has the id.
func (g *groups) confirm(id uint64, hint string) bool {
	if hint == "" {
		return false
	}
	inode, ok := inodeAt(g.fsys, path.Join(".", hint))
	if !ok || inode != id {
		return false
	}
	makeRoom(g.paths, maxGroups)
	g.paths[id] = hint
	return true
}

// search looks for the group in the whole hierarchy, unless it did so in vain
// before or too little was asked since the last time.
func (g *groups) search(id uint64) (path string, ok bool) {
	if _, gone := g.absent[id]; gone {
		return "", false
	}
	g.misses++
	if g.misses*groupsPerMiss < g.size {
		return "", false
	}
	g.walk()
	if path, ok = g.paths[id]; !ok {
		makeRoom(g.absent, maxGroups)
		g.absent[id] = struct{}{}
	}
	return path, ok
}

// walk enters every group there is, up to the bound. Groups that end
// meanwhile, or may not be read, are passed over.
func (g *groups) walk() {
	g.misses, g.size = 0, 0
	makeRoom(g.paths, maxGroups) // now, lest a group of this walk be dropped
	_ = fs.WalkDir(g.fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil
		}
		if g.size++; g.size > maxGroups {
			return fs.SkipAll
		}
		if info, err := entry.Info(); err == nil {
			if inode, ok := inodeOf(info); ok {
				g.paths[inode] = path.Join("/", name)
			}
		}
		return nil
	})
}

func inodeAt(fsys fs.FS, name string) (uint64, bool) {
	if !fs.ValidPath(name) {
		return 0, false
	}
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return 0, false
	}
	return inodeOf(info)
}

func inodeOf(info fs.FileInfo) (uint64, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return stat.Ino, true
}

// makeRoom empties a table that has reached its bound. What is needed again is
// found again.
func makeRoom[K comparable, V any](table map[K]V, bound int) {
	if len(table) >= bound {
		clear(table)
	}
}
