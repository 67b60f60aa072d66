package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/portwatch/portwatch/internal/launch"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

// liveCommand is the name under which the test binary is the real portwatch, on
// the kernel at hand.
const liveCommand = "portwatch-live"

// The names under which it is portwatch on the kernel at hand where CMD cannot
// have a control group: none can be made, or none can be started in.
const (
	ungroupedCommand = "portwatch-live-ungrouped"
	lostGroupCommand = "portwatch-live-lost-group"
)

func noGroup() (*launch.Group, error) {
	return nil, errors.New("make control group: no cgroup2 hierarchy is mounted")
}

// lostGroup is a group that is gone by the time a command is to be started in it.
func lostGroup() (*launch.Group, error) {
	g, err := launch.NewGroup()
	if err != nil {
		return nil, err
	}
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if err := os.Remove(mount + g.Path); err == nil {
			return g, nil
		}
	}
	return nil, fmt.Errorf("%s is in no hierarchy that is known", g.Path)
}

// runApp is portwatch with another kernel, or without control groups.
func runApp(k kernel, newGroup func() (*launch.Group, error)) int {
	return run(context.Background(), os.Args[1:], app{
		stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv, kernel: k, newGroup: newGroup,
	})
}

// TestMain makes the test binary answer to "portwatch" in scripts, with a
// scripted kernel in the place of the live one: the variable SCENARIO, which
// the production binary does not know, names what it tells.
func TestMain(m *testing.M) {
	tracertest.Play()
	hear(os.Interrupt)
	testscript.Main(m, map[string]func(){
		liveCommand:      main,
		ungroupedCommand: func() { os.Exit(runApp(liveKernel(), noGroup)) },
		lostGroupCommand: func() { os.Exit(runApp(liveKernel(), lostGroup)) },
		eaterCommand:     eatPorts,
		threadCommand:    onThread,
		"portwatch": func() {
			k, err := scriptedKernel(os.Getenv("SCENARIO"))
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(exitFailure)
			}
			os.Exit(runApp(k, noGroup))
		},
	})
}

// hear makes the processes that tests start obey a signal that the tests were told
// to ignore, as a shell tells what it runs in the background.
func hear(sig os.Signal) {
	if signal.Ignored(sig) {
		signal.Notify(make(chan os.Signal, 1), sig)
	}
}

func TestScripts(t *testing.T) { runScripts(t, "testdata/script") }

// TestHosts reads literal trees of hosts of every kind.
func TestHosts(t *testing.T) { runScripts(t, "testdata/hosts") }

func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("SCENARIO", "outage")
			e.Setenv("COLUMNS", "80")
			e.Setenv("TZ", "UTC")
			return nil
		},
	})
}
