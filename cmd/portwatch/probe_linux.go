package main

import (
	"context"
	"slices"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/tracer"
)

// probeLive looks at the kernel at hand.
func probeLive(ctx context.Context, o probeOptions) (fields.DoctorReport, error) {
	to := tracerOptions(o.watchOptions)
	support, err := tracer.Probe(ctx, to)
	if err == nil {
		trial := tryHooks(ctx, o)
		if to.Silent = trial.silent(); len(to.Silent) > 0 {
			if support, err = tracer.Probe(ctx, to); err != nil {
				return doctorReport(support), classify(err)
			}
		}
		report := doctorReport(support)
		report.SelfTest = trial.report()
		addVerdicts(report.Hooks, trial.hooks)
		return report, nil
	}
	report := doctorReport(support)
	report.Mode, report.Unavailable = 0, nil
	if o.Mode != event.ModeDiag {
		report.Reason = reasonOf(err)
	}
	if o.Mode != 0 && o.Mode != event.ModeDiag || !isLack(err) {
		return report, classify(err)
	}
	d, diagErr := tracer.OpenDiag(ctx, tracerOptions(o.watchOptions))
	if diagErr != nil {
		return report, classify(diagErr)
	}
	report.Mode, report.Unavailable = event.ModeDiag, d.Support().Unavailable
	return report, d.Close()
}

func doctorReport(s tracer.Support) fields.DoctorReport {
	r := fields.DoctorReport{
		Mode: s.Mode, Kernel: s.Kernel, BTF: s.BTF, Cgroup: s.Cgroup, Capabilities: append([]string{}, s.Held...), Unavailable: s.Unavailable,
		Advice: s.Advice, MemoryCeilingBytes: s.MemoryCeilingBytes, MapBytes: s.MapBytes,
		InstancesUnknown: s.Instances.Unknown,
	}
	for _, h := range s.Hooks {
		r.Hooks = append(r.Hooks, fields.HookReport{
			Hook: h.Hook, State: string(h.State), Tried: h.Tried, Reason: h.Reason, Lacks: h.Lacks, Required: h.Required,
		})
	}
	if s.Instances.Listed {
		r.Instances = []fields.Instance{}
	}
	for _, i := range s.Instances.Found {
		r.Instances = append(r.Instances, fields.Instance{PID: i.PID, Comm: i.Comm, Program: i.Program})
	}
	return r
}

// addVerdicts joins two lists of the same order: several programs may attach
// to one place, so the first verdict on a place is the first program's. A
// remembered verdict on a hook that is not attached now says nothing, unless
// its silence is why.
func addVerdicts(hooks []fields.HookReport, results []tracer.SelfTestResult) {
	left := slices.Clone(results)
	for i := range hooks {
		h := &hooks[i]
		at := slices.IndexFunc(left, func(r tracer.SelfTestResult) bool { return r.Hook == h.Hook })
		if at < 0 {
			continue
		}
		state := tracer.HookState(h.State)
		if state == tracer.HookAttached || state == tracer.HookFallback || left[at].Verdict == tracer.VerdictSilent {
			h.Verdict, h.Detail = string(left[at].Verdict), left[at].Detail
		}
		left = slices.Delete(left, at, at+1)
	}
}
