package netns

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is one network namespace as it was found.
type Namespace struct {
	// Inode is the number in "net:[4026531840]".
	Inode uint32
	// Path could be opened when the namespace was found; see [ErrGone].
	Path string
	// PID is the process in the namespace that started first, 0 if it has
	// none.
	PID int
	// Name is "host" for the namespace of process 1, else the name that
	// ip-netns(8) gave, else "pid:N" of PID, else "".
	Name string
}

// Listing is what [List] found.
type Listing struct {
	// Namespaces is sorted by inode number.
	Namespaces []Namespace
	// Unreadable counts the processes whose namespace the kernel would not
	// tell (EACCES, EPERM): there may be namespaces that are not listed.
	Unreadable int
}

// List finds the network namespaces that a process under procRoot (as a rule
// "/proc") lives in, or that are bind-mounted where this process can see it.
// Processes that end meanwhile are no error. A namespace that is held only by
// a descriptor, or by a thread that left its process's namespace, is not
// found.
func List(procRoot string) (Listing, error) {
	s := scan{procRoot: procRoot, found: map[uint32]*candidate{}}
	if err := s.processes(); err != nil {
		return Listing{}, err
	}
	if err := s.mounts(); err != nil {
		return Listing{}, err
	}
	return s.listing(), nil
}

// scan collects namespaces by inode.
type scan struct {
	procRoot   string
	found      map[uint32]*candidate
	unreadable int
}

// candidate is a namespace and the start time, in clock ticks, of its PID.
type candidate struct {
	Namespace
	started uint64
}

func (s *scan) processes() error {
	dir, err := os.Open(s.procRoot)
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid <= 0 {
			continue
		}
		if err := s.process(pid); err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) process(pid int) error {
	path := filepath.Join(s.procRoot, strconv.Itoa(pid), "ns", "net")
	link, err := os.Readlink(path)
	switch {
	case vanished(err):
		return nil
	case errors.Is(err, fs.ErrPermission):
		s.unreadable++
		return nil
	case err != nil:
		return fmt.Errorf("find network namespace of process %d: %w", pid, err)
	}
	inode, ok := parseLink(link)
	if !ok {
		return fmt.Errorf("find network namespace of process %d: %q is none", pid, link)
	}
	return s.join(inode, pid, path)
}

// join enters process pid into its namespace if it is the oldest seen there.
func (s *scan) join(inode uint32, pid int, path string) error {
	known := s.found[inode]
	if known != nil && known.PID == 1 {
		return nil // nothing is older than process 1
	}
	started, err := s.startTicks(pid)
	if vanished(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if known != nil && pid != 1 && cmp.Or(cmp.Compare(started, known.started), cmp.Compare(pid, known.PID)) > 0 {
		return nil
	}
	s.found[inode] = &candidate{
		Namespace: Namespace{Inode: inode, Path: path, PID: pid, Name: processName(pid)},
		started:   started,
	}
	return nil
}

func (s *scan) startTicks(pid int) (uint64, error) {
	path := filepath.Join(s.procRoot, strconv.Itoa(pid), "stat")
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read start time: %w", err)
	}
	ticks, ok := parseStartTicks(string(text))
	if !ok {
		return 0, fmt.Errorf("parse %s: no start time in %q", path, text)
	}
	return ticks, nil
}

// mounts adds the namespaces that are bind-mounted, and prefers their paths:
// a mount lasts longer than a process.
func (s *scan) mounts() error {
	path := filepath.Join(s.procRoot, "self", "mountinfo")
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for _, m := range parseMounts(string(text)) {
		var st unix.Stat_t
		if unix.Stat(m.path, &st) != nil || st.Ino != uint64(m.inode) {
			continue // hidden by another mount, not reachable or gone
		}
		s.mounted(m)
	}
	return nil
}

func (s *scan) mounted(m mount) {
	known := s.found[m.inode]
	if known == nil {
		known = &candidate{Namespace: Namespace{Inode: m.inode}}
		s.found[m.inode] = known
	}
	if known.PID == 1 {
		return
	}
	known.Path = m.path
	if name := netnsName(m.path); name != "" {
		known.Name = name
	}
}

func (s *scan) listing() Listing {
	l := Listing{Namespaces: make([]Namespace, 0, len(s.found)), Unreadable: s.unreadable}
	for _, c := range s.found {
		l.Namespaces = append(l.Namespaces, c.Namespace)
	}
	slices.SortFunc(l.Namespaces, func(a, b Namespace) int { return cmp.Compare(a.Inode, b.Inode) })
	return l
}

// vanished reports whether a file under /proc is gone with its process: the
// directory is missing, or the read meets a process that has ended.
func vanished(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

func processName(pid int) string {
	if pid == 1 {
		return "host"
	}
	return "pid:" + strconv.Itoa(pid)
}

// netnsName is the name that ip-netns(8) gave to the namespace mounted at
// path, or "".
func netnsName(path string) string {
	dir, name := filepath.Split(path)
	if strings.TrimPrefix(dir, "/var") != "/run/netns/" {
		return ""
	}
	return name
}
