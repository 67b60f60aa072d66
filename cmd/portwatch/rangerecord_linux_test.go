package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// recordingOf writes the events of a scenario to a file.
func recordingOf(t *testing.T, scenario string) string {
	t.Helper()
	k, err := scriptedEvents(scenario)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), scenario+".pwr")
	a := app{stdout: io.Discard, stderr: io.Discard, env: os.Getenv, kernel: k}
	if code := run(t.Context(), []string{"record", "-w", file}, a); code != exitOK {
		t.Fatalf("record ends with %d", code)
	}
	return file
}

// quietTree is a collected tree of a host on which nothing speaks against a range.
func quietTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"1/cmdline": "/sbin/init", "sys/net/ipv4/ip_local_port_range": "32768\t60999\n", "net/tcp": "  sl\n", "net/udp": "  sl\n",
	} {
		file := filepath.Join(dir, "proc", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What a damaged recording lacks may have been a bound port: then nothing is safe,
// and what it has still makes a range unsafe.
func TestDamagedRecordingIsNeverSafe(t *testing.T) {
	whole, err := os.ReadFile(recordingOf(t, "services"))
	if err != nil {
		t.Fatal(err)
	}
	tree := quietTree(t)
	const free, taken = "32768-61001", "16000-65001"
	for _, c := range []struct {
		name, proposed, verdict, reason string
		change                          func([]byte) []byte
	}{
		{"whole", free, "safe", "", func(b []byte) []byte { return b }},
		{"whole", taken, "unsafe", "", func(b []byte) []byte { return b }},
		{"damaged", free, "with_reservations", "could not be read: at byte ", func(b []byte) []byte {
			b[len(b)/2] ^= 1
			return b
		}},
		{"cut off", free, "with_reservations", "its end is cut off", func(b []byte) []byte { return b[:len(b)-10] }},
		{"cut off", taken, "unsafe", "its end is cut off", func(b []byte) []byte { return b[:len(b)-10] }},
	} {
		file := filepath.Join(t.TempDir(), "changed.pwr")
		if err := os.WriteFile(file, c.change(append([]byte(nil), whole...)), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := runLive(t, liveCmd(t, "range", "check", c.proposed, "--root", tree, "-r", file, "-o", "json"))
		var document struct {
			Check struct {
				Verdict string
				Reasons []string
			}
		}
		if err := json.Unmarshal([]byte(stdout), &document); err != nil {
			t.Fatalf("%s: %v; stderr %s", c.name, err, stderr)
		}
		reasons := strings.Join(document.Check.Reasons, "; ")
		if document.Check.Verdict != c.verdict || !strings.Contains(reasons, c.reason) || c.reason == "" && reasons != "" {
			t.Errorf("%s, %s: %s because of %q, want %s because of %q", c.name, c.proposed, document.Check.Verdict, reasons, c.verdict, c.reason)
		}
		if want := document.Check.Verdict == "unsafe"; (code == exitFailure) != want {
			t.Errorf("%s, %s: exit code %d", c.name, c.proposed, code)
		}
	}
}

// startRecorder records until end is called. The command of a run starts when the
// picture is complete.
func startRecorder(t *testing.T, file string) (end func()) {
	t.Helper()
	tracertest.RequireRoot(t)
	cmd := liveCmd(t, "run", "-w", file, "--report", file+".report", "--", "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if _, err := io.WriteString(in, "begun\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Fatalf("end the recording: %v", err)
		}
	}
}

// A program that ran while it was recorded and has ended since is told, one that
// still runs is told once.
func TestRangeCheckKnowsWhatWasRecorded(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	tracertest.StartActor(t, ns, "idle") // keeps the namespace when the others have ended
	stays := tracertest.StartActor(t, ns, "stays")
	if errno := stays.Socket(tracertest.TCP4).Bind("127.0.0.1:20001"); errno != 0 {
		t.Fatal(errno)
	}
	file := filepath.Join(t.TempDir(), "past.pwr")
	end := startRecorder(t, file)
	ends := tracertest.StartActor(t, ns, "ends")
	if errno := ends.Socket(tracertest.TCP4).Bind("127.0.0.1:20002"); errno != 0 {
		t.Fatal(errno)
	}
	if errno := ends.Socket(tracertest.UDP4).Bind("127.0.0.1:20003"); errno != 0 {
		t.Fatal(errno)
	}
	ends.Exit()
	end()

	code, stdout, stderr := runLive(t, liveCmd(t, "range", "check", "16000-65001", "-N", inode(ns), "-r", file, "-o", "json"))
	var document struct {
		Check struct {
			Exposes []struct {
				Low      uint16
				Kind     string
				Protocol string
				Owner    struct{ Comm string }
				SeenAt   *string `json:"seen_at"`
				BoundAt  *string `json:"bound_at"`
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &document); err != nil || code != exitFailure {
		t.Fatalf("range check: exit code %d, %v; stderr %s", code, err, stderr)
	}
	var got []string
	for _, e := range document.Check.Exposes {
		got = append(got, fmt.Sprintf("%d/%s %s by %s, seen %t, bound %t", e.Low, e.Protocol, e.Kind, e.Owner.Comm, e.SeenAt != nil, e.BoundAt != nil))
	}
	want := []string{
		"20001/tcp bound by stays, seen true, bound false",
		"20002/tcp recorded by ends, seen true, bound true",
		"20003/udp recorded by ends, seen true, bound true",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("range check tells\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
