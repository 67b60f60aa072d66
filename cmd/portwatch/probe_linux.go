package main

import (
	"context"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/tracer"
)

// probeLive looks at the kernel at hand.
func probeLive(ctx context.Context, o probeOptions) (fields.DoctorReport, error) {
	support, err := tracer.Probe(ctx, tracerOptions(o.watchOptions))
	report := doctorReport(support)
	if err == nil {
		report.SelfTest = tryHooks(ctx, o, report.Hooks)
		return report, nil
	}
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

// tryHooks adds to each attached hook whether it fires, as remembered or as
// found out now.
func tryHooks(ctx context.Context, o probeOptions, hooks []fields.HookReport) *fields.SelfTestReport {
	memory := selfTestMemory{dir: selfTestDir}
	key := selfTestKey{BootID: tracer.BootID(), Kernel: tracer.KernelRelease(), Version: rememberedVersion()}
	if result, ok := memory.load(key); ok && !o.Repeat {
		addVerdicts(hooks, result.Hooks)
		return &fields.SelfTestReport{At: result.Time, Remembered: true}
	}
	report, err := tracer.SelfTest(ctx, tracerOptions(o.watchOptions))
	if err != nil {
		return &fields.SelfTestReport{Error: err.Error()}
	}
	result := selfTestResult{Key: key, Time: time.Now(), Hooks: report.Hooks}
	if err := memory.save(result); err != nil {
		o.Logger.Info("self-test not remembered", zap.Error(err))
	}
	addVerdicts(hooks, report.Hooks)
	return &fields.SelfTestReport{At: result.Time}
}

// addVerdicts joins two lists of the same order: several programs may attach
// to one place, so the first verdict on a place is the first program's. A
// remembered verdict on a hook that is not attached now says nothing.
func addVerdicts(hooks []fields.HookReport, results []tracer.SelfTestResult) {
	left := slices.Clone(results)
	for i := range hooks {
		h := &hooks[i]
		at := slices.IndexFunc(left, func(r tracer.SelfTestResult) bool { return r.Hook == h.Hook })
		if at < 0 {
			continue
		}
		if h.State == string(tracer.HookAttached) {
			h.Verdict, h.Detail = string(left[at].Verdict), left[at].Detail
		}
		left = slices.Delete(left, at, at+1)
	}
}

// rememberedVersion names the build, and is "" for one that has no version of
// its own: the next build would bear the same name.
func rememberedVersion() string {
	info, _ := debug.ReadBuildInfo()
	v := buildVersion(info)
	if v.Modified || v.Revision == "" && v.Version == "devel" {
		return ""
	}
	return v.Version + " " + v.Revision
}
