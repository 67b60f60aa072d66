package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/tracer"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// The real command on the kernel at hand, as people run it.

// nobody is a user without any privilege.
const nobody = 65534

// live is a running portwatch.
type live struct {
	*exec.Cmd
	out    *bufio.Reader
	stdout io.ReadCloser
	stderr bytes.Buffer
}

// liveCmd makes the command line of the real portwatch.
func liveCmd(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Args[0] = liveCommand
	return cmd
}

// startLive starts a portwatch and waits for its first line: it watches then.
func startLive(t *testing.T, args ...string) *live {
	t.Helper()
	tracertest.RequireRoot(t)
	l := &live{Cmd: liveCmd(t, args...)}
	var err error
	if l.stdout, err = l.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	l.Stderr = &l.stderr
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Process.Kill() })
	l.out = bufio.NewReader(l.stdout)
	if _, err := l.out.ReadString('\n'); err != nil {
		_ = l.Wait()
		t.Fatalf("no output: %v; stderr:\n%s", err, l.stderr.String())
	}
	return l
}

// ended waits for the end and returns the exit code.
func (l *live) ended(t *testing.T) int {
	t.Helper()
	_, _ = io.Copy(io.Discard, l.stdout)
	if err := l.Wait(); err != nil && l.ProcessState == nil {
		t.Fatal(err)
	}
	return l.ProcessState.ExitCode()
}

// programs are the ids by which the kernel knows the process's portwatch.
func programs(pid int) map[uint32]bool {
	held := map[uint32]bool{}
	for _, i := range tracer.FindInstances("/proc").Found {
		if i.PID == pid {
			held[i.Program] = true
		}
	}
	return held
}

func TestLiveEndsInPeace(t *testing.T) {
	tests := []struct {
		name string
		end  func(*live) error
	}{
		{"Ctrl-C", func(l *live) error { return l.Process.Signal(os.Interrupt) }},
		{"SIGTERM", func(l *live) error { return l.Process.Signal(syscall.SIGTERM) }},
		{"closed pipe", func(l *live) error { return l.stdout.Close() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := startLive(t, "events", "-o", "jsonl")
			loaded := programs(l.Process.Pid)
			if len(loaded) == 0 {
				t.Fatal("a running portwatch has no programs")
			}
			if err := tt.end(l); err != nil {
				t.Fatal(err)
			}
			if code := l.ended(t); code != exitOK {
				t.Errorf("exit code %d, want 0", code)
			}
			if stderr := l.stderr.String(); !strings.Contains(stderr, "lost ") || !strings.Contains(stderr, "user CPU") {
				t.Errorf("no counters and cost on stderr:\n%s", stderr)
			}
			if !unloaded(loaded) {
				t.Errorf("programs %v stay in the kernel", loaded)
			}
		})
	}
}

// unloaded waits until none of the programs is loaded: the kernel frees them
// after a grace period.
func unloaded(ids map[uint32]bool) bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		left := false
		for _, i := range tracer.FindInstances("/proc").Found {
			left = left || ids[i.Program]
		}
		if !left {
			return true
		}
	}
	return false
}

