package host

import (
	"fmt"
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
	session   string // line of limits.conf, without the user; "" if none helps
	shell     string // before the start; "" if none helps
}

// raise is the way that fits the process.
func (s *Start) raise(w ways) string {
	switch {
	case s.Pod != "":
		return w.pod + "; a new pod"
	case s.Container != "":
		return w.engine + "; a new container"
	case strings.HasSuffix(s.Unit, ".service"):
		return fmt.Sprintf("systemctl edit %s: [Service] %s; systemctl restart %s", s.Unit, w.directive, s.Unit)
	case strings.HasPrefix(s.Unit, "session-") && w.session != "":
		return "/etc/security/limits.conf: USER - " + w.session + "; a new login"
	case w.shell != "":
		return w.shell + " before it is started"
	}
	return "systemd-run -p " + w.directive + " starts it with one"
}
