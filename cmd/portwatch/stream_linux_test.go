package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/schematest"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// What the stream of events answers, asked of the real command.

// told is what the tests read of an event.
type told struct {
	Kind, Lease, State, Cause string
	What, Correction          string // of a lost event, and a correction
	Count                     int
	Cookie                    string `json:"socket_cookie"`
	LocalPort                 int    `json:"local_port"`
	Netns                     uint32
	Gone                      *bool
	Owner                     *struct {
		PID      int
		CgroupID string `json:"cgroup_id"`
	}
}

// stream runs events while the actors act, up to the first event that ends it, and
// returns all of the scene's namespace.
func (s *scene) stream(act func(), last func(*told) bool) []told {
	s.Helper()
	l := startLive(s.T, "events", "-o", "jsonl", "-N", fmt.Sprintf("inode:%d", s.ns.Inode()), "--for", "30s")
	act()
	return s.read(l, last)
}

// read reads events up to the first one that ends it.
func (s *scene) read(l *live, last func(*told) bool) []told {
	s.Helper()
	schema, err := fields.Event.Schema()
	if err != nil {
		s.Fatal(err)
	}
	var all []told
	for {
		line, err := l.out.ReadBytes('\n')
		if err != nil {
			s.Fatalf("the stream ended before the last event: %v\n%s\n%+v", err, l.stderr.String(), all)
		}
		if err := schematest.Validate(schema, line); err != nil {
			s.Errorf("%v: %s", err, line)
		}
		var ev told
		if err := json.Unmarshal(line, &ev); err != nil {
			s.Fatal(err)
		}
		all = append(all, ev)
		if last(&ev) {
			return all
		}
	}
}

// Scenario 21: an event tells the cgroup of the moment.
func TestLiveEventsTellTheCgroup(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	to := s.server("127.0.0.1:30000", false)
	mover := s.actor("mover")
	groups := [...]*tracertest.Cgroup{tracertest.NewCgroup(t), tracertest.NewCgroup(t)}
	given := func(ev *told) bool { return ev.Kind == "allocate" && ev.Owner != nil && ev.Owner.PID == mover.PID }
	count := 0
	events := s.stream(func() {
		for _, g := range groups {
			g.Add(mover)
			s.succeed("connect", mover.Socket(tracertest.TCP4).Connect(to))
		}
	}, func(ev *told) bool {
		if given(ev) {
			count++
		}
		return count == len(groups)
	})
	events = slices.DeleteFunc(events, func(ev told) bool { return !given(&ev) })
	for i, ev := range events {
		if ev.Owner.CgroupID != fmt.Sprint(groups[i].ID) {
			t.Errorf("event %d: cgroup %s, want %d", i, ev.Owner.CgroupID, groups[i].ID)
		}
	}
}

// Scenario 25: one socket has two leases at once.
func TestLiveEventsTellLeasesApart(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	server, client := s.actor("server"), s.actor("client")
	l := server.Socket(tracertest.TCP4)
	s.succeed("bind", l.Bind("127.0.0.1:30000"))
	s.succeed("listen", l.Listen(8))
	c := client.Socket(tracertest.TCP4)
	leases := map[string]string{} // by what was last told of each
	s.stream(func() {
		s.succeed("connect", c.Connect(l.Local()))
		peer := l.Accept()
		c.Shutdown(unix.SHUT_WR)
		peer.WaitEOF()
		peer.Close()
		c.WaitEOF()
		s.succeed("disconnect", c.Disconnect())
		s.succeed("connect again", c.Connect(l.Local()))
	}, func(ev *told) bool {
		if ev.Cookie == fmt.Sprint(c.Cookie()) && ev.Lease != "" {
			leases[ev.Lease] = ev.Kind
		}
		return len(leases) == 2
	})
	kinds := []string{}
	for _, kind := range leases {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, []string{"allocate", "time_wait"}) {
		t.Errorf("the socket's leases: %v, want one that waits and one that was given", leases)
	}
}

// Scenario 22: a namespace that goes ends its leases.
func TestLiveEventsOfANamespaceThatGoes(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	actor := s.actor("leaver")
	l := actor.Socket(tracertest.TCP4)
	s.succeed("bind", l.Bind("127.0.0.1:30000"))
	s.succeed("listen", l.Listen(8))
	const waits = 5
	ended := map[string]bool{}
	s.stream(func() {
		if n, _ := actor.ExhaustConnect(l.Local(), waits, true); n != waits {
			t.Errorf("%d connections", n)
		}
		for range waits { // else their end would reset the TIME_WAITs
			peer := l.Accept()
			peer.WaitEOF()
			peer.Close()
		}
		s.release()
	}, func(ev *told) bool {
		if ev.Kind == "release" && ev.Cause == "netns" {
			ended[ev.Lease] = true
		}
		return len(ended) == waits
	})
}

