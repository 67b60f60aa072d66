package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long the last process of a group may take to leave it.
const patience = time.Second

// Group is a control group (cgroup2) of a command's own, below that of this
// process. No controller is switched on in it: it limits nothing.
type Group struct {
	// ID is the group's, as the kernel gives it to programs: its inode number.
	ID uint64
	// Path is the group's within the hierarchy, as this process sees it.
	Path string

	dir    *os.File
	parent string // directory
}

// NewGroup makes a group. It needs a cgroup2 hierarchy that is mounted, and the
// right to write to it.
func NewGroup() (*Group, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("make control group: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("make control group: %w", err)
	}
	mount, path := findHierarchy(string(mounts)), findPath(string(own))
	if mount == "" || path == "" {
		return nil, errors.New("make control group: no cgroup2 hierarchy is mounted")
	}
	g := &Group{Path: filepath.Join(path, fmt.Sprintf("portwatch-run-%d", os.Getpid())), parent: filepath.Join(mount, path)}
	name := filepath.Join(mount, g.Path)
	if err := os.Mkdir(name, 0o755); err != nil {
		return nil, fmt.Errorf("make control group: %w", err)
	}
	if err := g.open(name); err != nil {
		return nil, errors.Join(err, os.Remove(name))
	}
	return g, nil
}

func (g *Group) open(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("open control group: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return errors.Join(fmt.Errorf("stat control group: %w", err), dir.Close())
	}
	g.dir, g.ID = dir, st.Ino
	return nil
}

// Holds reports whether a group is this one or below it. id may be 0 and path ""
// where they are not known.
func (g *Group) Holds(id uint64, path string) bool {
	return id != 0 && id == g.ID || path == g.Path || strings.HasPrefix(path, g.Path+"/")
}

// Close removes the group. What still runs in it goes back to where it would have
// been without it.
func (g *Group) Close() error {
	name := g.dir.Name()
	closed := g.dir.Close()
	err := g.release(name)
	// What forks or exits meanwhile keeps the group for a moment.
	for deadline := time.Now().Add(patience); err == nil; {
		err = os.Remove(name)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return closed
		}
		if errors.Is(err, unix.EBUSY) && time.Now().Before(deadline) {
			time.Sleep(patience / 100)
			err = g.release(name)
		}
	}
	return fmt.Errorf("remove control group: %w", err)
}

// release moves the processes of the group one up.
func (g *Group) release(name string) error {
	pids, err := os.ReadFile(filepath.Join(name, "cgroup.procs"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for pid := range strings.FieldsSeq(string(pids)) {
		err := os.WriteFile(filepath.Join(g.parent, "cgroup.procs"), []byte(pid), 0)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// findHierarchy is where a whole cgroup2 tree is mounted, "" if nowhere.
func findHierarchy(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		left, right, ok := strings.Cut(line, " - ")
		fields := strings.Fields(left)
		if ok && len(fields) >= 5 && strings.HasPrefix(right, "cgroup2 ") && fields[3] == "/" {
			return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
		}
	}
	return ""
}

// findPath is the own place in the cgroup2 hierarchy, "" if it is not below what
// this process sees.
func findPath(cgroups string) string {
	for line := range strings.Lines(cgroups) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok && !strings.HasPrefix(path, "/..") {
			return path
		}
	}
	return ""
}
