package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// groupFile is a limit of a cgroup, by the files of one version.
type groupFile struct {
	controller string // of version 1; "" for version 2
	// used holds what is in use: the line usedKey of it, or its one number.
	used, usedKey string
	max           string
	// events holds the counter: the line eventKey of it, or its one number.
	events, eventKey string
}

// groupLimit is a limit that cgroups have, whatever their version.
type groupLimit struct {
	name, unit, error string
	files             []groupFile
	ways              ways
}

const socketMemoryError = "stalls; socket(): ENOBUFS or ENOMEM"

var groupLimitTable = []groupLimit{
	{
		"cgroup_threads", "threads", "clone(), fork(): EAGAIN",
		[]groupFile{
			{used: "pids.current", max: "pids.max", events: "pids.events", eventKey: "max"},
			{controller: "pids", used: "pids.current", max: "pids.max", events: "pids.events", eventKey: "max"},
		},
		ways{directive: "TasksMax=N", engine: "--pids-limit N", pod: "podPidsLimit of the kubelet"},
	},
	{
		"cgroup_memory", "bytes", "page cache, which is counted, goes first; then socket buffers stall, and the OOM killer ends a process of the group",
		[]groupFile{
			{used: "memory.current", max: "memory.max", events: "memory.events", eventKey: "max"},
			{controller: "memory", used: "memory.usage_in_bytes", max: "memory.limit_in_bytes", events: "memory.failcnt"},
		},
		ways{directive: "MemoryMax=N", engine: "--memory N", pod: "resources.limits.memory"},
	},
	{ // version 2 counts it with the group's memory
		"cgroup_socket_memory", "bytes", socketMemoryError,
		[]groupFile{{used: "memory.stat", usedKey: "sock", max: "memory.max"}},
		ways{directive: "MemoryMax=N", engine: "--memory N", pod: "resources.limits.memory"},
	},
	{
		"cgroup_socket_memory", "bytes", socketMemoryError,
		[]groupFile{{
			controller: "memory", used: "memory.kmem.tcp.usage_in_bytes", max: "memory.kmem.tcp.limit_in_bytes",
			events: "memory.kmem.tcp.failcnt",
		}},
		ways{}, // no manager has an option for it
	},
}

// groupLimits are the limits of the process's cgroups and of all above them,
// of each kind the fullest. A kind that no visible group has is left out: what
// is above the root of a container is not to be seen from inside.
func groupLimits(root fs.FS, dir string, p *Start) []Limit {
	text, err := readText(root, dir+"/cgroup")
	if err != nil {
		return []Limit{{Name: "cgroup_threads", Scope: "cgroup", Unit: "threads", Unread: err.Error(), Error: groupLimitTable[0].error}}
	}
	var all []Limit
	for i := range groupLimitTable {
		g := &groupLimitTable[i]
		for _, f := range g.files {
			if most, found := f.fullest(root, text, g, p); found {
				all = append(all, most)
				break
			}
		}
	}
	return all
}

// fullest walks from the process's group up to the root.
func (f groupFile) fullest(root fs.FS, memberships string, g *groupLimit, p *Start) (most Limit, found bool) {
	mount, at, ok := f.place(root, memberships)
	if !ok {
		return Limit{}, false
	}
	for {
		if l, ok := f.read(root, path.Join(mount, at), g); ok {
			l.Owner, l.Raise = at, p.raiseGroup(g.ways, at, path.Join("/", mount, at, f.max))
			if _, known := l.Ratio(); !found || known {
				most = fuller(most, l)
			}
			found = true
		}
		if at == "/" {
			return most, found
		}
		at = path.Dir(at)
	}
}

// place finds the hierarchy and the process's group in it, by lines such as
// "4:memory:/docker/x" and "0::/system.slice/app.service".
func (f groupFile) place(root fs.FS, memberships string) (mount, group string, ok bool) {
	for line := range strings.Lines(memberships) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		group = path.Join("/", parts[2])
		if f.controller == "" && parts[0] == "0" && parts[1] == "" {
			for _, mount := range [...]string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
				if _, err := fs.Stat(root, mount+"/cgroup.controllers"); err == nil {
					return mount, group, true
				}
			}
		}
		if f.controller != "" && slices.Contains(strings.Split(parts[1], ","), f.controller) {
			return path.Join("sys/fs/cgroup", f.controller), group, true
		}
	}
	return "", "", false
}

// read reads one group's limit; false if the group does not have it.
func (f groupFile) read(root fs.FS, dir string, g *groupLimit) (Limit, bool) {
	text, err := readWord(root, path.Join(dir, f.max))
	if errors.Is(err, fs.ErrNotExist) {
		return Limit{}, false
	}
	limit := reading{}
	if err != nil {
		limit.why = err.Error()
	} else {
		// "max", or in version 1 PAGE_COUNTER_MAX pages (mm/page_counter.c),
		// is none.
		limit = limitOf(path.Join(dir, f.max), text)
	}
	l := Limit{Name: g.name, Scope: "cgroup", Unit: g.unit, Error: g.error, Shared: true}.
		of(f.usage(root, dir), limit).unlimited()
	l.Counter = f.events
	if f.eventKey != "" {
		l.Counter += " " + f.eventKey
	}
	l.Total = f.total(root, dir)
	return l, true
}

// usage is what the group has in use.
func (f groupFile) usage(root fs.FS, dir string) reading {
	if f.usedKey == "" {
		return readNumber(root, path.Join(dir, f.used))
	}
	return readKey(root, path.Join(dir, f.used), f.usedKey)
}

// total is the group's own counter; nil if there is none, or it cannot be read.
func (f groupFile) total(root fs.FS, dir string) *uint64 {
	count := reading{why: "no file counts it"}
	switch {
	case f.eventKey != "":
		count = readKey(root, path.Join(dir, f.events), f.eventKey)
	case f.events != "":
		count = readNumber(root, path.Join(dir, f.events))
	}
	if count.why != "" {
		return nil
	}
	return &count.value
}

// readKey reads the number of a line "key number".
func readKey(root fs.FS, name, key string) reading {
	text, err := readText(root, name)
	if err != nil {
		return reading{why: err.Error()}
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 2 || words[0] != key {
			continue
		}
		n, err := strconv.ParseUint(words[1], 10, 64)
		if err != nil {
			return reading{why: fmt.Sprintf("%s: %q is no number", name, words[1])}
		}
		return reading{value: n}
	}
	return reading{why: fmt.Sprintf("%s: no line %q", name, key)}
}
