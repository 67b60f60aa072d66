package tracer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// setForkStage is a stage on which forks are told, and how they name this process.
func setForkStage(t *testing.T, change ...func(*Options)) (*stage, event.OwnerID) {
	t.Helper()
	s := setStage(t, change...)
	self, err := s.tracer.FollowForks()
	if err != nil {
		t.Fatal(err)
	}
	return s, self
}

// forks are the children that a process made, and where in the story.
func (s *stage) forks(parent int) (children []event.OwnerID, at []int) {
	for i, ev := range s.events {
		if ev.Kind == event.KindFork && int(ev.Fork.Parent.PID) == parent {
			children, at = append(children, ev.Fork.Child), append(at, i)
		}
	}
	return children, at
}

// wholeForks reports whether no fork was lost: an emulated kernel that may be
// preempted skips some, and says so.
func (s *stage) wholeForks() bool {
	lost := s.skipped(event.KindFork.String())
	if lost > 0 {
		s.Logf("%d forks were skipped, and counted", lost)
	}
	return lost == 0
}

// A fork is told before anything that the child does, by whatever thread and for
// whomever it was made; its names are those of the owners.
func TestForkIsToldFirst(t *testing.T) {
	s, self := setForkStage(t)
	want(s, "this process", int(self.PID), os.Getpid())
	_, l, addr := s.server("127.0.0.1:30000")
	l.Serve()
	parent := s.actor("parent")
	ways := []tracertest.ForkWay{tracertest.ForkPlain, tracertest.ForkOnThread, tracertest.ForkAsSister}
	var pids []int
	var ports []uint16
	for _, way := range ways {
		c := parent.Socket(tracertest.TCP4)
		pid, errno := c.ForkToConnect(way, addr)
		want(s, "connect", errno, 0)
		pids, ports = append(pids, pid), append(ports, c.Local().Port())
	}
	own := parent.Socket(tracertest.TCP4)
	want(s, "connect", own.Connect(addr), 0)
	ownPort := own.Local().Port()
	s.settle()
	if !s.wholeForks() {
		return
	}

	children, at := s.forks(parent.PID)
	want(s, "forks of the parent, threads apart", len(children), len(ways))
	for i := range ways {
		given := s.of(ports[i])[0]
		want(s, "kind", given.Kind, event.KindAllocate)
		want(s, "child", int(children[i].PID), pids[i])
		want(s, "owner of its port", given.Lease.Owner.ID(), children[i])
		if first := s.index(&given); first < at[i] {
			t.Errorf("way %d: the port was told at %d, the fork at %d", ways[i], first, at[i])
		}
		want(s, "parent", s.events[at[i]].Fork.Parent, s.of(ownPort)[0].Lease.Owner.ID())
	}
	born, _ := s.forks(int(self.PID))
	ours := slices.ContainsFunc(born, func(id event.OwnerID) bool { return int(id.PID) == parent.PID })
	want(s, "the parent is this process's child", ours, true)
}

// index is where an event stands in the story.
func (s *stage) index(wanted *event.Event) int {
	for i := range s.events {
		if s.events[i].Kind == wanted.Kind && s.events[i].Lease.ID == wanted.Lease.ID {
			return i
		}
	}
	return -1
}

// A process that execs is another owner, and the same process.
func TestForkAfterExec(t *testing.T) {
	s, _ := setForkStage(t)
	a := s.actor("before")
	a.ForkMany(1)
	a.Exec("after")
	a.ForkMany(1)
	s.settle()
	if !s.wholeForks() {
		return
	}
	_, at := s.forks(a.PID)
	want(s, "forks", len(at), 2)
	one, two := s.events[at[0]].Fork.Parent, s.events[at[1]].Fork.Parent
	want(s, "execs between", two.Exec-one.Exec, 1)
	two.Exec = one.Exec
	want(s, "but for that", one, two)
}

// Forks that nobody reads are counted.
func TestForksThatAreLost(t *testing.T) {
	s, _ := setForkStage(t, func(o *Options) { o.NewsBytes = 16 << 10 })
	a := s.actor("parent")
	const made = 600
	before := everForked(t)
	a.ForkMany(made)
	over := bootNow()
	s.until("the end of the second", func(ev *event.Event) bool { return ev.Kind == event.KindTick && ev.Time >= over })
	told, _ := s.forks(a.PID)
	var lost uint64
	for _, ev := range s.kinds(event.KindLost) {
		if ev.Lost.What == event.KindFork.String() {
			lost += ev.Lost.Count
		}
	}
	if lost == 0 {
		t.Error("no loss is told: the ring was too large")
	}
	within(s, "told and lost", uint64(len(told))+lost, made, everForked(t)-before) // others fork, too
}

// everForked is how many processes and threads the host has made.
func everForked(t *testing.T) (count uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nprocesses ")
	if _, err := fmt.Sscan(rest, &count); err != nil {
		t.Fatal(err)
	}
	return count
}

// Where the hook is refused that is said, and the rest goes on.
func TestForksThatCannotBeFollowed(t *testing.T) {
	s := setStage(t, func(o *Options) { o.renamed = map[string]string{forkHook.program: nowhere} })
	_, err := s.tracer.FollowForks()
	var refused *HookError
	if !errors.As(err, &refused) || refused.Hook != forkHook.place() {
		t.Errorf("error %v, want one of %s", err, forkHook.place())
	}
	s.settle()
}
