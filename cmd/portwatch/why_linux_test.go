package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// heldDoc is a holder in the JSON document of why.
type heldDoc struct {
	Owner struct {
		Comm, Kind, Confidence string
		PID                    int
	}
	Ports, Processes int
	State, Origin    string
	Expires          *float64 `json:"expires_in_seconds"`
	InTheWay         *bool    `json:"in_the_way"`
	LocalAddr        string   `json:"local_addr"`
	NetNS            uint32
	SameFarEnd       []struct {
		PID     int
		Started time.Time `json:"start_time"`
	} `json:"same_far_end"`
}

// portDoc is the answer about one port.
type portDoc struct {
	Holders, Elsewhere []heldDoc
	WouldFail          *bool `json:"bind_would_fail"`
	Binds              []struct {
		LocalAddr string `json:"local_addr"`
		ReuseAddr bool   `json:"reuse_addr"`
		ReusePort bool   `json:"reuse_port"`
		WouldFail *bool  `json:"would_fail"`
		Errno     string
	}
	Explanation string
}

// askWhy runs the real portwatch why in a namespace.
func askWhy(t *testing.T, ns *tracertest.NS, args ...string) portDoc {
	t.Helper()
	code, stdout, stderr := runLive(t, liveCmd(t, append([]string{"why", "-o", "json", "-N", inode(ns)}, args...)...))
	var document struct{ Ports []portDoc }
	if err := json.Unmarshal([]byte(stdout), &document); err != nil || code != exitOK || len(document.Ports) != 1 {
		t.Fatalf("why %v: exit code %d, %v, stderr %s", args, code, err, stderr)
	}
	return document.Ports[0]
}

// holderScene is one way for a port to be held.
type holderScene struct {
	name string
	// set makes it so on port 36601, and answers who holds it: nil for nobody.
	set func(*testing.T, *holderStage) *tracertest.Actor
	// What must be said of the first holder, and which bind()s work.
	state, says        string
	reuseAddr, succeed bool
}

// holderStage is where the scenes play.
type holderStage struct {
	ns, other      *tracertest.NS
	holder, server *tracertest.Actor
	far            netip.AddrPort
}

const heldPort = "127.0.0.1:36601"

func holderScenes() []holderScene {
	return []holderScene{
		{"a listener", func(t *testing.T, s *holderStage) *tracertest.Actor {
			s.bound(t, s.holder).Listen(1)
			return s.holder
		}, "LISTEN", "holder[", false, false},
		{"another program's outgoing connection", func(t *testing.T, s *holderStage) *tracertest.Actor {
			s.ns.SetRange(36601, 36601)
			s.connected(t)
			return s.holder
		}, "ESTABLISHED", "uses the port for its connection to 127.0.0.1:7000", false, false},
		{"TIME_WAIT of an exited program", func(t *testing.T, s *holderStage) *tracertest.Actor {
			s.ns.SetRange(36601, 36601)
			s.connected(t).CloseAcked()
			s.holder.Exit()
			return nil
		}, "TIME_WAIT", "lsof shows nothing", false, false},
		{"a socket that is bound and nothing else", func(t *testing.T, s *holderStage) *tracertest.Actor {
			s.bound(t, s.holder)
			return s.holder
		}, "BOUND", "has bound 127.0.0.1:36601", true, false},
		{"a child of a listener that has exited", func(t *testing.T, s *holderStage) *tracertest.Actor {
			child, _ := s.accepted(t)
			worker := tracertest.StartActor(t, s.ns, "worker")
			child.PassTo(worker)
			s.holder.Exit()
			return worker
		}, "ESTABLISHED", "worker[", true, false},
		{"server-side TIME_WAIT of a listener that has exited", func(t *testing.T, s *holderStage) *tracertest.Actor {
			child, _ := s.accepted(t)
			child.CloseAcked()
			s.holder.Exit()
			return nil
		}, "TIME_WAIT", "lsof shows nothing", true, false},
		{"the same port in another namespace", func(t *testing.T, s *holderStage) *tracertest.Actor {
			stranger := tracertest.StartActor(t, s.other, "stranger")
			s.bound(t, stranger).Listen(1)
			return nil
		}, "", "works: nothing holds the port", true, true},
	}
}

func (s *holderStage) bound(t *testing.T, by *tracertest.Actor) *tracertest.Socket {
	t.Helper()
	k := by.Socket(tracertest.TCP4)
	k.Set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) // as servers do: it passes to what they accept
	if errno := k.Bind(heldPort); errno != 0 {
		t.Fatal(errno)
	}
	return k
}

func (s *holderStage) connected(t *testing.T) *tracertest.Socket {
	t.Helper()
	k := s.holder.Socket(tracertest.TCP4)
	if errno := k.Connect(s.far); errno != 0 {
		t.Fatal(errno)
	}
	return k
}

