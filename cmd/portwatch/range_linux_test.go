package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// The port of a program that is newly exposed: listening while it is judged,
// restarting under load after that.
const fixedPort = "127.0.0.1:30005"

// judged is what range check says of the test's namespace.
func judged(t *testing.T, ns *tracertest.NS, args ...string) (code int, verdict, exposed string) {
	t.Helper()
	args = append([]string{"range", "check", "-N", inode(ns), "-o", "json"}, args...)
	code, stdout, stderr := runLive(t, liveCmd(t, args...))
	var document struct {
		Check struct {
			Verdict string
			Exposes []struct {
				Low, High uint16
				Owner     struct{ Comm string }
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &document); err != nil {
		t.Fatalf("range check: %v; stderr %s", err, stderr)
	}
	for _, e := range document.Check.Exposes {
		exposed += e.Owner.Comm
	}
	return code, document.Check.Verdict, exposed
}

// restarts counts how often a program that restarts after each new connection
// finds its fixed port taken, until no port is left to connections.
func restarts(t *testing.T, ns *tracertest.NS, to netip.AddrPort) (connections, failures int) {
	t.Helper()
	client, app := tracertest.StartActor(t, ns, "client"), tracertest.StartActor(t, ns, "app")
	defer client.Exit()
	defer app.Exit()
	for {
		errno := client.Socket(tracertest.TCP4).Connect(to)
		if errno == syscall.EADDRNOTAVAIL {
			return connections, failures
		}
		if errno != 0 {
			t.Fatal(errno)
		}
		connections++
		s := app.Socket(tracertest.TCP4)
		switch errno := s.Bind(fixedPort); errno {
		case 0:
		case syscall.EADDRINUSE:
			failures++
		default:
			t.Fatal(errno)
		}
		s.Close()
	}
}

// The printed lines are run as they are, read back identical, and keep the port
// of a program that restarts.
func TestPrintedLinesKeepTheFixedPort(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.SetRange(30010, 30029)
	to := serve(t, ns, "127.0.0.1:8080")
	app := tracertest.StartActor(t, ns, "app")
	s := app.Socket(tracertest.TCP4)
	if errno := s.Bind(fixedPort); errno != 0 {
		t.Fatal(errno)
	}
	s.Listen(1)
	code, verdict, exposed := judged(t, ns, "30000-30029")
	if code != exitFailure || verdict != "unsafe" || exposed != "app" {
		t.Fatalf("exit code %d, %s, exposes %q; want 1, unsafe, app", code, verdict, exposed)
	}
	lines := liveCmd(t, "range", "check", "30000-30029", "-N", inode(ns), "--fix")
	script, err := lines.Output()
	if err != nil {
		t.Fatal(err)
	}
	app.Exit()

	if out, err := exec.CommandContext(t.Context(), "/bin/sh", "-e", "-c", string(script)).CombinedOutput(); err != nil {
		t.Fatalf("run %s: %v: %s", script, err, out)
	}
	ns.Do(func() error { return settingsAre("30005", "30000\t30029") })
	if connections, failures := restarts(t, ns, to); connections != 29 || failures != 0 {
		t.Errorf("with the lines, %d of %d restarts failed", failures, connections)
	}
}

func TestWithoutTheLinesTheFixedPortIsLost(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.SetRange(30000, 30029)
	to := serve(t, ns, "127.0.0.1:8080")
	if connections, failures := restarts(t, ns, to); failures == 0 {
		t.Errorf("%d connections never took the fixed port", connections)
	}
}

// What programs have bound connect() does not give: what range need calls the
// capacity is what the kernel grants.
func TestNeedIsWhatTheKernelGrants(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.SetRange(40000, 40019)
	to := serve(t, ns, "127.0.0.1:8080")
	binder, client := tracertest.StartActor(t, ns, "binder"), tracertest.StartActor(t, ns, "client")
	for _, addr := range []string{"127.0.0.1:40003", "127.0.0.2:40007"} {
		if errno := binder.Socket(tracertest.TCP4).Bind(addr); errno != 0 {
			t.Fatal(errno)
		}
	}
	serve(t, ns, "127.0.0.1:40010")
	need := func(connections int) (capacity, poisoned int, fits bool) {
		code, stdout, stderr := runLive(t, liveCmd(t, "range", "need", "--connections", strconv.Itoa(connections), "-N", inode(ns), "-o", "json"))
		var document struct {
			Need struct {
				Capacity, Poisoned int
				Fits               bool
			}
		}
		if err := json.Unmarshal([]byte(stdout), &document); err != nil || code != exitOK {
			t.Fatalf("range need: exit code %d, %v; stderr %s", code, err, stderr)
		}
		return document.Need.Capacity, document.Need.Poisoned, document.Need.Fits
	}
	capacity, poisoned, fits := need(17)
	if capacity != 17 || poisoned != 3 || !fits {
		t.Errorf("capacity %d, poisoned %d, 17 fit: %t; want 17, 3, true", capacity, poisoned, fits)
	}
	if _, _, fits := need(18); fits {
		t.Error("18 fit")
	}
	if count, errno := client.ExhaustConnect(to, 100, false); count != capacity || errno != syscall.EADDRNOTAVAIL {
		t.Errorf("the kernel granted %d, then %v; want %d", count, errno, capacity)
	}
}

func settingsAre(reserved, ports string) error {
	for name, want := range map[string]string{"ip_local_reserved_ports": reserved, "ip_local_port_range": ports} {
		got, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(got)) != want {
			return &os.PathError{Op: "read back", Path: name, Err: syscall.EINVAL}
		}
	}
	return nil
}

// What the kernel refuses is refused with its reason, and nothing else is.
func TestRefusalsAreTheKernels(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	tracertest.StartActor(t, ns, "idle") // makes the namespace one that can be found
	for _, start := range []string{"1024", "0", "5000"} {
		ns.Sysctl("net.ipv4.ip_unprivileged_port_start", start)
		for _, proposed := range []string{"1023 65000", "1024 65000", "1 65535", "4999 65000", "5000 65001", "65535 65535"} {
			var kernel error
			ns.Do(func() error {
				kernel = os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte(proposed), 0)
				return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("32768 60999"), 0)
			})
			args := append([]string{"range", "check", "-N", inode(ns)}, strings.Fields(proposed)...)
			code, _, stderr := runLive(t, liveCmd(t, args...))
			if refused := code == exitUsage; refused != (kernel != nil) {
				t.Errorf("unprivileged from %s, range %s: the kernel says %v, range check %d %s", start, proposed, kernel, code, stderr)
			}
		}
	}
}
