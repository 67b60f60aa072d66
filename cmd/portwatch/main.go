package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/portwatch/portwatch/internal/launch"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], app{
		stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv, kernel: liveKernel(), newGroup: launch.NewGroup,
	}))
}

// app is what the command has of the outside world.
type app struct {
	stdout, stderr io.Writer
	env            func(string) string
	kernel         kernel
	// newGroup makes a control group for a command that is run.
	newGroup func() (*launch.Group, error)
}

// endings are the signals that ask portwatch to end. One that it was told to
// ignore, as nohup does with SIGHUP, it goes on to ignore; SIGTERM never.
func endings() []os.Signal {
	return append(slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGHUP}, signal.Ignored), syscall.SIGTERM)
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string, a app) int {
	// A closed pipe must come back as an error of Write, so that the programs
	// in the kernel are detached before the process ends. The signal is caught:
	// what portwatch runs would inherit that it is ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, endings()...)
	defer stop()
	// The first signal asks; the second, while something hangs, kills.
	context.AfterFunc(ctx, stop)

	root := newRootCommand(&a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	return a.report(cmd, args, err)
}