// accepted is a connection that the holder accepted on the port, with its client.
func (s *holderStage) accepted(t *testing.T) (child, client *tracertest.Socket) {
	t.Helper()
	listener := s.bound(t, s.holder)
	listener.Listen(1)
	client = s.server.Socket(tracertest.TCP4)
	if errno := client.Connect(netip.MustParseAddrPort(heldPort)); errno != 0 {
		t.Fatal(errno)
	}
	child = listener.Accept()
	return child, client
}

func TestScenarioWhoHoldsThePort(t *testing.T) {
	for _, scene := range holderScenes() {
		t.Run(scene.name, func(t *testing.T) {
			s := &holderStage{ns: tracertest.PrivateNetNS(t), other: tracertest.PrivateNetNS(t)}
			s.holder, s.server = tracertest.StartActor(t, s.ns, "holder"), tracertest.StartActor(t, s.ns, "server")
			far := s.server.Socket(tracertest.TCP4)
			s.far = netip.MustParseAddrPort("127.0.0.1:7000")
			if errno := errors.Join(error(far.Bind(s.far.String())), error(far.Listen(8))); !errors.Is(errno, syscall.Errno(0)) {
				t.Fatal(errno)
			}
			checkHolder(t, s, &scene, scene.set(t, s))
		})
	}
}

func checkHolder(t *testing.T, s *holderStage, scene *holderScene, owner *tracertest.Actor) {
	t.Helper()
	p := askWhy(t, s.ns, heldPort)
	if !strings.Contains(p.Explanation, scene.says) {
		t.Errorf("explanation %q, want %q in it", p.Explanation, scene.says)
	}
	if scene.succeed {
		if len(p.Holders) != 0 || !slices.ContainsFunc(p.Elsewhere, func(h heldDoc) bool { return h.Owner.Comm == "stranger" && h.NetNS == s.other.Inode() }) {
			t.Errorf("holders %+v, elsewhere %+v; want the stranger elsewhere", p.Holders, p.Elsewhere)
		}
	} else {
		checkFirst(t, scene, p.Holders, owner)
	}
	asker := tracertest.StartActor(t, s.ns, "asker")
	for i := range p.Binds {
		b := &p.Binds[i]
		if b.LocalAddr != "127.0.0.1" {
			continue
		}
		k := asker.Socket(tracertest.TCP4)
		for option, on := range map[int]bool{unix.SO_REUSEADDR: b.ReuseAddr, unix.SO_REUSEPORT: b.ReusePort} {
			if on {
				k.Set(unix.SOL_SOCKET, option, 1)
			}
		}
		errno := k.Bind(heldPort)
		k.Close()
		if b.WouldFail == nil || *b.WouldFail != (errno != 0) || (errno == syscall.EADDRINUSE) != (b.Errno == "EADDRINUSE") {
			t.Errorf("%+v, and the kernel says %v", b, errno)
		}
		if b.ReuseAddr && (errno == 0) != scene.reuseAddr {
			t.Errorf("with SO_REUSEADDR the kernel says %v", errno)
		}
	}
	if p.WouldFail == nil || *p.WouldFail == scene.succeed {
		t.Errorf("bind_would_fail is %v", p.WouldFail)
	}
}

// checkFirst checks the first holder: who it is, in which state, until when.
func checkFirst(t *testing.T, scene *holderScene, holders []heldDoc, owner *tracertest.Actor) {
	t.Helper()
	if len(holders) == 0 {
		t.Fatal("nobody holds the port")
	}
	h := &holders[0]
	if h.State != scene.state || h.InTheWay == nil || !*h.InTheWay {
		t.Errorf("the holder is %+v, want one in %s, in the way", h, scene.state)
	}
	switch {
	case owner == nil && h.Owner.Kind != "unknown":
		t.Errorf("the owner is %+v, want nobody", h.Owner)
	case owner != nil && (h.Owner.PID != owner.PID || h.Owner.Confidence != "snapshot"):
		t.Errorf("the owner is %+v, want %d", h.Owner, owner.PID)
	}
	waits := scene.state == "TIME_WAIT"
	if waits && (h.Expires == nil || *h.Expires <= 0 || *h.Expires > 66) || !waits && h.Expires != nil {
		t.Errorf("it ends in %v s", h.Expires)
	}
}

// A TIME_WAIT names who talks to its far end, as evidence.
func TestWhyEvidence(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	to := serve(t, ns, "127.0.0.1:8080")
	ended, talker := tracertest.StartActor(t, ns, "ended"), tracertest.StartActor(t, ns, "talker")
	s := ended.Socket(tracertest.TCP4)
	s.Bind(heldPort)
	if errno := errors.Join(error(s.Connect(to)), error(talker.Socket(tracertest.TCP4).Connect(to))); !errors.Is(errno, syscall.Errno(0)) {
		t.Fatal(errno)
	}
	s.CloseAcked()
	h := askWhy(t, ns, heldPort).Holders
	if len(h) != 1 || h[0].Owner.Kind != "unknown" || len(h[0].SameFarEnd) != 1 || h[0].SameFarEnd[0].PID != talker.PID {
		t.Fatalf("%+v, want an unknown owner, and the talker as evidence", h)
	}
	if began := h[0].SameFarEnd[0].Started; began.After(time.Now()) || time.Since(began) > time.Minute {
		t.Errorf("the talker started at %v, and it is %v", began, time.Now())
	}
}

