package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// wall is a row of the JSON document of limits.
type wall struct {
	Name, Owner, Error, Counter, Level, Raise string
	Used, Max                                 *uint64
	CounterTotal                              *uint64 `json:"counter_total"`
}

// walls are the limits as the real portwatch prints them.
func walls(t *testing.T, args ...string) (all []wall, first string) {
	t.Helper()
	code, stdout, stderr := runLive(t, liveCmd(t, append([]string{"limits", "-o", "json"}, args...)...))
	var document struct {
		Limits    []wall
		FirstWall string `json:"first_wall"`
	}
	if err := json.Unmarshal([]byte(stdout), &document); err != nil || code != exitOK || len(document.Limits) == 0 {
		t.Fatalf("limits %v: exit code %d, %v, stderr %s", args, code, err, stderr)
	}
	return document.Limits, document.FirstWall
}

// hitAt checks that the wall is the fullest, quite full, and that the table
// tells the error that the program got.
func hitAt(t *testing.T, all []wall, name, errno string) wall {
	t.Helper()
	w := all[0]
	if w.Name != name {
		t.Fatalf("the fullest limit is %s, want %s", w.Name, name)
	}
	if w.Used == nil || w.Max == nil || *w.Used < *w.Max || w.Level != "critical" {
		t.Errorf("%s: used and max are %v and %v, level %s", name, deref(w.Used), deref(w.Max), w.Level)
	}
	if !strings.Contains(w.Error, errno) {
		t.Errorf("%s: the error is %q, and the program got %s", name, w.Error, errno)
	}
	return w
}

func deref(n *uint64) string {
	if n == nil {
		return "null"
	}
	return strconv.FormatUint(*n, 10)
}

// inode is the word of -N for the namespace.
func inode(ns *tracertest.NS) string { return fmt.Sprintf("inode:%d", ns.Inode()) }

// serve makes a process listen that accepts what comes.
func serve(t *testing.T, ns *tracertest.NS, addr string) netip.AddrPort {
	t.Helper()
	server := tracertest.StartActor(t, ns, "server")
	s := server.Socket(tracertest.TCP4)
	if errno := s.Bind(addr); errno != 0 {
		t.Fatal(errno)
	}
	if errno := s.Listen(128); errno != 0 {
		t.Fatal(errno)
	}
	s.Serve()
	return netip.MustParseAddrPort(addr)
}

func TestWallOfOpenFiles(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	to := serve(t, ns, "127.0.0.1:8080")
	client := tracertest.StartActor(t, ns, "client")
	if err := unix.Prlimit(client.PID, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 40, Max: 50}, nil); err != nil {
		t.Fatal(err)
	}
	if _, errno := client.ExhaustConnect(to, 100, false); errno != syscall.EMFILE {
		t.Fatalf("the client got %v, want EMFILE", errno)
	}
	all, first := walls(t, "-p", strconv.Itoa(client.PID))
	w := hitAt(t, all, "open_files", "EMFILE")
	if *w.Max != 40 || first != "open_files" {
		t.Errorf("max is %d, the first wall %q", *w.Max, first)
	}
	if want := fmt.Sprintf("prlimit --pid %d --nofile=N:50", client.PID); !strings.Contains(w.Raise, want) {
		t.Errorf("to raise it: %q, want %q", w.Raise, want)
	}
}

func TestWallOfEphemeralPorts(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.SetRange(40000, 40019)
	ns.Sysctl("net.ipv4.ip_local_reserved_ports", "40010-40014")
	to := serve(t, ns, "127.0.0.1:8080")
	client := tracertest.StartActor(t, ns, "client")
	count, errno := client.ExhaustConnect(to, 100, false)
	if count != 15 || errno != syscall.EADDRNOTAVAIL {
		t.Fatalf("%d connections, then %v", count, errno)
	}
	all, _ := walls(t, "-N", inode(ns))
	if w := hitAt(t, all, "ephemeral_ports_connect", "EADDRNOTAVAIL"); *w.Max != 15 || !strings.HasSuffix(w.Owner, " to 127.0.0.1:8080") {
		t.Errorf("max is %d, of %s", *w.Max, w.Owner)
	}
	_, first := walls(t, "-p", strconv.Itoa(client.PID))
	if first != "ephemeral_ports_connect" {
		t.Errorf("the client's first wall is %q", first)
	}
}

