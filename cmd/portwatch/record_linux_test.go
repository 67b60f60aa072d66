package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/schematest"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// What a run was told live is told by its recording: blame of the command's group
// is the part that the report nests, byte for byte. That an owner is of the
// command is what only the run knows.
func TestRecordingTellsWhatTheRunTold(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.SetRange(40000, 40099)
	server := tracertest.StartActor(t, ns, "server")
	l := server.Socket(tracertest.TCP4)
	if errno := cmp.Or(l.Bind("127.0.0.1:30000"), l.Listen(1024)); errno != 0 {
		t.Fatal(errno)
	}
	to := l.Local()
	l.Serve()
	dir := t.TempDir()
	file, report := filepath.Join(dir, "run.pwr"), filepath.Join(dir, "report")
	cmd := liveCmd(t, "run", "-w", file, "-o", "json", "--report", report, "--",
		"bash", "-c", "exec -a "+eaterCommand+" /proc/"+strconv.Itoa(os.Getpid())+"/exe "+to.String())
	cmd.Env = os.Environ()
	ns.Do(cmd.Start)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	told, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	group := regexp.MustCompile(`"cgroup":"([^"]*portwatch-run-[0-9]+)"`).FindSubmatch(told)
	if group == nil {
		t.Fatalf("the report has no owner of the command's: %s", told)
	}
	again, err := liveCmd(t, "blame", "-r", file, "-o", "json", "-c", string(group[1])).Output()
	if err != nil {
		t.Fatal(err)
	}
	var live struct{ Blame map[string]json.RawMessage }
	var replayed map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(told, &live), json.Unmarshal(again, &replayed)); err != nil {
		t.Fatal(err)
	}
	ofCommand := regexp.MustCompile(`"of_command":(true|false|null)`)
	for key, value := range live.Blame {
		want := ofCommand.ReplaceAllString(string(value), "")
		if got := ofCommand.ReplaceAllString(string(replayed[key]), ""); got != want {
			t.Errorf("%s: the recording says\n%s\nand the run said\n%s", key, got, want)
		}
	}
	if !strings.Contains(string(live.Blame["victims"]), "EADDRNOTAVAIL") {
		t.Errorf("nobody was refused: %s", live.Blame["victims"])
	}
}

// A damaged recording is told where, and ends check with 5; the rest is told all
// the same.
func TestCheckFindsDamage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "outage.pwr")
	k, err := newKeeper(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	events := busyMinute(1)
	for i := range events {
		if err := k.keep(&events[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.close(new(strings.Builder)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	check := liveCmd(t, "check", file)
	out, err := check.Output()
	if ended, is := errors.AsType[*exec.ExitError](err); !is || ended.ExitCode() != exitRecording {
		t.Errorf("check ends with %v, want %d", err, exitRecording)
	}
	if !regexp.MustCompile(`(?m)^DAMAGE +at byte \d+: the block's checksum is wrong; \d+ events in 1 blocks are lost, of [0-9.]+s?m?s$`).Match(out) {
		t.Errorf("check says:\n%s", out)
	}
	document, _ := liveCmd(t, "check", file, "-o", "json").Output()
	schema, err := fields.Recording.Schema()
	if err != nil {
		t.Fatal(err)
	}
	if err := schematest.Validate(schema, document); err != nil {
		t.Error(err)
	}
	if !regexp.MustCompile(`"damages":\[{"offset":\d+,"length":\d+,"reason":"the block's checksum is wrong","after":"2.*","before":"2.*","blocks":1,"events":\d+}\]`).Match(document) {
		t.Errorf("check says:\n%s", document)
	}
	status := liveCmd(t, "status", "-r", file, "-o", "json")
	out, err = status.Output()
	if err != nil || !strings.Contains(string(out), `"complete":false`) {
		t.Errorf("status ends with %v and says %.300s, want an incomplete picture", err, out)
	}
}
