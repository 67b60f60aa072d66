package launch

import (
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// meant are the signals that somebody sends to a command to make it do something.
// Those that stop and continue need no help: a terminal sends them to all.
var meant = []os.Signal{
	syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
}

// relay passes signals on to a command.
type relay struct {
	caught chan os.Signal
	done   chan struct{}
}

// catchSignals begins to keep what comes. What this process was told to ignore it
// goes on to ignore, and so will the command.
func catchSignals() *relay {
	r := &relay{caught: make(chan os.Signal, 16), done: make(chan struct{})}
	if wanted := slices.DeleteFunc(slices.Clone(meant), signal.Ignored); len(wanted) > 0 {
		signal.Notify(r.caught, wanted...)
	}
	return r
}

// pass hands on what was caught and what comes, until stop.
func (r *relay) pass(to *os.Process) {
	go func() {
		for {
			select {
			case sig := <-r.caught:
				if !fromTerminal(sig) {
					_ = to.Signal(sig) // it may have ended
				}
			case <-r.done:
				return
			}
		}
	}()
}

func (r *relay) stop() {
	signal.Stop(r.caught)
	close(r.done)
}

// fromTerminal reports whether a signal has reached the command already: what is
// typed goes to the whole group in the foreground.
func fromTerminal(sig os.Signal) bool {
	if sig != syscall.SIGINT && sig != syscall.SIGQUIT {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}
