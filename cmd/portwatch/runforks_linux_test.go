package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// threadCommand is the name under which the test binary runs its arguments as a
// command that a thread of it has forked, which is not its leader.
const threadCommand = "fork-on-thread"

func onThread() {
	runtime.LockOSThread() // the leader, or whichever: the next is another one
	if unix.Gettid() == os.Getpid() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			onThread()
		}()
		<-done
		return
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// gate is a FIFO by which a test and a shell wait for each other.
func gate(t *testing.T, name string) *os.File {
	t.Helper()
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0) // opens at once, and ends never
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// What a command starts is its own, and what somebody else starts meanwhile is
// not: by a control group, and by forks where it can have none.
func TestRunTellsTheTreeApart(t *testing.T) {
	const (
		child = "EATER & wait"
		// The daemon's parent has exited before the daemon begins.
		daemon = "mkfifo go; (setsid sh -c 'read x < go; EATER; echo > done' &); mkfifo done; echo > go; read x < done"
		thread = "exec -a " + threadCommand + " SELF EATER"
	)
	for _, tt := range []struct{ name, program, script, by, why string }{
		{"child by group", liveCommand, child, "cgroup", ""},
		{"daemon by group", liveCommand, daemon, "cgroup", ""},
		{"child by forks", ungroupedCommand, child, "forks", "make control group: no cgroup2 hierarchy is mounted"},
		{"daemon by forks", ungroupedCommand, daemon, "forks", "make control group: no cgroup2 hierarchy is mounted"},
		{"thread's child by forks", ungroupedCommand, thread, "forks", "make control group: no cgroup2 hierarchy is mounted"},
		{"child of a lost group", lostGroupCommand, child, "forks", "start in control group: no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) { runApart(t, tt.program, tt.script, tt.by, tt.why) })
	}
}

func runApart(t *testing.T, program, script, by, why string) {
	ns := tracertest.PrivateNetNS(t)
	ns.SetRange(40000, 40099)
	l := tracertest.StartActor(t, ns, "server").Socket(tracertest.TCP4)
	if errno := l.Bind("127.0.0.1:30000"); errno != 0 {
		t.Fatal(errno)
	}
	if errno := l.Listen(1024); errno != 0 {
		t.Fatal(errno)
	}
	to := l.Local()
	l.Serve()
	dir := t.TempDir()
	began, on := gate(t, filepath.Join(dir, "began")), gate(t, filepath.Join(dir, "on"))
	eater := filepath.Join(dir, "eater")
	self := fmt.Sprintf("/proc/%d/exe", os.Getpid())
	if err := os.WriteFile(eater, fmt.Appendf(nil, "#!/bin/bash\nexec -a %s %s %s\n", eaterCommand, self, to), 0o755); err != nil {
		t.Fatal(err)
	}
	other := tracertest.StartActor(t, ns, "neighbour")
	acted := make(chan int, 1)
	go func() {
		_, _ = began.Read(make([]byte, 1))
		n, _ := other.ExhaustConnect(to, 20, false)
		_, _ = on.WriteString("\n")
		acted <- n
	}()
	words := strings.NewReplacer("DIR", dir, "EATER", eater, "SELF", self)
	r := runAs(t, program, ns, nil, "bash", "-c", words.Replace("cd DIR; echo > began; read x < on; "+script))
	if n := <-acted; n != 20 {
		t.Fatalf("the neighbour has %d connections, want 20", n)
	}

	if r.code != 0 || r.report.ToldApartBy != by || r.report.NoCgroup != why {
		t.Errorf("code %d, told by %q, because %q; stderr:\n%s", r.code, r.report.ToldApartBy, r.report.NoCgroup, r.stderr)
	}
	if r.report.Own.Allocations != 80 || r.report.Own.Failures == 0 {
		t.Errorf("own: %+v, want 80 allocations and a failure", r.report.Own)
	}
	if lost := r.report.ForksLost; (lost != nil) != (by == "forks") || lost != nil && *lost != 0 {
		t.Errorf("forks lost: %v", lost)
	}
	if strings.Contains(r.report.Summary, "Its processes are known by their forks") != (by == "forks") {
		t.Errorf("summary: %s", r.report.Summary)
	}
	for comm, own := range map[string]bool{"exe": true, "neighbour": false} {
		ports := 0
		for _, c := range r.report.Blame.Culprits {
			if c.Owner.Comm == comm && c.OfCommand == own && c.Owner.Confidence == "exact" {
				ports += c.Ports
			}
		}
		if want := map[bool]int{true: 80, false: 20}[own]; ports != want {
			t.Errorf("%s: %d ports, want %d as the command's %t: %+v", comm, ports, want, own, r.report.Blame.Culprits)
		}
	}
}
