package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/portwatch/portwatch/scripts/vmtest/plan"
)

// lab is what all runs share.
type lab struct {
	*settings
	dir       string            // holds what was built: init and *.test
	fetched   map[string]string // series to the directory of scripts/kernels
	scenarios []scenario        // that are to run
	printing  sync.Mutex
}

func newLab(ctx context.Context, s *settings, dir string) (*lab, error) {
	l := &lab{settings: s, dir: dir, fetched: map[string]string{}}
	scenarios, err := readScenarios(".")
	if err != nil {
		return nil, err
	}
	l.scenarios = s.chosen(scenarios)
	if err := l.fetch(ctx); err != nil {
		return nil, err
	}
	if err := build(ctx, "build", "-o", filepath.Join(dir, "init"), "./scripts/vmtest/init"); err != nil {
		return nil, err
	}
	if len(s.program) > 0 {
		return l, nil
	}
	for _, pkg := range l.packages {
		if err := build(ctx, "test", "-c", "-o", l.binary(pkg), "./"+pkg); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// build builds for the machines, where there is no C library.
func build(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", args[len(args)-1], err)
	}
	return nil
}

func (l *lab) binary(pkg string) string { return filepath.Join(l.dir, path.Base(pkg)+".test") }

// fetch asks scripts/kernels for the kernels.
func (l *lab) fetch(ctx context.Context) error {
	var wanted []string
	for _, series := range l.kernels {
		if series != host {
			wanted = append(wanted, series)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, "scripts/kernels", wanted...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("fetch kernels: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		var series, version, dir string
		if _, err := fmt.Sscan(line, &series, &version, &dir); err != nil {
			return fmt.Errorf("read what scripts/kernels says: %q: %w", line, err)
		}
		l.fetched[series] = dir
		l.say("kernel %s: Debian's %s", series, version)
	}
	return nil
}

// say prints what people wait for.
func (l *lab) say(format string, args ...any) {
	l.printing.Lock()
	defer l.printing.Unlock()
	fmt.Printf(format+"\n", args...)
}

// initramfs is a root file system with init, the kernel's modules, the files
// (path to where the host has it) and the plan.
func (l *lab) initramfs(series string, files map[string]string, commands []plan.Command) ([]byte, error) {
	var a archive
	all := map[string]string{"/init": filepath.Join(l.dir, "init")}
	maps.Copy(all, files)
	modules, err := filepath.Glob(filepath.Join(l.fetched[series], "modules", "*.ko"))
	if err != nil {
		return nil, err
	}
	for _, from := range modules {
		all[path.Join(plan.Modules, filepath.Base(from))] = from
	}
	for _, to := range slices.Sorted(maps.Keys(all)) {
		data, err := os.ReadFile(all[to])
		if err != nil {
			return nil, err
		}
		a.file(to, data)
	}
	a.file(plan.Path, plan.Plan{Commands: commands}.Encode())
	return a.bytes(), nil
}

// boot runs commands on a kernel. An emulator that crashes now and then while
// a kernel patches its own code gets a second try, and retried says why.
func (l *lab) boot(ctx context.Context, name, series string, files map[string]string, commands []plan.Command) (t *transcript, retried string, err error) {
	image, err := l.initramfs(series, files, commands)
	if err != nil {
		return nil, "", err
	}
	kernel := filepath.Join(l.fetched[series], "vmlinuz")
	for {
		t, err = boot(ctx, kernel, image, func(line []byte) {
			if l.verbose {
				l.say("%s| %s", name, strings.TrimRight(string(line), "\r\n"))
			}
		})
		if err != nil {
			return nil, retried, err
		}
		if err := l.store(name, t); err != nil {
			return nil, retried, err
		}
		if t.crash == "" || retried != "" || ctx.Err() != nil {
			return t, retried, ctx.Err()
		}
		retried = t.crash
		l.say("== %s: %s; once more\n%s", name, t.crash, lastLines(t.console, 40))
	}
}

// chosen are the scenarios that -run lets through.
func (s *settings) chosen(scenarios []scenario) []scenario {
	top, _, _ := strings.Cut(s.only, "/")
	return slices.DeleteFunc(scenarios, func(s scenario) bool {
		ok, err := regexp.MatchString(top, s.test)
		return !ok || err != nil
	})
}

// store keeps what a machine said, if somebody wants it.
func (l *lab) store(name string, t *transcript) error {
	if l.keep == "" {
		return nil
	}
	base := filepath.Join(l.keep, strings.ReplaceAll(name, " ", "-"))
	return errors.Join(
		os.MkdirAll(l.keep, 0o755),
		os.WriteFile(base+".output", t.heard, 0o644),
		os.WriteFile(base+".console", t.console, 0o644))
}

// environ tells the tests in machines what to measure, and how to understand it.
func (l *lab) environ() []string {
	return append(l.peer.environ(), "PORTWATCH_TEST_CLOCK=instructions")
}
