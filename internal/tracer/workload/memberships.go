package workload

import (
	"slices"
	"strings"
)

// memberships are the groups of a process, one in each hierarchy, as
// /proc/PID/cgroup tells them (cgroups(7)). A path is "" where there is no
// such hierarchy.
type memberships struct {
	unified string   // version 2: "0::"
	systemd string   // version 1, "name=systemd"
	others  []string // version 1, those of cpu, pids and memory
}

// parseMemberships parses lines of the form "4:memory:/docker/<id>". A path
// ends in " (deleted)" once its group has ended.
func parseMemberships(text string) memberships {
	var m memberships
	for line := range strings.Lines(text) {
		line, whole := strings.CutSuffix(line, "\n")
		hierarchy, rest, _ := strings.Cut(line, ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok || !whole {
			continue
		}
		path = strings.TrimSuffix(path, " (deleted)")
		switch {
		case hierarchy == "0" && controllers == "":
			m.unified = path
		case controllers == "name=systemd":
			m.systemd = path
		case tracked(controllers):
			m.others = append(m.others, path)
		}
	}
	return m
}

// tracked tells the version 1 controllers that every engine makes groups in.
func tracked(controllers string) bool {
	for controller := range strings.SplitSeq(controllers, ",") {
		if slices.Contains([]string{"cpu", "pids", "memory"}, controller) {
			return true
		}
	}
	return false
}

// current is the group of the process in the hierarchy that matters, or "". A
// path with ".." leads out of the reader's cgroup namespace: it is relative to
// an unknown root and so names no group.
func (m memberships) current() string {
	path := m.unified
	if path == "" {
		path = m.systemd
	}
	if slices.Contains(strings.Split(path, "/"), "..") {
		return ""
	}
	return path
}

// identity is what the hierarchies know: the first container in any of them,
// else the unit of version 2 or of systemd's. What else the paths of other
// controllers say, nobody promised.
func (m memberships) identity() identity {
	for _, path := range slices.Concat([]string{m.unified, m.systemd}, m.others) {
		if id := identify(path); id.container != "" {
			return id
		}
	}
	if id := identify(m.unified); id != (identity{}) {
		return id
	}
	return identify(m.systemd)
}

// legacy is the part of version 1.
func (m memberships) legacy() memberships {
	m.unified = ""
	return m
}