// For whom the verdict holds: the process's namespace, user and capabilities.
func TestWhyForAProcess(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	able, powerless := tracertest.StartActor(t, ns, "able"), tracertest.StartActor(t, ns, "powerless")
	powerless.DropCapabilities()
	for _, tt := range []struct {
		who  *tracertest.Actor
		want string
	}{{able, ""}, {powerless, "EACCES"}} {
		code, stdout, stderr := runLive(t, liveCmd(t, "why", "80", "-o", "json", "-p", fmt.Sprint(tt.who.PID)))
		var document struct{ Ports []portDoc }
		if err := json.Unmarshal([]byte(stdout), &document); err != nil || code != exitOK {
			t.Fatalf("exit code %d, %v, %s", code, err, stderr)
		}
		if got := document.Ports[0].Binds[0].Errno; got != tt.want {
			t.Errorf("for %d bind() to port 80 gives %q, want %q", tt.who.PID, got, tt.want)
		}
	}
}

// --wait returns when bind() would work, and not before.
func TestWhyWait(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	holder := tracertest.StartActor(t, ns, "holder")
	k := holder.Socket(tracertest.TCP4)
	if errno := k.Bind(heldPort); errno != 0 {
		t.Fatal(errno)
	}
	args := []string{"why", heldPort, "-N", inode(ns), "--wait"}
	if code, stdout, _ := runLive(t, liveCmd(t, append(args, "--for", "100ms")...)); code != exitFailure || !strings.Contains(stdout, "EADDRINUSE") {
		t.Errorf("at the end of --for: exit code %d, %q", code, stdout)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Args[0] = liveCommand
	talk, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(talk).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "Waiting: ") {
		t.Fatalf("it says %q, %v; want that it waits", line, err)
	}
	k.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("it did not return when the port was given back: %v", err)
	}
}

// Without a port the next refusal is explained, with who holds what was asked for.
func TestWhyNextRefusal(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	holder, victim := tracertest.StartActor(t, ns, "holder"), tracertest.StartActor(t, ns, "victim")
	if errno := holder.Socket(tracertest.TCP4).Bind(heldPort); errno != 0 {
		t.Fatal(errno)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // an emulated machine takes its time
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "why", "-N", inode(ns), "-o", "json")
	cmd.Args[0] = liveCommand
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for over := false; !over; { // it says nothing once it watches
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			over = true
		case <-again.C:
			victim.Repeat(heldPort, 1)
		}
	}
	var document struct {
		Summary string
		Failure struct{ Owner struct{ PID int } }
		Holders []heldDoc
	}
	if err := json.Unmarshal(out.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if document.Failure.Owner.PID != victim.PID || len(document.Holders) != 1 || document.Holders[0].Owner.PID != holder.PID ||
		!strings.Contains(document.Summary, "victim") {
		t.Errorf("%+v, want the victim's refusal and the holder", document)
	}
}

// --connect counts what connect() gets, per address of the destination.
func TestWhyConnect(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.SetRange(40000, 40019)
	ns.AddAddress(netip.MustParseAddr("10.1.2.3"))
	first, second := serve(t, ns, "127.0.0.1:8080"), serve(t, ns, "10.1.2.3:8080")
	client, binder := tracertest.StartActor(t, ns, "client"), tracertest.StartActor(t, ns, "binder")
	if errno := binder.Socket(tracertest.TCP4).Bind("0.0.0.0:40007"); errno != 0 {
		t.Fatal(errno)
	}
	for range 5 {
		if errno := client.Socket(tracertest.TCP4).Connect(first); errno != 0 {
			t.Fatal(errno)
		}
	}
	for _, tt := range []struct {
		to     netip.AddrPort
		source string
		want   int
	}{{first, "127.0.0.1", 14}, {second, "10.1.2.3", 19}} {
		code, stdout, stderr := runLive(t, liveCmd(t, "why", "--connect", tt.to.String(), "-N", inode(ns), "-o", "json"))
		var document struct {
			Connect []struct {
				LocalAddr string `json:"local_addr"`
				Headroom  *int   `json:"connect_headroom"`
				AtMost    bool   `json:"at_most"`
			}
		}
		if err := json.Unmarshal([]byte(stdout), &document); err != nil || code != exitOK || len(document.Connect) != 1 {
			t.Fatalf("exit code %d, %v, %s", code, err, stderr)
		}
		c := document.Connect[0]
		if c.LocalAddr != tt.source || c.Headroom == nil || *c.Headroom != tt.want || c.AtMost {
			t.Errorf("to %v: %+v, want %d from %s", tt.to, c, tt.want, tt.source)
		}
		if got, errno := client.ExhaustConnect(tt.to, 100, false); got != tt.want || errno != syscall.EADDRNOTAVAIL {
			t.Errorf("to %v the kernel lets %d connect, then %v; want %d", tt.to, got, errno, tt.want)
		}
	}
}