// stopped is what happens while portwatch is stopped, and cannot read.
func (s *scene) stopped(act func()) {
	s.Helper()
	if err := s.process.Signal(syscall.SIGSTOP); err != nil {
		s.Fatal(err)
	}
	act()
	if err := s.process.Signal(syscall.SIGCONT); err != nil {
		s.Fatal(err)
	}
}

// Scenario 17: a ring that overflows is told with what did not fit, by kind; the
// picture is incomplete from there on, until a walk has healed it.
//
// It runs alone, like the next one: others would fill a small ring again.
func TestLiveEventsTellWhatIsLost(t *testing.T) {
	s := newScene(t)
	to := s.server("0.0.0.0:9000", true)
	s.ns.SetRange(10000, 60000)
	client := s.actor("client")
	const made = 3000 // of more than 200 bytes each
	l := startLive(t, "events", "-o", "jsonl", "--ring-kib", "512", "-N", fmt.Sprintf("inode:%d", s.ns.Inode()), "--for", "60s")
	s.process = l.Process
	s.stopped(func() {
		if n, errno := client.ExhaustConnect(netip.AddrPortFrom(netip.MustParseAddr("127.0.1.1"), to.Port()), made, true); n != made {
			t.Errorf("%d connections: %v", n, errno)
		}
	})
	lost := map[string]int{}
	var after []string
	s.read(l, func(ev *told) bool {
		switch {
		case ev.Kind == "lost" && ev.Cause == "ring":
			lost[ev.What] += ev.Count
			after = nil
		case ev.Kind == "correction" && ev.Correction != "holds" && len(lost) > 0:
			after = append(after, ev.Correction)
		}
		return len(after) == 2
	})
	for _, kind := range []string{"allocate", "state", "time_wait"} {
		if lost[kind] == 0 {
			t.Errorf("lost %v, want some of kind %s", lost, kind)
		}
	}
	if diff := cmp.Diff([]string{"begin", "end"}, after); diff != "" {
		t.Errorf("after the last loss (-want +got):\n%s", diff)
	}
}

// Scenario 17: the answer counts what was lost, and is complete again: each port
// that waits has its owner.
func TestLiveBlameAfterAnOverflow(t *testing.T) {
	s := newScene(t)
	s.linger = 10 * time.Second // and until it has healed
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.1.1"), s.server("0.0.0.0:9000", true).Port())
	s.ns.SetRange(10000, 60000)
	client := s.actor("client")
	const made = 3000
	a := s.ask(fields.Blame, func() {
		s.stopped(func() {
			if n, errno := client.ExhaustConnect(to, made, true); n != made {
				t.Errorf("%d connections: %v", n, errno)
			}
		})
	}, "blame", "--ring-kib", "512")
	if a.LostEvents == 0 || !a.Complete {
		t.Errorf("%d events lost, complete %v; want some, and true", a.LostEvents, a.Complete)
	}
	if len(a.Culprits) == 0 {
		t.Fatal("nobody holds the ports")
	}
	if c := a.Culprits[0]; c.Owner.PID != client.PID || c.Ports != made {
		t.Errorf("culprit %+v, want %d ports of %d", c, made, client.PID)
	}
}

// Scenarios 17 and 18: a reader that was stopped under load heals, and has missed
// no refusal.
func TestLiveBlameAfterAStop(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.linger = 6 * time.Second // and until it has healed
	s.ns.SetRange(10000, 60000)
	s.server("0.0.0.0:9000", true)
	held := s.server("127.0.0.1:9001", false)
	client, flooder := s.actor("client"), s.actor("flooder")
	a := s.ask(fields.Blame, func() {
		s.stopped(func() {
			client.Churn(netip.MustParseAddrPort("127.0.1.1:9000"), 10)
			flooder.Repeat(held.String(), 100000)
			made, err := client.Calm()
			if err != nil {
				t.Errorf("churn: %v", err)
			}
			t.Logf("%d connections and 100,000 refusals while it was stopped", made)
		})
	}, "blame")
	if !a.Complete {
		t.Error("the picture is not complete at the end")
	}
	failures := 0
	for _, v := range a.Victims {
		if v.Owner.PID == flooder.PID {
			failures = v.Failures
		}
	}
	if failures != 100000 {
		t.Errorf("%d refusals of the flood, want 100000", failures)
	}
	for _, c := range a.Culprits {
		if c.Pool != nil && c.Owner.PID != client.PID && c.Owner.Kind != "unknown" {
			t.Errorf("a wrong owner: %+v", c)
		}
	}
}