func TestWallOfTimeWaitBuckets(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.Sysctl("net.ipv4.tcp_max_tw_buckets", "5")
	to := serve(t, ns, "127.0.0.1:8080")
	client := tracertest.StartActor(t, ns, "client")
	if count, errno := client.ExhaustConnect(to, 20, true); count != 20 {
		t.Fatalf("%d connections, then %v", count, errno)
	}
	all, _ := walls(t, "-N", inode(ns))
	w := hitAt(t, all, "time_wait_buckets", "none")
	if w.CounterTotal == nil || *w.CounterTotal == 0 {
		t.Errorf("the counter %s is %s", w.Counter, deref(w.CounterTotal))
	}
}

func TestWallOfAcceptQueue(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.Sysctl("net.ipv4.tcp_syn_retries", "1")
	server, client := tracertest.StartActor(t, ns, "server"), tracertest.StartActor(t, ns, "client")
	s := server.Socket(tracertest.TCP4)
	s.Bind("127.0.0.1:8080")
	s.Listen(1)
	to := netip.MustParseAddrPort("127.0.0.1:8080")
	for range 2 { // one more than the limit is taken
		if errno := client.Socket(tracertest.TCP4).Connect(to); errno != 0 {
			t.Fatal(errno)
		}
	}
	if errno := client.Socket(tracertest.TCP4).Connect(to); errno != syscall.ETIMEDOUT {
		t.Fatalf("the client got %v, want ETIMEDOUT", errno)
	}
	all, _ := walls(t, "-N", inode(ns))
	w := hitAt(t, all, "accept_queue", "ETIMEDOUT")
	if w.Owner != "127.0.0.1:8080" || w.CounterTotal == nil || *w.CounterTotal == 0 {
		t.Errorf("of %s, counter %s", w.Owner, deref(w.CounterTotal))
	}
}

func TestWallOfPrivilegedPorts(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.Sysctl("net.ipv4.ip_unprivileged_port_start", "2000")
	weak := tracertest.StartActor(t, ns, "weak")
	weak.DropCapabilities()
	if errno := weak.Socket(tracertest.TCP4).Bind("127.0.0.1:1999"); errno != syscall.EACCES {
		t.Fatalf("bind() got %v, want EACCES", errno)
	}
	if errno := weak.Socket(tracertest.TCP4).Bind("127.0.0.1:2000"); errno != 0 {
		t.Fatalf("bind() to the first unprivileged port got %v", errno)
	}
	all, _ := walls(t, "-N", inode(ns))
	for _, w := range all {
		if w.Name == "privileged_ports" && (w.Max == nil || *w.Max != 2000 || !strings.Contains(w.Error, "EACCES")) {
			t.Errorf("privileged ports are below %s: %s", deref(w.Max), w.Error)
		}
	}
}

// forkUntilRefused makes a shell fork until the kernel refuses, and returns its
// pid while it tries again.
func forkUntilRefused(t *testing.T, prelude string, attr *syscall.SysProcAttr) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/bash", "-c", prelude+`; while :; do sleep 60 & done`)
	attr.Setpgid = true
	cmd.SysProcAttr = attr
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if !strings.Contains(line, syscall.EAGAIN.Error()) && !strings.Contains(line, "Resource temporarily unavailable") {
		t.Fatalf("the shell says %q, %v; want EAGAIN", line, err)
	}
	return cmd.Process.Pid
}

func TestWallOfUserThreads(t *testing.T) {
	tracertest.RequireRoot(t)
	const lonely = 54321 // a user without other processes
	pid := forkUntilRefused(t, "ulimit -u 4", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: lonely, Gid: lonely}})
	all, _ := walls(t, "-p", strconv.Itoa(pid))
	hitAt(t, all, "user_threads", "EAGAIN")
}

