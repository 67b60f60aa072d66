package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/schematest"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// The questions that blame and status answer, asked of the real command while
// real processes exhaust private namespaces.

// answer is what the tests read of both documents.
type answer struct {
	Summary                      string
	Complete                     bool
	LostEvents                   int     `json:"lost_events"`
	UnattributedRatio            float64 `json:"unattributed_ratio"`
	AttributionCompleteInSeconds float64 `json:"attribution_complete_in_seconds"`
	Culprits                     []struct {
		Pool      *string
		Owner     answeredOwner
		Ports     int
		TimeWait  int `json:"time_wait"`
		Poisoned  int
		Share     float64
		Diagnoses []string
		Remedies  []struct{ ID string }
	}
	Victims []struct {
		Owner    answeredOwner
		Failures int
		Errnos   map[string]int
	}
	Failures []struct {
		Owner       answeredOwner
		Operation   string
		Reason      string
		LocalPort   int `json:"local_port"`
		Explanation string
		Holders     []struct {
			Owner            answeredOwner
			State            string
			Share            float64
			ExpiresInSeconds *float64 `json:"expires_in_seconds"`
		}
	}
	Namespaces []struct {
		TCP struct {
			Accepted      int
			Bind0Attempts int `json:"bind0_attempts"`
		}
	}
	Pools []answeredPool
	Peak  *answeredPool
}

type answeredOwner struct {
	Kind   string
	PID    int
	Comm   string
	Exited bool
}

type answeredPool struct {
	Request          string
	Family           string
	LocalAddr        string `json:"local_addr"`
	SynSent          int    `json:"syn_sent"`
	RemotePort       int    `json:"remote_port"`
	Capacity         int
	Poisoned         int
	InUse            int `json:"in_use"`
	TimeWait         int `json:"time_wait"`
	TimeWaitReusable int `json:"time_wait_reusable"`
	Headroom         int
	PastCliff        bool `json:"past_cliff"`
	Level            string
}

// scene is a private namespace with a range of 100 ports.
type scene struct {
	*testing.T
	ns      *tracertest.NS
	process *os.Process // the portwatch that watches, while actors act
	actors  []*tracertest.Actor
	linger  time.Duration // how long it watches on when they have
}

func newScene(t *testing.T) *scene {
	t.Helper()
	ns := tracertest.PrivateNetNS(t)
	ns.SetRange(40000, 40099)
	return &scene{T: t, ns: ns, linger: time.Second}
}

func (s *scene) actor(name string) *tracertest.Actor {
	s.Helper()
	a := tracertest.StartActor(s, s.ns, name)
	s.actors = append(s.actors, a)
	return a
}

// release ends the actors, and with them the namespace.
func (s *scene) release() {
	s.Helper()
	for _, a := range s.actors {
		a.Exit()
	}
	s.ns.Release()
}

// server listens; a serving one closes when its clients have.
func (s *scene) server(addr string, serving bool) netip.AddrPort {
	s.Helper()
	kind := tracertest.TCP4
	if strings.HasPrefix(addr, "[") {
		kind = tracertest.TCP6
	}
	l := s.actor("server").Socket(kind)
	for _, errno := range []syscall.Errno{l.Bind(addr), l.Listen(1024)} {
		if errno != 0 {
			s.Fatal(errno)
		}
	}
	local := l.Local()
	if serving {
		l.Serve()
	}
	return local
}

func (s *scene) succeed(what string, errno syscall.Errno) {
	s.Helper()
	if errno != 0 {
		s.Fatalf("%s: %v", what, errno)
	}
}

