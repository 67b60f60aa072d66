package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
)

// outcome is how a test ended.
type outcome uint8

// Outcomes. Whatever has not said that it passed has failed: a test that was
// skipped, cut short, or did not run.
const (
	failed outcome = iota
	passed
	unknowable // passed, and said what cannot be known here
)

func (o outcome) String() string { return [...]string{"FAILED", "passed", "cannot know"}[o] }

// result is one test's.
type result struct {
	pkg     string
	name    string
	outcome outcome
	cause   string // why it failed, beyond its own words
	facts   []string
	output  []byte
}

// String is the name and, if there is one, the cause.
func (r *result) String() string {
	if r.cause == "" {
		return r.name
	}
	return r.name + ": " + r.cause
}

// root is the test that a sub-test belongs to, or the test itself.
func (r *result) root() string {
	name, _, _ := strings.Cut(r.name, "/")
	return name
}

// unknowableFact is how a test says what cannot be known: t.Log("cannot know: …").
var unknowableFact = regexp.MustCompile(`^\s+\S+\.go:\d+: cannot know: (.*)`)

// testEvent is a line of go tool test2json.
type testEvent struct{ Action, Test, Output string }

// readResults reads what a package's test binary said with -test.v=test2json:
// the results in the order in which the tests began.
func readResults(pkg string, output []byte) ([]*result, error) {
	cmd := exec.Command("go", "tool", "test2json")
	cmd.Stdin = bytes.NewReader(output)
	events, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run go tool test2json: %w", err)
	}
	var results []*result
	byName := map[string]*result{}
	for decoder := json.NewDecoder(bytes.NewReader(events)); ; {
		var ev testEvent
		if err := decoder.Decode(&ev); errors.Is(err, io.EOF) {
			tellParents(results, byName)
			return results, nil
		} else if err != nil {
			return nil, fmt.Errorf("read test2json: %w", err)
		}
		if ev.Test == "" {
			continue
		}
		r := byName[ev.Test]
		if r == nil {
			r = &result{pkg: pkg, name: ev.Test, cause: "it did not end"}
			byName[ev.Test] = r
			results = append(results, r)
		}
		r.take(&ev)
	}
}

func (r *result) take(ev *testEvent) {
	switch ev.Action {
	case "output":
		r.output = append(r.output, ev.Output...)
		if m := unknowableFact.FindStringSubmatch(ev.Output); m != nil {
			r.facts = append(r.facts, strings.TrimSpace(m[1]))
		}
	case "pass":
		r.cause, r.outcome = "", passed
		if len(r.facts) > 0 {
			r.outcome = unknowable
		}
	case "fail":
		r.cause = ""
	case "skip":
		r.cause = "it was skipped"
	}
}

// tellParents makes a test whose sub-test cannot know something one that
// cannot either.
func tellParents(results []*result, byName map[string]*result) {
	for _, r := range results {
		for name := r.name; r.outcome == unknowable && strings.Contains(name, "/"); {
			name = name[:strings.LastIndex(name, "/")]
			if parent := byName[name]; parent != nil && parent.outcome == passed {
				parent.outcome = unknowable
			}
		}
	}
}
