package main

import (
	"context"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/tracer"
)

// trial is what the self-test found out, now or earlier in this boot.
type trial struct {
	hooks      []tracer.SelfTestResult
	at         time.Time
	remembered bool
	err        error // why it could not be run
}

// tryHooks finds out which hooks fire, by memory or now.
func tryHooks(ctx context.Context, o probeOptions) trial {
	memory := selfTestMemory{dir: selfTestDir}
	key := selfTestKey{BootID: tracer.BootID(), Kernel: tracer.KernelRelease(), Version: rememberedVersion(), Mode: o.Mode.String()}
	if result, ok := memory.load(key); ok && !o.Repeat {
		return trial{hooks: result.Hooks, at: result.Time, remembered: true}
	}
	report, err := tracer.SelfTest(ctx, tracerOptions(o.watchOptions))
	if err != nil {
		return trial{err: err}
	}
	result := selfTestResult{Key: key, Time: time.Now(), Hooks: report.Hooks}
	if err := memory.save(result); err != nil {
		o.Logger.Info("self-test not remembered", zap.Error(err))
	}
	return trial{hooks: report.Hooks, at: result.Time}
}

// silentHooks are those that mode full must do without on this kernel. Where
// the mode is not to be had, no time is spent on the question.
func silentHooks(ctx context.Context, o watchOptions) []string {
	if o.Mode != 0 && o.Mode != event.ModeFull || tracer.CanTrace() != nil {
		return nil
	}
	t := tryHooks(ctx, probeOptions{watchOptions: o})
	if t.err != nil {
		o.Logger.Warn("self-test", zap.Error(t.err))
	}
	return t.silent()
}

func (t trial) silent() []string {
	var names []string
	for _, h := range t.hooks {
		if h.Verdict == tracer.VerdictSilent {
			names = append(names, h.Hook)
		}
	}
	return names
}

func (t trial) report() *fields.SelfTestReport {
	r := &fields.SelfTestReport{At: t.at, Remembered: t.remembered}
	if t.err != nil {
		r.Error = t.err.Error()
	}
	return r
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
