package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], app{
		stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv, kernel: liveKernel(),
	}))
}

// app is what the command has of the outside world.
type app struct {
	stdout, stderr io.Writer
	env            func(string) string
	kernel         kernel
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string, a app) int {
	// A closed pipe must come back as an error of Write, so that the programs
	// in the kernel are detached before the process ends.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
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