// ask runs a verb, lets the actors act as soon as all sockets were read, stops it
// once it has told what happened up to a while after that, and returns its
// document. However slow the machine is, nothing is cut off.
func (s *scene) ask(schema fields.Schemer, act func(), args ...string) answer {
	s.Helper()
	args = append(args, "-o", "json", "--for", "5m", "--log-level", "debug", "-N", fmt.Sprintf("inode:%d", s.ns.Inode()))
	cmd := liveCmd(s.T, args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = cmd.Process.Kill() })
	talk := bufio.NewReader(stderr)
	hear := func(done func(line string) bool) {
		for line := ""; !done(line); {
			if line, err = talk.ReadString('\n'); err != nil {
				s.Fatalf("%v: %v: %s", args, err, line)
			}
		}
	}
	hear(func(line string) bool { return strings.Contains(line, "all sockets were read") })
	s.process = cmd.Process
	act()
	enough := bootNow() + event.Time(s.linger)
	hear(func(line string) bool {
		_, at, _ := strings.Cut(line, `{"boot_ns": `)
		at, _, frame := strings.Cut(at, "}")
		told, err := strconv.ParseUint(at, 10, 64)
		return frame && err == nil && event.Time(told) >= enough
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		s.Fatal(err)
	}
	rest, _ := io.ReadAll(talk)
	if err := cmd.Wait(); err != nil {
		s.Fatalf("%v: %v\n%s", args, err, rest)
	}
	text, err := schema.Schema()
	if err != nil {
		s.Fatal(err)
	}
	if err := schematest.Validate(text, out.Bytes()); err != nil {
		s.Errorf("%v: %v", args, err)
	}
	var a answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		s.Fatal(err)
	}
	return a
}

// says checks that the sentence holds all of the words.
func (s *scene) says(sentence string, words ...string) {
	s.Helper()
	for _, word := range words {
		if !strings.Contains(sentence, word) {
			s.Errorf("no %q in %q", word, sentence)
		}
	}
}

// towards is the pool of connections to a port.
func (s *scene) towards(a answer, port uint16) answeredPool {
	s.Helper()
	for _, p := range a.Pools {
		if p.RemotePort == int(port) {
			return p
		}
	}
	s.Fatalf("no pool towards port %d: %+v", port, a.Pools)
	return answeredPool{}
}

// Scenario 1: the culprit has exited, the victim came later; asked about the
// victim alone, the answer names the culprit still.
func TestLiveBlameNamesTheCulprit(t *testing.T) {
	for _, filtered := range []bool{false, true} {
		t.Run(fmt.Sprintf("of the victim alone %t", filtered), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			to := s.server("127.0.0.1:30000", true)
			culprit, victim := s.actor("culprit"), s.actor("victim")
			args := []string{"blame"}
			failures := 2
			if filtered {
				args, failures = append(args, "-p", fmt.Sprint(victim.PID)), 1
			}
			a := s.ask(fields.Blame, func() {
				if n, _ := culprit.ExhaustConnect(to, 1000, true); n != 100 {
					t.Errorf("%d connections, want 100", n)
				}
				culprit.Exit()
				if errno := victim.Socket(tracertest.TCP4).Connect(to); errno != syscall.EADDRNOTAVAIL {
					t.Errorf("victim: %v", errno)
				}
			}, args...)
			s.says(a.Summary, "Of the 100 local ports", "100 are taken, all of them in TIME_WAIT, all left by `culprit`",
				fmt.Sprintf("pid %d", culprit.PID), "exited", "the first failure was pid")
			first := a.Culprits[0]
			if first.Owner.PID != culprit.PID || !first.Owner.Exited || first.Ports != 100 || first.Share != 1 || !slices.Contains(first.Diagnoses, "churn") {
				t.Errorf("culprit = %+v", first)
			}
			if len(a.Failures) != failures || a.Failures[0].Owner.PID != victim.PID || a.Failures[0].Holders[0].Owner.PID != culprit.PID {
				t.Errorf("failures = %+v", a.Failures)
			}
			if last := a.Victims[len(a.Victims)-1]; last.Owner.PID != victim.PID || last.Errnos["EADDRNOTAVAIL"] != 1 {
				t.Errorf("victims = %+v", a.Victims)
			}
			if a.Peak == nil || a.Peak.InUse != 100 || a.Peak.Level != "critical" {
				t.Errorf("peak = %+v", a.Peak)
			}
		})
	}
}