func TestWallOfGroupThreads(t *testing.T) {
	tracertest.RequireRoot(t)
	dir := pidsGroup(t)
	if err := os.WriteFile(filepath.Join(dir, "pids.max"), []byte("4"), 0); err != nil {
		t.Fatal(err)
	}
	pid := forkUntilRefused(t, "echo $$ > "+dir+"/cgroup.procs", &syscall.SysProcAttr{})
	all, first := walls(t, "-p", strconv.Itoa(pid))
	w := hitAt(t, all, "cgroup_threads", "EAGAIN")
	if w.Owner != "/"+filepath.Base(dir) || w.CounterTotal == nil || *w.CounterTotal == 0 {
		t.Errorf("of %s, counter %s", w.Owner, deref(w.CounterTotal))
	}
	if want := "echo N > " + dir + "/pids.max"; first != "cgroup_threads" || !strings.HasPrefix(w.Raise, want) {
		t.Errorf("first wall %s, to raise it: %q, want %q", first, w.Raise, want)
	}
}

// pidsGroup makes a cgroup with the pids controller, of whichever version has
// it here.
func pidsGroup(t *testing.T) string {
	t.Helper()
	root := "/sys/fs/cgroup/pids"
	if _, err := os.Stat(root); err != nil {
		root = "/sys/fs/cgroup"
		_ = os.WriteFile(root+"/cgroup.subtree_control", []byte("+pids"), 0) // may be on
	}
	dir := filepath.Join(root, fmt.Sprintf("portwatch-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := os.Remove(dir)
		for deadline := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(deadline); {
			err = os.Remove(dir) // once its last member, killed before, has died
		}
		if err != nil {
			t.Errorf("remove cgroup: %v", err)
		}
	})
	return dir
}

// A counter that moves while it is watched is what makes a limit critical.
func TestWallIsHitWhileWatched(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.Sysctl("net.ipv4.tcp_max_tw_buckets", "0")
	to := serve(t, ns, "127.0.0.1:8080")
	client := tracertest.StartActor(t, ns, "client")
	cmd := liveCmd(t, "limits", "-N", inode(ns), "--for", "500ms", "-o", "json")
	var stdout strings.Builder
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for watching := true; watching; {
		client.ExhaustConnect(to, 5, true) // each close finds no room for its TIME_WAIT
		select {
		case err := <-ended:
			watching = false
			if err != nil {
				t.Fatal(err)
			}
		default:
		}
	}
	var document struct {
		Summary string
		Window  float64 `json:"window_seconds"`
		Limits  []struct {
			Name, Level string
			Delta       *uint64 `json:"counter_delta"`
		}
	}
	if err := json.Unmarshal([]byte(stdout.String()), &document); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(document.Summary, "time_wait_buckets") || document.Window < 0.5 {
		t.Errorf("summary %q, window %v s", document.Summary, document.Window)
	}
	for _, l := range document.Limits {
		if l.Name == "time_wait_buckets" && (l.Delta == nil || *l.Delta == 0 || l.Level != "critical") {
			t.Errorf("counter delta %s, level %s", deref(l.Delta), l.Level)
		}
	}
}

// What a listener accepted is told as such while it listens; afterwards nobody
// knows, and it is not taken for an outgoing connection.
func TestChildrenOfAListenerThatHasEnded(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	server, client := tracertest.StartActor(t, ns, "server"), tracertest.StartActor(t, ns, "client")
	l := server.Socket(tracertest.TCP4)
	if errno := l.Bind("127.0.0.1:8080"); errno != 0 {
		t.Fatal(errno)
	}
	l.Listen(8)
	for range 3 {
		if errno := client.Socket(tracertest.TCP4).Connect(l.Local()); errno != 0 {
			t.Fatal(errno)
		}
		l.Accept()
	}
	uses := func() string {
		code, stdout, stderr := runLive(t, liveCmd(t, "limits", "-o", "json", "-N", inode(ns)))
		var document struct {
			Accepted, Unlistened []struct{ Port, Connections int }
			Pools                []struct {
				Port  int `json:"remote_port"`
				Ports int
			}
		}
		if err := json.Unmarshal([]byte(stdout), &document); err != nil || code != exitOK {
			t.Fatalf("limits: exit code %d, %v; stderr %s", code, err, stderr)
		}
		return fmt.Sprint(document.Accepted, document.Unlistened, document.Pools)
	}
	if got, want := uses(), "[{8080 3}] [] [{8080 3}]"; got != want {
		t.Errorf("accepted, unlistened, outgoing: %s, want %s", got, want)
	}
	l.Close()
	if got, want := uses(), "[] [{8080 3}] [{8080 3}]"; got != want {
		t.Errorf("after the end of the listener: %s, want %s", got, want)
	}
}
