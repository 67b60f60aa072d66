package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portwatch/portwatch/scripts/vmtest/plan"
)

// runAll fills the columns: the host's alone, for its tests measure time, and
// then the machines', several at once.
func (l *lab) runAll(ctx context.Context, columns []*column) error {
	errs := make([]error, len(columns))
	for i, c := range columns {
		if c.kernel == host {
			errs[i] = l.runHost(ctx, c)
		}
	}
	var group sync.WaitGroup
	turns := make(chan struct{}, l.jobs)
	for i, c := range columns {
		if c.kernel == host {
			continue
		}
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			errs[i] = l.runMachine(ctx, c)
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// packagesOf are those that a column tests: the stream everywhere; in machines,
// which are slow, the ledger in the last mode only, and what knows no modes in the
// first. On the host, go test runs what holds no scenarios.
func (l *lab) packagesOf(c *column) []string {
	if c.kernel == host {
		return l.packages[:len(modePackages)]
	}
	var packages []string
	for _, pkg := range l.packages {
		wanted := l.modes[0]
		switch pkg {
		case modePackages[0]:
			wanted = c.mode
		case verifyPackage:
			wanted = l.modes[len(l.modes)-1]
		}
		if c.mode == wanted {
			packages = append(packages, pkg)
		}
	}
	return packages
}

// args are those of a package's test binary.
func (l *lab) args(c *column, pkg string) []string {
	only := l.only
	if c.kernel == host && only == "" {
		only = "^(" + strings.Join(append(names(l.scenarios, pkg), verifierTest), "|") + ")$"
	}
	if l.random(c, pkg) {
		only = "^" + randomTest + "$"
	}
	// It ends itself before it is killed, and says where it was.
	args := []string{"-test.v=test2json", "-test.timeout", (l.limit - 20*time.Second).String(), "-test.run", only}
	if pkg == verifyPackage {
		args = append(args, verifyArgs...)
	}
	return args
}

// random reports whether a column proves a package by random programs alone: the
// ledger in machines, unless all of it was asked for.
func (l *lab) random(c *column, pkg string) bool {
	return pkg == verifyPackage && c.kernel != host && !l.ledger && l.only == ""
}

// environ tells the tests what they may expect: root, and a mode.
func (c *column) environ() []string {
	return []string{"PORTWATCH_TEST_ROOT=1", "PORTWATCH_TEST_MODE=" + c.mode}
}

func (l *lab) runHost(ctx context.Context, c *column) error {
	if os.Geteuid() != 0 {
		c.notes = append(c.notes, "left out: it needs root; next: sudo make test-kernels")
		return nil
	}
	l.say("== %s", c.name())
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	began := time.Now()
	for _, pkg := range l.packagesOf(c) {
		cmd := exec.CommandContext(ctx, l.binary(pkg), l.args(c, pkg)...)
		cmd.Dir, cmd.Env = pkg, append(os.Environ(), c.environ()...)
		output, err := cmd.CombinedOutput()
		note := plan.Note{Event: plan.End, Text: "exit status 0"}
		if err != nil {
			note.Code, note.Text = -1, err.Error()
		}
		if err := l.judge(c, pkg, ending{output, note}); err != nil {
			return err
		}
	}
	c.took = time.Since(began)
	l.conclude(c, nil)
	return nil
}

func (l *lab) runMachine(ctx context.Context, c *column) error {
	files := map[string]string{}
	if l.peer != nil {
		maps.Copy(files, l.peer.files)
	}
	var commands []plan.Command
	for _, pkg := range l.packagesOf(c) {
		binary := path.Join("/tests", pkg, path.Base(pkg)+".test")
		files[binary] = l.binary(pkg)
		commands = append(commands, plan.Command{
			Argv: append([]string{binary}, l.args(c, pkg)...), Dir: path.Dir(binary),
			Env: slices.Concat(c.environ(), l.environ(), []string{"PATH=/bin", "HOME=/tmp"}), Seconds: int(l.limit / time.Second),
		})
	}
	l.say("== %s", c.name())
	t, retried, err := l.boot(ctx, c.name(), c.kernel, files, commands)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name(), err)
	}
	c.took = t.took
	if retried != "" {
		c.notes = append(c.notes, "the first machine crashed ("+retried+"), these are the results of a second")
	}
	if t.crash != "" {
		c.problems = append(c.problems, t.crash)
	}
	for i, pkg := range l.packagesOf(c) {
		end := ending{output: t.cut, note: plan.Note{Code: -1, Text: "it did not end"}}
		if i < len(t.ends) {
			end = t.ends[i]
		} else {
			t.cut = nil
		}
		if err := l.judge(c, pkg, end); err != nil {
			return err
		}
	}
	l.conclude(c, t.console)
	return nil
}

// judge adds a package's results to a column. What the binary says of itself
// as a whole must fit what its tests say.
func (l *lab) judge(c *column, pkg string, end ending) error {
	results, err := readResults(pkg, end.output)
	if err != nil {
		return err
	}
	c.results = append(c.results, results...)
	if l.random(c, pkg) {
		c.require(pkg, []string{randomTest})
	} else {
		c.require(pkg, names(l.scenarios, pkg))
	}
	bad := slices.ContainsFunc(results, func(r *result) bool { return r.outcome == failed })
	switch {
	case end.note.Code != 0 && !bad:
		c.problems = append(c.problems, strings.TrimSpace(fmt.Sprintf("%s: %s, which no test explains\n%s", pkg, end.note.Text, lastLines(end.output, 20))))
	case end.note.Code == 0 && bad:
		c.problems = append(c.problems, fmt.Sprintf("%s: %s, although a test failed", pkg, end.note.Text))
	case len(results) == 0 && l.only == "":
		c.problems = append(c.problems, pkg+": no test ran")
	}
	return nil
}

// conclude prints how a column went: what failed in its own words, and the end
// of the kernel log.
func (l *lab) conclude(c *column, console []byte) {
	failures := c.failures()
	for _, r := range failures {
		l.say("--- %s: %s\n%s", c.name(), r, lastLines(r.output, 200))
	}
	if len(failures)+len(c.problems) > 0 && len(console) > 0 {
		l.say("--- %s: end of the kernel log\n%s", c.name(), lastLines(console, 60))
	}
	l.say("== %s: %d tests, %d FAILED, %v", c.name(), len(c.results), len(failures), c.took.Round(time.Second))
}

func lastLines(text []byte, n int) string {
	lines := bytes.Split(bytes.TrimRight(text, "\r\n"), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}

// runProgram runs the program of the command line on every kernel.
func (l *lab) runProgram(ctx context.Context) error {
	binary := path.Join("/bin", path.Base(l.program[0]))
	command := plan.Command{
		Argv: append([]string{binary}, l.program[1:]...), Dir: "/", Env: []string{"PATH=/bin", "HOME=/tmp"},
		Seconds: int(l.limit / time.Second),
	}
	var errs []error
	for _, series := range l.kernels {
		if series == host {
			continue
		}
		t, _, err := l.boot(ctx, series, series, map[string]string{binary: l.program[0]}, []plan.Command{command})
		if err != nil {
			return fmt.Errorf("%s: %w", series, err)
		}
		if len(t.ends) == 0 {
			errs = append(errs, fmt.Errorf("%s: %s\n%s%s", series, t.crash, t.cut, lastLines(t.console, 60)))
			continue
		}
		l.say("== %s: %s: %s\n%s", series, t.release, t.ends[0].note.Text, t.ends[0].output)
	}
	return errors.Join(errs...)
}
