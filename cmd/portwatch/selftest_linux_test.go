package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/tracer"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

func remembered() selfTestResult {
	return selfTestResult{
		Key:  selfTestKey{BootID: "boot", Kernel: "6.18", Version: "v1"},
		Time: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC),
		Hooks: []tracer.SelfTestResult{
			{Hook: "a", Verdict: tracer.VerdictFired}, {Hook: "b", Verdict: tracer.VerdictSilent, Detail: "no event of x"},
		},
	}
}

func TestSelfTestIsRemembered(t *testing.T) {
	m := selfTestMemory{dir: filepath.Join(t.TempDir(), "portwatch")}
	want := remembered()
	if _, ok := m.load(want.Key); ok {
		t.Fatal("a result out of nothing")
	}
	for range 2 { // the second replaces the first
		if err := m.save(want); err != nil {
			t.Fatal(err)
		}
	}
	got, ok := m.load(want.Key)
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("remembered %v (-want +got):\n%s", ok, diff)
	}
	entries, err := os.ReadDir(m.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	checkMode(t, m.dir, 0o700)
	checkMode(t, filepath.Join(m.dir, selfTestFile), 0o600)
}

func checkMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s: mode %o, want %o", path, got, want)
	}
}

// What cannot be trusted is as if it were not there.
func TestSelfTestIsNotTrusted(t *testing.T) {
	file := func(dir string) string { return filepath.Join(dir, selfTestFile) }
	tests := []struct {
		name  string
		spoil func(dir string) error
		root  bool
	}{
		{"another boot", func(dir string) error { return rewrite(dir, func(r *selfTestResult) { r.Key.BootID = "x" }) }, false},
		{"another kernel", func(dir string) error { return rewrite(dir, func(r *selfTestResult) { r.Key.Kernel = "x" }) }, false},
		{"another version", func(dir string) error { return rewrite(dir, func(r *selfTestResult) { r.Key.Version = "x" }) }, false},
		{"torn", func(dir string) error { return os.Truncate(file(dir), 10) }, false},
		{"empty", func(dir string) error { return os.Truncate(file(dir), 0) }, false},
		{"readable by others", func(dir string) error { return os.Chmod(file(dir), 0o644) }, false},
		{"directory open to others", func(dir string) error { return os.Chmod(dir, 0o777) }, false},
		{"a link", func(dir string) error {
			return errors.Join(os.Rename(file(dir), file(dir)+".real"), os.Symlink(selfTestFile+".real", file(dir)))
		}, false},
		{"directory is a link", func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir))
		}, false},
		{"a directory", func(dir string) error {
			return errors.Join(os.Remove(file(dir)), os.Mkdir(file(dir), 0o700))
		}, false},
		{"another owner", func(dir string) error { return os.Chown(file(dir), nobody, nobody) }, true},
		{"directory of another owner", func(dir string) error { return os.Chown(dir, nobody, nobody) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root {
				tracertest.RequireRoot(t)
			}
			m := selfTestMemory{dir: filepath.Join(t.TempDir(), "portwatch")}
			want := remembered()
			if err := errors.Join(m.save(want), tt.spoil(m.dir)); err != nil {
				t.Fatal(err)
			}
			if got, ok := m.load(want.Key); ok {
				t.Errorf("trusted: %+v", got)
			}
		})
	}
}

// rewrite saves another result.
func rewrite(dir string, change func(*selfTestResult)) error {
	r := remembered()
	change(&r)
	return selfTestMemory{dir: dir}.save(r)
}

// A build without a version of its own is never remembered.
func TestSelfTestNeedsAWholeKey(t *testing.T) {
	m := selfTestMemory{dir: filepath.Join(t.TempDir(), "portwatch")}
	r := remembered()
	r.Key.Version = ""
	if err := m.save(r); err == nil {
		t.Error("saved without a version")
	}
	if _, ok := m.load(r.Key); ok {
		t.Error("loaded without a version")
	}
}

func TestVerdictsFindTheirHooks(t *testing.T) {
	hooks := []fields.HookReport{
		{Hook: "twin", State: "attached"},
		{Hook: "twin", State: "attached"},
		{Hook: "refused", State: "refused"},
		{Hook: "new", State: "attached"},
		{Hook: "last", State: "attached"},
	}
	addVerdicts(hooks, []tracer.SelfTestResult{
		{Hook: "gone", Verdict: tracer.VerdictFired},
		{Hook: "twin", Verdict: tracer.VerdictFired},
		{Hook: "twin", Verdict: tracer.VerdictSilent, Detail: "no event"},
		{Hook: "refused", Verdict: tracer.VerdictFired},
		{Hook: "last", Verdict: tracer.VerdictFired},
	})
	want := []string{"fired", "silent", "", "", "fired"}
	for i := range hooks {
		if hooks[i].Verdict != want[i] {
			t.Errorf("%s: %q, want %q", hooks[i].Hook, hooks[i].Verdict, want[i])
		}
	}
}

// A link planted under the file's name is replaced, never followed.
func TestSelfTestDoesNotFollowLinks(t *testing.T) {
	dir := t.TempDir()
	m := selfTestMemory{dir: filepath.Join(dir, "portwatch")}
	victim := filepath.Join(dir, "victim")
	err := errors.Join(os.Mkdir(m.dir, 0o700), os.WriteFile(victim, []byte("precious"), 0o600),
		os.Symlink(victim, filepath.Join(m.dir, selfTestFile)), m.save(remembered()))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
		t.Errorf("victim: %q, %v", text, err)
	}
}