// Scenario 2: a port that is asked for is held in each way in which it can be.
func TestLiveBlameNamesTheHolder(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	to := s.server("127.0.0.1:30000", true)
	listener, client, gone, binder, asker := s.actor("listener"), s.actor("client"), s.actor("gone"), s.actor("binder"), s.actor("asker")
	type holding struct {
		pid   int
		state string
	}
	want := map[int]holding{}
	a := s.ask(fields.Blame, func() {
		l := listener.Socket(tracertest.TCP4)
		s.succeed("bind", l.Bind("127.0.0.1:8080"))
		s.succeed("listen", l.Listen(1))
		b := binder.Socket(tracertest.TCP4)
		s.succeed("bind", b.Bind("127.0.0.1:8081"))
		c := client.Socket(tracertest.TCP4)
		s.succeed("connect", c.Connect(to))
		w := gone.Socket(tracertest.TCP4)
		s.succeed("connect", w.Connect(to))
		connected, waiting := int(c.Local().Port()), int(w.Local().Port())
		w.Shutdown(unix.SHUT_WR)
		w.WaitEOF()
		w.Close()
		gone.Exit()
		want[8080], want[8081] = holding{listener.PID, "LISTEN"}, holding{binder.PID, "BOUND"}
		want[connected], want[waiting] = holding{client.PID, "ESTABLISHED"}, holding{gone.PID, "TIME_WAIT"}
		for port := range want {
			if errno := asker.Socket(tracertest.TCP4).Bind(fmt.Sprintf("127.0.0.1:%d", port)); errno != syscall.EADDRINUSE {
				t.Errorf("bind to %d: %v", port, errno)
			}
		}
	}, "blame")
	if len(a.Failures) != len(want) {
		t.Errorf("failures = %+v, want %d", a.Failures, len(want))
	}
	for _, f := range a.Failures {
		holds, asked := want[f.LocalPort]
		if !asked || len(f.Holders) != 1 || f.Holders[0].Owner.PID != holds.pid || f.Holders[0].State != holds.state {
			t.Errorf("port %d: %+v, want %+v", f.LocalPort, f.Holders, holds)
			continue
		}
		if left := f.Holders[0].ExpiresInSeconds; holds.state == "TIME_WAIT" && (left == nil || *left < 50 || *left > 63) {
			t.Errorf("port %d comes back in %v", f.LocalPort, left)
		}
		s.says(f.Explanation, "asker", fmt.Sprint(holds.pid))
	}
	s.says(a.Summary, "No request was refused for want of ports", "4 requests were refused for other reasons")
}

// Scenario 3: bind(0) until there is no headroom.
func TestLiveBlameOfBind(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	holder, other := s.actor("holder"), s.actor("other")
	a := s.ask(fields.Blame, func() {
		if n, errno := holder.ExhaustBind(tracertest.TCP4, "127.0.0.1:0", 90); n != 90 {
			t.Errorf("%d, %v", n, errno)
		}
		if n, errno := other.ExhaustBind(tracertest.TCP4, "127.0.0.1:0", 1000); n != 10 || errno != syscall.EADDRINUSE {
			t.Errorf("%d, %v", n, errno)
		}
	}, "blame")
	f := a.Failures[0]
	if f.Reason != "range_exhausted" || f.Owner.PID != other.PID || len(f.Holders) != 2 ||
		f.Holders[0].Owner.PID != holder.PID || math.Abs(f.Holders[0].Share-0.9) > 1e-9 {
		t.Errorf("failure = %+v", f)
	}
	s.says(a.Summary, "Of the 100 local ports that bind(0) may be given at 127.0.0.1", "90 % by `holder`", "`other`, a victim,")
}

