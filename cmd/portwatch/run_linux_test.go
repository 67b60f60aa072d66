package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// eaterCommand is the name under which the test binary is a test suite's worst
// test: see eatPorts.
const eaterCommand = "eat-ports"

// eatPorts connects to its argument until it is refused, and closes each
// connection first. The test binary is that program under its name.
func eatPorts() {
	for range 1000 {
		c, err := net.DialTimeout("tcp", os.Args[1], 5*time.Second)
		if err != nil {
			return
		}
		if err := c.Close(); err != nil {
			os.Exit(1)
		}
	}
	os.Exit(1)
}

// ran is what portwatch run said.
type ran struct {
	code           int
	stdout, stderr string
	report         runDocument
}

type runDocument struct {
	ExitCode     int     `json:"exit_code"`
	NotToldApart *string `json:"not_told_apart"`
	ToldApartBy  string  `json:"told_apart_by"`
	NoCgroup     string  `json:"no_cgroup"`
	ForksLost    *int    `json:"forks_lost"`
	Summary      string
	Own, Others  struct{ Allocations, Attempts, Failures int }
	Blame        struct{ Culprits, Victims []runParty }
}

type runParty struct {
	Owner     struct{ Comm, Confidence string }
	OfCommand bool `json:"of_command"`
	TimeWait  int  `json:"time_wait"`
	Ports     int
	Failures  int
	Diagnoses []string
}

// runWith runs the command under portwatch, in the namespace, with a report.
func runWith(t *testing.T, ns *tracertest.NS, env []string, command ...string) ran {
	t.Helper()
	return runAs(t, liveCommand, ns, env, command...)
}

// runAs is runWith, for a portwatch of another name.
func runAs(t *testing.T, name string, ns *tracertest.NS, env []string, command ...string) ran {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report")
	cmd := liveCmd(t, append([]string{"run", "-o", "json", "--report", file, "--"}, command...)...)
	cmd.Args[0] = name
	cmd.Env = append(os.Environ(), env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	ns.Do(cmd.Start)
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	r := ran{code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: errs.String()}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r.report); err != nil {
		t.Fatalf("report %q: %v; stderr %q", text, err, r.stderr)
	}
	if r.report.NotToldApart != nil {
		t.Fatalf("not told apart: %s", *r.report.NotToldApart)
	}
	return r
}

// A test suite whose third test eats the ports: that test is named, as the
// command's own, and apart from those who had ports before. A daemon that the
// command leaves behind is its own, too.
func TestRunNamesTheThirdTest(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.SetRange(40000, 40099)
	server := tracertest.StartActor(t, ns, "server")
	l := server.Socket(tracertest.TCP4)
	if errno := l.Bind("127.0.0.1:30000"); errno != 0 {
		t.Fatal(errno)
	}
	if errno := l.Listen(1024); errno != 0 {
		t.Fatal(errno)
	}
	to := l.Local()
	l.Serve()
	if n, _ := tracertest.StartActor(t, ns, "neighbour").ExhaustConnect(to, 20, false); n != 20 {
		t.Fatalf("the neighbour has %d connections, want 20", n)
	}
	dir := t.TempDir()
	third := filepath.Join(dir, "third-test")
	if err := os.WriteFile(third, fmt.Appendf(nil, "#!/bin/bash\nexec -a %s /proc/%d/exe %s\n", eaterCommand, os.Getpid(), to), 0o755); err != nil {
		t.Fatal(err)
	}
	r := runWith(t, ns, nil, "bash", "-c", "true; true; "+third+" & wait")

	if r.code != 0 || r.report.ExitCode != 0 {
		t.Errorf("exit codes %d and %d, want 0; stderr:\n%s", r.code, r.report.ExitCode, r.stderr)
	}
	if r.report.Own.Allocations != 80 || r.report.Own.Failures == 0 {
		t.Errorf("own: %+v, want 80 allocations and a failure", r.report.Own)
	}
	if len(r.report.Blame.Victims) != 1 || !r.report.Blame.Victims[0].OfCommand {
		t.Errorf("victims: %+v, want one, of the command", r.report.Blame.Victims)
	}
	if len(r.report.Blame.Culprits) != 2 {
		t.Fatalf("culprits: %+v, want two", r.report.Blame.Culprits)
	}
	own, other := r.report.Blame.Culprits[0], r.report.Blame.Culprits[1]
	if !own.OfCommand || own.TimeWait != 80 || own.Owner.Confidence != "exact" || len(own.Diagnoses) == 0 {
		t.Errorf("the culprit: %+v, want the third test with 80 ports in TIME_WAIT", own)
	}
	if other.OfCommand || other.Owner.Comm != "neighbour" || other.Owner.Confidence != "snapshot" {
		t.Errorf("the other: %+v, want the neighbour, found at the start", other)
	}
}

// The command is as without portwatch: its exit code, the signals that it gets and
// ignores, its user, the owner of its files, its descriptors.
func TestRunIsNotThere(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	if r := runWith(t, ns, nil, "sh", "-c", "echo out; echo err >&2; kill -TERM $$"); r.code != 143 || r.stdout != "out\n" || !strings.HasPrefix(r.stderr, "err\n") {
		t.Errorf("code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	sees := []string{"bash", "-c", "grep -E 'Sig(Ign|Blk)' /proc/self/status; ls /proc/$$/fd; ulimit -a; umask; pwd"}
	plain, err := exec.CommandContext(t.Context(), sees[0], sees[1:]...).Output()
	if err != nil {
		t.Fatal(err)
	}
	if r := runWith(t, ns, nil, sees...); r.stdout != string(plain) {
		t.Errorf("the command sees\n%s\nand without portwatch\n%s", r.stdout, plain)
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "made")
	r := runWith(t, ns, []string{fmt.Sprintf("SUDO_UID=%d", nobody), fmt.Sprintf("SUDO_GID=%d", nobody)}, "touch", file)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatalf("%v; stderr %q", err, r.stderr)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != nobody {
		t.Errorf("the file belongs to user %d, want %d", st.Uid, nobody)
	}
}

// A signal to portwatch is the command's, whose answer counts; no group is left.
func TestRunPassesSignalsOn(t *testing.T) {
	tracertest.RequireRoot(t)
	l := startLive(t, "run", "--", "bash", "-c", `tail -f /dev/null & trap "kill $!; exit 9" TERM; echo ready; wait`)
	if err := l.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := l.ended(t); code != 9 {
		t.Errorf("exit code %d, want 9; stderr:\n%s", code, l.stderr.String())
	}
	left, err := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/**/portwatch-run-%d", l.Process.Pid))
	if err != nil || len(left) > 0 {
		t.Errorf("groups left behind: %v, %v", left, err)
	}
}

// Without the rights to watch, the command runs and the answer says why it knows
// little; with --require nothing runs.
func TestRunWithoutRights(t *testing.T) {
	tracertest.RequireRoot(t)
	for _, tt := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"run", "--", "echo", "through"}, 0, "through", "Which requests were its own is not known: mode diag sees neither"},
		{[]string{"run", "--require", "--", "echo", "through"}, exitWrapper, "", "missing CAP_BPF"},
	} {
		cmd := liveCmd(t, tt.args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		code, stdout, stderr := runLive(t, cmd)
		if code != tt.code || stdout != tt.stdout || !strings.Contains(unwrap(stderr), tt.stderr) {
			t.Errorf("%v: code %d, stdout %q, stderr %q", tt.args, code, stdout, stderr)
		}
	}
}
