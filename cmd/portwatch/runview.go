package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/launch"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// runView starts a command when the kernel is watched, counts what is the
// command's own, and ends the pipeline when everything has been told that
// happened before the command ended.
type runView struct {
	app      *app
	argv     []string
	as       *launch.User
	keeper   *keeper // nil if nothing is recorded
	pipeline *pipeline

	ctx   context.Context // until the command starts
	ticks int

	apart apart

	started atomic.Bool
	failed  error // why the command did not start
	process *launch.Process

	startedAt event.Time
	// The rest is written before ended is closed, and read after.
	ended   chan struct{}
	endedAt event.Time
	code    int
	waitErr error

	outcome runOutcome
}

// runOutcome is what is known of a run.
type runOutcome struct {
	own, others fields.RunTally
	// told is false where it is not known what was given or refused to the
	// command; why says the reason.
	told bool
	why  string
	// doubt says why own may lack a part that others has; "" if it does not.
	doubt string
	blame *aggregate.Blame // nil if nothing was watched
	lost  uint64
}

func (v *runView) frame(*aggregate.Snapshot) error { return nil }

func (v *runView) event(r *aggregate.Record) error {
	if !v.started.Load() {
		if !v.ready(&r.Event) {
			return nil
		}
		if v.start(v.pipeline.source); v.failed != nil {
			return errEnough
		}
	}
	v.apart.apply(&r.Event)
	v.count(r)
	if r.Event.Kind == event.KindTick && v.over(r.Event.Time) {
		return errEnough
	}
	return nil
}

// ready reports whether the command may start: all sockets that are older were
// read, or that takes longer than anybody wants to wait.
func (v *runView) ready(ev *event.Event) bool {
	switch {
	case v.ctx.Err() != nil:
		return false // the pipeline is about to end
	case ev.Kind == event.KindTick:
		v.ticks++
	}
	return ev.Kind == event.KindCorrection && ev.Correction == event.CorrectionEnd || v.ticks == patientTicks
}

// patientTicks is how many seconds a command waits for the first picture.
const patientTicks = 3

// start starts the command, in its group if the kernel can do that. Where it has
// none source, nil if nothing is watched, tells of forks from before it begins.
func (v *runView) start(source watcher) {
	v.started.Store(true)
	c := launch.Command{
		Argv: v.argv, As: v.as, Stdin: os.Stdin, Stdout: v.app.stdout, Stderr: v.app.stderr,
	}
	if v.apart.grouped() {
		c.Group = v.apart.group
		if v.launch(c); v.failed != nil {
			v.apart.refuse(fmt.Errorf("start in control group: %w", errors.Unwrap(v.failed)))
		}
	}
	if !v.apart.grouped() {
		c.Group = nil
		v.apart.follow(source)
		v.launch(c)
	}
	if v.failed != nil {
		return
	}
	go func() {
		v.code, v.waitErr = v.process.Wait()
		v.endedAt = bootNow()
		close(v.ended)
	}()
}

func (v *runView) launch(c launch.Command) {
	v.startedAt = bootNow()
	v.process, v.failed = launch.Start(c)
}

// over reports whether a tick proves that everything was told that happened
// before the command ended.
func (v *runView) over(tick event.Time) bool {
	select {
	case <-v.ended:
		return tick >= v.endedAt
	default:
		return false
	}
}

// count books what was given or refused as the command's own or not.
func (v *runView) count(r *aggregate.Record) {
	t := &v.outcome.others
	if r.Owned && v.apart.own(&r.Owner) {
		t = &v.outcome.own
	}
	switch r.Event.Kind {
	case event.KindAllocate:
		t.Allocations++
	case event.KindFailure:
		f := r.Event.Failure
		t.Failures += f.Count
		if f.Reason.Exhaustion() {
			t.Exhausted += f.Count
		}
	}
}

// record makes the file of -w; "" is none.
func (v *runView) record(file string) (err error) {
	if file != "" {
		v.keeper, err = newKeeper(file, v.as)
	}
	return err
}

// watch runs the command while the kernel is watched, or without if that is not
// possible and o permits it; the error says why. It returns when the command has
// ended, and everything before its end has been told.
func (v *runView) watch(ctx context.Context, o watchOptions) error {
	var err error
	if v.apart.group, err = v.app.newGroup(); err != nil {
		v.apart.refuse(err)
	}
	p := &pipeline{out: newOutbox(io.Discard), view: v, interval: time.Second}
	v.pipeline = p
	if v.keeper != nil {
		p.tap = v.keeper.keep
	}
	v.ctx = ctx
	spent, _, err := v.app.observe(v.untilStarted(ctx), o, p)
	if !v.started.Load() && ctx.Err() == nil && (o.FallBack || err == nil) {
		v.start(nil)
	}
	if !v.started.Load() && ctx.Err() != nil {
		err = errors.Join(err, errStopped)
	}
	if v.process != nil {
		<-v.ended
		err = errors.Join(err, v.waitErr)
	}
	v.conclude(spent)
	if v.keeper != nil {
		err = errors.Join(err, v.keeper.close(v.app.stderr))
	}
	return errors.Join(v.failed, err, v.apart.close())
}

// errStopped ends a run that was stopped before its command began.
var errStopped = errors.New("stopped before the command began")

// untilStarted ends with ctx, unless the command runs by then: from there on the
// signals are the command's, and it decides when this ends.
func (v *runView) untilStarted(ctx context.Context) context.Context {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		if !v.started.Load() {
			stop()
		}
	})
	return watching
}

// conclude asks the ledger, and says what it cannot know.
func (v *runView) conclude(spent *fields.SelfReport) {
	o := &v.outcome
	switch {
	case spent == nil:
		o.why = "nothing was watched"
		return
	case spent.Mode == event.ModeDiag:
		o.why = "mode diag sees neither what is given nor what is refused"
	default:
		o.why = v.apart.why()
		o.told, o.doubt = o.why == "", v.apart.doubt()
	}
	if s := v.pipeline.ledger.Snapshot(v.pipeline.now); s.At != 0 {
		o.blame = v.pipeline.ledger.Blame(s.At, v.selection())
		o.lost = s.Counters.LostEvents
	}
}

// report is the outcome as it is printed.
func (v *runView) report(unwatched error) fields.RunReport {
	o := &v.outcome
	r := fields.RunReport{
		Argv: v.argv, ExitCode: v.code, Took: time.Duration(v.endedAt - v.startedAt),
		Own: o.own, Others: o.others, Untold: o.why, Blame: o.blame,
	}
	if o.told {
		r.Apart = v.apart.report()
	}
	if unwatched != nil {
		r.Untold = unwatched.Error()
	}
	return r
}

// selection is the pools that the command had a part in, and the refusals in which
// it was refused, or held what was wanted; everything where that is not known.
func (v *runView) selection() aggregate.Selection {
	if !v.outcome.told {
		return aggregate.Selection{}
	}
	return aggregate.Selection{
		Pool: func(p *aggregate.Pool) bool {
			return slices.ContainsFunc(p.Owners, func(o aggregate.PoolOwner) bool { return v.apart.own(o.Owner) })
		},
		Failure: func(f *aggregate.Failure) bool { return v.apart.own(f.Owner) || f.Sight.HeldBy(v.apart.own) },
	}
}

// peakUsed is the highest used_ratio of the tightest pool.
func (o *runOutcome) peakUsed() (float64, bool) {
	if o.blame == nil || o.blame.Peak == nil {
		return 0, false
	}
	return o.blame.Peak.Pool.UsedRatio()
}

// bootNow is the clock of events.
func bootNow() event.Time {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return event.Time(ts.Nano())
}