// Scenarios 5 and 14: ports that are bound are lost for all destinations; who
// binds before it connects is told so.
func TestLiveBlameNamesThePoisoner(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	to := s.server("127.0.0.1:30000", false)
	binder, early, client := s.actor("binder"), s.actor("early"), s.actor("client")
	a := s.ask(fields.Blame, func() {
		for port := uint16(40000); port < 40050; port++ {
			addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
			s.succeed("bind", binder.Socket(tracertest.TCP4).Bind(addr.String()))
		}
		for range 20 {
			c := early.Socket(tracertest.TCP4)
			s.succeed("bind(0)", c.Bind("127.0.0.1:0"))
			s.succeed("connect", c.Connect(to))
		}
		s.succeed("connect", client.Socket(tracertest.TCP4).Connect(to))
	}, "blame")
	if p := s.towards(a, to.Port()); p.Capacity != 30 || p.Poisoned != 70 || p.InUse != 1 {
		t.Errorf("pool = %+v", p)
	}
	found := map[int][]string{}
	for _, c := range a.Culprits {
		if c.Pool != nil && c.Poisoned > 0 {
			found[c.Owner.PID] = c.Diagnoses
		}
	}
	if !slices.Contains(found[binder.PID], "poisoning") || !slices.Contains(found[binder.PID], "fixed_port_in_range") {
		t.Errorf("binder: %v", found[binder.PID])
	}
	if !slices.Contains(found[early.PID], "bind_before_connect") {
		t.Errorf("early: %v", found[early.PID])
	}
}

// Scenarios 6 and 7: past the cliff, and a pool whose TIME_WAITs may be taken over.
func TestLiveStatusOfPools(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	half, again := s.server("127.0.0.1:30000", false), s.server("127.0.0.1:30001", true)
	client := s.actor("client")
	a := s.ask(fields.Status, func() {
		if n, _ := client.ExhaustConnect(half, 51, false); n != 51 {
			t.Errorf("%d connections", n)
		}
		for range 30 {
			c := client.Socket(tracertest.TCP4)
			s.succeed("connect", c.Connect(again))
			c.Shutdown(unix.SHUT_WR)
			c.WaitEOF()
			c.Close()
		}
		s.ns.Sysctl("net.ipv4.tcp_tw_reuse", "1")
		s.succeed("connect", client.Socket(tracertest.TCP4).Connect(half)) // the new setting is told with it
	}, "status")
	if p := s.towards(a, half.Port()); !p.PastCliff || p.InUse != 52 || p.Headroom != 48 || p.Level != "warning" {
		t.Errorf("past the cliff: %+v", p)
	}
	if p := s.towards(a, again.Port()); p.TimeWait != 30 || p.TimeWaitReusable != 30 || p.Headroom != 100 || p.Level != "ok" {
		t.Errorf("may be taken over: %+v", p)
	}
}

// Started into a pool that is full of the TIME_WAIT of a process that has exited,
// under continuing load: the first answer names nobody wrongly, and says how much
// is not known and for how long.
func TestLiveBlameInTheFirstMinute(t *testing.T) {
	s := newScene(t)
	to := s.server("127.0.0.1:30000", true)
	before, load := s.actor("before"), s.actor("load")
	if n, _ := before.ExhaustConnect(to, 80, true); n != 80 {
		t.Fatalf("%d connections", n)
	}
	before.Exit()
	load.Churn(to, 1)
	l := startLive(t, "blame", "-N", fmt.Sprintf("inode:%d", s.ns.Inode()))
	rest := make([]byte, 1<<16)
	n, err := l.out.Read(rest)
	if err != nil {
		t.Fatal(err)
	}
	first := string(rest[:n])
	s.says(unwrap(first), "owners known for", "of all TIME_WAIT in", "unknown", fmt.Sprintf("load[%d]", load.PID))
	if strings.Contains(first, fmt.Sprint(before.PID)) {
		t.Errorf("the process that exited before the start is named:\n%s", first)
	}
	if err := l.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := l.ended(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}

	a := s.ask(fields.Blame, func() {}, "blame")
	unknown := 0
	for _, c := range a.Culprits {
		switch {
		case c.Owner.Kind == "unknown":
			unknown = c.Ports
		case c.Owner.PID != load.PID:
			t.Errorf("culprit %+v, who holds nothing", c)
		}
	}
	if unknown < 80 || a.UnattributedRatio <= 0 || a.AttributionCompleteInSeconds <= 0 || a.AttributionCompleteInSeconds > 63 {
		t.Errorf("%d unknown ports, ratio %v, complete in %v s", unknown, a.UnattributedRatio, a.AttributionCompleteInSeconds)
	}
	load.Calm()
}
