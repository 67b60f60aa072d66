package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/tracer"
)

// liveKernel is the kernel at hand.
func liveKernel() kernel { return kernel{open: openTracer, probe: probeTracer} }

func openTracer(ctx context.Context, o watchOptions) (watcher, error) {
	t, err := tracer.Open(ctx, tracerOptions(o))
	if err != nil {
		return nil, classify(err)
	}
	return liveWatcher{t}, nil
}

func probeTracer(ctx context.Context, o watchOptions) (fields.DoctorReport, error) {
	support, err := tracer.Probe(ctx, tracerOptions(o))
	return doctorReport(support), classify(err)
}

func tracerOptions(o watchOptions) tracer.Options {
	return tracer.Options{
		Mode: o.Mode, Logger: o.Logger, MaxLeases: o.MaxLeases,
		ExactTimeWait: o.ExactTimeWait, HostRoot: o.HostRoot,
	}
}

// classify gives the tracer's errors the exit codes of the command.
func classify(err error) error {
	switch {
	case errors.Is(err, tracer.ErrPermission):
		return fmt.Errorf("%w: %w", errPermission, err)
	case errors.Is(err, tracer.ErrUnsupported):
		return fmt.Errorf("%w: %w", errUnsupported, err)
	}
	return err
}

// liveWatcher is a tracer that accounts for its cost.
type liveWatcher struct{ *tracer.Tracer }

func (w liveWatcher) cost() cost {
	s := w.Stats()
	return cost{
		Events: s.Events, Drift: s.Drift, KernelTime: time.Duration(s.KernelNanos), ProgramRuns: s.ProgramRuns,
		UserCPU: s.UserCPU, MapBytes: s.MapBytes, Lost: s.Lost,
	}
}

func doctorReport(s tracer.Support) fields.DoctorReport {
	r := fields.DoctorReport{
		Mode: s.Mode, Kernel: s.Kernel, BTF: s.BTF, Cgroup: s.Cgroup, Capabilities: s.Held,
		Advice: s.Advice, MemoryCeilingBytes: s.MemoryCeilingBytes,
	}
	for _, h := range s.Hooks {
		r.Hooks = append(r.Hooks, fields.HookReport{
			Hook: h.Hook, State: string(h.State), Tried: h.Tried, Reason: h.Reason, Lacks: h.Lacks, Required: h.Required,
		})
	}
	return r
}
