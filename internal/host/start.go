package host

import (
	"fmt"
	"path"
	"strings"
)

// Start is a process and how it was started, which decides where its limits
// are raised.
type Start struct {
	PID   int
	Label string // for people: "nginx[977]"
	UID   uint32
	// Unit, Container and Pod are what it runs in; "" if none or not known.
	Unit, Container, Pod string
}

// ways are how one limit of a process is raised, by how it was started. Each
// takes effect with a new process.
type ways struct {
	directive string // of a unit
	engine    string // option of docker and podman
	pod       string
	session   string // line of limits.conf, without the user
	shell     string // before the start
}

// raise is the way that fits the process, for a limit of the process or its user.
func (s *Start) raise(w ways) string {
	switch {
	case s.Pod != "":
		return w.pod + "; a new pod"
	case s.Container != "":
		return w.engine + "; a new container"
	case strings.HasSuffix(s.Unit, ".service"):
		return fmt.Sprintf("systemctl edit %s: [Service] %s; systemctl restart %s", s.Unit, w.directive, s.Unit)
	case strings.HasPrefix(s.Unit, "session-"):
		return "/etc/security/limits.conf: USER - " + w.session + "; a new login"
	}
	return w.shell + " before it is started"
}

// raiseGroup is the way to raise a limit that the file of a cgroup holds. Who made
// the group decides, which need not be who started the process: an application may
// have groups of its own within its unit.
func (s *Start) raiseGroup(w ways, group, file string) string {
	unit := path.Base(group)
	write := "echo N > " + file + ", at once; it lasts as long as the group"
	switch {
	case w == ways{}:
		return write
	case group == "/": // the real root has no limits
		return "outside of this cgroup namespace, where the container was started: " + w.engine + "; of a pod: " + w.pod
	case s.Container != "" && strings.Contains(unit, s.Container):
		return s.raise(w)
	case s.Pod != "" && (strings.Contains(unit, s.Pod) || strings.Contains(unit, strings.ReplaceAll(s.Pod, "-", "_"))):
		return w.pod + "; a new pod"
	case strings.HasSuffix(unit, ".service"):
		return (&Start{Unit: unit}).raise(w)
	case strings.HasSuffix(unit, ".slice"), strings.HasSuffix(unit, ".scope"):
		return fmt.Sprintf("systemctl set-property %s %s, at once", unit, w.directive)
	}
	return write
}