// Whatever is missing, there is one clear sentence, the next command and the
// exit code of the table, within a second; what works without it, works, with
// the first frame after the first tick.
func TestLiveWithoutSomething(t *testing.T) {
	tracertest.RequireRoot(t)
	unprivileged := func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	fullCode, fullStart, fullReason := exitOK, "start", "lost 0"
	if tracer.CanTrace() != nil {
		fullCode, fullStart, fullReason = exitPermission, "", "mode full: attach to inet_hash_connect: EPERM"
	}
	tests := []struct {
		name, args string
		change     func(*exec.Cmd)
		code       int
		stdout     string
		stderr     string
	}{
		{"not root", "events", unprivileged, exitPermission, "", "missing CAP_BPF"},
		{"not root", "self", unprivileged, exitPermission, "", "missing CAP_BPF"},
		{"not root", "top --batch -n 1 -i 100ms", unprivileged, exitOK, "only mode diag works: missing CAP_BPF", "lost 0"},
		{"not root", "top --batch --mode tracepoint", unprivileged, exitPermission, "", "missing CAP_BPF"},
		{"not root", "status", unprivileged, exitOK, "Which requests are refused was not watched (--for 15s watches)", ""},
		{"not root", "status --warn 100%", unprivileged, exitOK, "PORTWATCH OK - ", ""},
		{"not root", "blame", unprivileged, exitPermission, "", "missing CAP_BPF"},
		{"not root", "blame --mode diag --for 1s", unprivileged, exitOK, "was not watched (--for 15s watches)", "lost 0"},
		{"not root", "doctor", unprivileged, exitOK, "Only mode diag works here: missing CAP_BPF", ""},
		{"not root", "events --mode diag -n 1", unprivileged, exitOK, "start", "lost 0"},
		{"not root", "status", unprivileged, exitOK, "NETNS", "Not root: namespaces that may not be entered are left out"},
		{"not root", "range", unprivileged, exitOK, "connections a second to one destination", ""},
		{"not root", "limits -p 1", unprivileged, exitOK, "the namespace of process 1 may not be looked into", ""},
		{"not root", "why 80", unprivileged, exitOK, "fails with EACCES: ports below 1024 take CAP_NET_BIND_SERVICE", ""},
		{"not root", "why 9 -N inode:1", unprivileged, exitUsage, "", "no network namespace is called"},
		{"not root", "why --for 1s", unprivileged, exitPermission, "", "missing CAP_BPF"},
		{"no BTF", "why 9", withoutBTF, exitOK, "without BPF (the kernel has no BTF", ""},
		{"not root", "explain EADDRNOTAVAIL", unprivileged, exitOK, "ip_local_port_range is", ""},
		{"no BTF", "events", withoutBTF, exitUnsupported, "", "the kernel has no BTF"},
		{"no BTF", "top --batch -n 1 -i 100ms", withoutBTF, exitOK, "only mode diag works: the kernel has no BTF", "lost 0"},
		{"no BTF", "blame", withoutBTF, exitUnsupported, "", "the kernel has no BTF"},
		{"no BTF", "doctor", withoutBTF, exitOK, "Only mode diag works here: the kernel has no BTF", ""},
		{"mode diag", "top --batch -n 1 -i 100ms --mode diag", func(*exec.Cmd) {}, exitOK, "diag", "map memory none"},
		{"mode full", "events --mode full -n 1", func(*exec.Cmd) {}, fullCode, fullStart, fullReason},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.args, func(t *testing.T) {
			cmd := liveCmd(t, strings.Fields(tt.args)...)
			tt.change(cmd)
			began := time.Now()
			code, stdout, stderr := runLive(t, cmd)
			took := time.Since(began)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout, tt.stdout) || tt.stdout == "" && stdout != "" {
				t.Errorf("stdout %q, want %q", stdout, tt.stdout)
			}
			if !strings.Contains(stderr, tt.stderr) {
				t.Errorf("stderr %q, want %q", stderr, tt.stderr)
			}
			if code != exitOK && (took > time.Second || !strings.Contains(stderr, "\nNext: ")) {
				t.Errorf("took %v to say %q, want less than a second and the next command", took, stderr)
			}
		})
	}
}

// runLive runs a command to its end. The lines of stdout are joined.
func runLive(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), unwrap(out.String()), errs.String()
}

// unwrap undoes the breaks between lines.
func unwrap(text string) string { return strings.Join(strings.Fields(text), " ") }

// withoutBTF hides the kernel's description of itself, in a mount namespace of
// the command's own.
func withoutBTF(cmd *exec.Cmd) {
	script := `mount -t tmpfs none /sys/kernel/btf && exec -a ` + liveCommand + ` /proc/self/fd/3 "$@"`
	cmd.Args = append([]string{"bash", "-c", script, "bash"}, cmd.Args[1:]...)
	cmd.Path = "/bin/bash"
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if self, err := os.Open("/proc/self/exe"); err == nil {
		cmd.ExtraFiles = []*os.File{self}
	}
}
