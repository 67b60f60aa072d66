package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer"
	"github.com/portwatch/portwatch/internal/verify"
)

// liveKernel is the kernel at hand.
func liveKernel() kernel {
	return kernel{open: openLive, probe: probeLive, sockets: listLive, running: isRunning, ground: openGround}
}

func isRunning(pid uint32) bool {
	_, err := os.Stat("/proc/" + strconv.FormatUint(uint64(pid), 10))
	return !errors.Is(err, fs.ErrNotExist)
}

func listLive(ctx context.Context) (*verify.Picture, error) { return verify.List(ctx) }

// openLive opens the best source that the options permit.
func openLive(ctx context.Context, o watchOptions) (watcher, error) {
	if o.Mode == event.ModeDiag {
		return openDiag(ctx, tracerOptions(o))
	}
	to := tracerOptions(o)
	to.Silent = silentHooks(ctx, o)
	t, err := tracer.Open(ctx, to)
	if err == nil {
		return tracing{t}, nil
	}
	if !o.FallBack || o.Mode != 0 || !isLack(err) {
		return nil, classify(err)
	}
	standIn := tracerOptions(o)
	standIn.Reason = reasonOf(err)
	w, diagErr := openDiag(ctx, standIn)
	if diagErr != nil {
		return nil, classify(errors.Join(err, diagErr))
	}
	return w, nil
}

func openDiag(ctx context.Context, o tracer.Options) (watcher, error) {
	d, err := tracer.OpenDiag(ctx, o)
	if err != nil {
		return nil, classify(err)
	}
	return dumping{d}, nil
}

// isLack reports whether the kernel, or its permission, is what is missing.
func isLack(err error) bool {
	return errors.Is(err, tracer.ErrPermission) || errors.Is(err, tracer.ErrUnsupported)
}

// reasonOf is why a mode does not work, without the words that say that it
// does not.
func reasonOf(err error) string { return strings.TrimPrefix(err.Error(), "open tracer: ") }

func tracerOptions(o watchOptions) tracer.Options {
	return tracer.Options{
		Mode: o.Mode, Logger: o.Logger, MaxLeases: o.MaxLeases, NewsBytes: o.RingKiB << 10,
		ExactTimeWait: o.ExactTimeWait, HostRoot: o.HostRoot,
	}
}

// classifiedError is an error of the tracer with its place in the table of
// exit codes.
type classifiedError struct {
	error
	class error
}

func (e classifiedError) Is(target error) bool { return target == e.class }
func (e classifiedError) Unwrap() error        { return e.error }

func classify(err error) error {
	switch {
	case errors.Is(err, tracer.ErrPermission):
		return classifiedError{err, errPermission}
	case errors.Is(err, tracer.ErrUnsupported):
		return classifiedError{err, errUnsupported}
	}
	return err
}

// tracing is the kernel, watched by programs.
type tracing struct{ *tracer.Tracer }

var (
	_ searcher = tracing{}
	_ forker   = tracing{}
)

func (w tracing) cost() cost { return costOf(w.Stats()) }

// dumping is the kernel, watched by dumps.
type dumping struct{ *tracer.Diag }

func (w dumping) cost() cost { return costOf(w.Stats()) }

func costOf(s tracer.Stats) cost {
	return cost{
		Events: s.Events, Drift: s.Drift, KernelTime: time.Duration(s.KernelNanos), ProgramRuns: s.ProgramRuns,
		UserCPU: s.UserCPU, MapBytes: s.MapBytes, Lost: s.Lost,
	}
}
