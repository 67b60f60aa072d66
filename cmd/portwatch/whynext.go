package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/tracer"
)

// runNext waits for the next refusal and explains it.
func runNext(cmd *cobra.Command, a *app, f *whyFlags) error {
	if f.mode.word == "diag" {
		return usagef(cmd, "--mode diag sees no refusals: name a port, or leave --mode out")
	}
	filters := &filterFlags{}
	if f.netns != "" {
		filters.netns = []string{f.netns}
	}
	if f.pid > 0 {
		filters.pids = []string{fmt.Sprint(f.pid)}
	}
	chosen, err := filters.compile(cmd)
	if err != nil {
		return err
	}
	o := watchOptions{Logger: newLogger(a, "warn"), MaxLeases: tracer.DefaultMaxLeases}
	fmt.Fprintln(a.stderr, "Waiting for the next refusal; Ctrl-C ends it. Next: portwatch why PORT")
	v := &nextView{ctx: cmd.Context(), app: a, filter: chosen, foldFrom: f.foldFrom()}
	p := &pipeline{out: newOutbox(io.Discard), view: v, interval: time.Second, length: f.length}
	v.pipeline = p
	spent, last, err := a.observe(cmd.Context(), o, p)
	if spent == nil || err != nil {
		return err
	}
	if v.report == nil {
		v.report, v.meta = &fields.WhyReport{Watched: watchedWords(last)}, &last.Meta
	}
	return printWhy(a, f, v.meta, v.report)
}

// watchedWords say what not seeing a refusal is worth.
func watchedWords(s *aggregate.Snapshot) string {
	watched := time.Duration(s.At - s.From).Round(time.Second)
	return fmt.Sprintf("No local port was refused in the %s watched (%s mode, %d events lost).",
		watched, s.Start.Mode, s.Counters.LostEvents)
}

// nextView waits for a refusal, and looks who holds what was asked for there and
// then.
type nextView struct {
	pipeline *pipeline
	ctx      context.Context
	app      *app
	filter   *filter
	start    event.Start
	from     event.Time
	clock    aggregate.Clock
	foldFrom int
	report   *fields.WhyReport
	meta     *aggregate.Meta
}

func (v *nextView) frame(*aggregate.Snapshot) error { return nil }

func (v *nextView) event(r *aggregate.Record) error {
	if s := r.Event.Start; r.Event.Kind == event.KindStart && s != nil {
		v.start, v.from = *s, r.Event.Time
		v.clock = aggregate.ClockAt(r.Event.Time, s.WallNano)
	}
	if r.Event.Kind != event.KindFailure || !v.filter.event(r) {
		return nil
	}
	booked := v.pipeline.ledger.Snapshot(0).Failures // the newest first
	if len(booked) == 0 {
		return nil
	}
	report, err := v.explain(&booked[0])
	if err != nil {
		return err
	}
	v.report = report
	v.meta = &aggregate.Meta{At: r.Event.Time, From: v.from, Clock: v.clock, Start: v.start}
	return errEnough
}

// explain looks at the place of the refusal. Where that has ended meanwhile, the
// refusal itself is all there is to say.
func (v *nextView) explain(f *aggregate.Failure) (*fields.WhyReport, error) {
	report := &fields.WhyReport{Failure: f}
	g, err := v.openAt(f)
	if err != nil {
		report.Notes = []string{"who holds it could not be looked up: " + err.Error()}
		return report, nil
	}
	defer g.Close()
	found := &fields.WhyReport{}
	switch {
	case f.Reason == event.ReasonPoolExhausted:
		found, err = connectTo(v.ctx, g, f.Remote, f.Local.Addr())
	case asksForPort(f):
		found, err = answerPorts(v.ctx, g, []aggregate.PortQuestion{{
			Protocol: f.Protocol, Port: f.Local.Port(), Addr: f.Local.Addr().Unmap(),
		}}, v.foldFrom)
	}
	if err != nil {
		return nil, err
	}
	found.Failure = f
	return found, nil
}

// asksForPort reports whether a failure is about a port that somebody may hold.
func asksForPort(f *aggregate.Failure) bool {
	if !f.Local.IsValid() || f.Local.Port() == 0 {
		return false
	}
	switch f.Reason {
	case event.ReasonPortHeld, event.ReasonTupleTaken, event.ReasonPrivileged, event.ReasonAddressNotLocal:
		return true
	}
	return false
}

// openAt opens the namespace of a failure for the process that was refused, or for
// us if that has ended.
func (v *nextView) openAt(f *aggregate.Failure) (ground, error) {
	o := groundOptions{Netns: fmt.Sprintf("inode:%d", f.NetNS), PID: int(f.Owner.ID.PID)}
	g, err := v.app.kernel.ground(v.ctx, o)
	if errors.Is(err, errUsage) {
		o.PID = 0
		g, err = v.app.kernel.ground(v.ctx, o)
	}
	return g, err
}

// connectTo answers about one destination, from one address if it is known.
func connectTo(ctx context.Context, g ground, to netip.AddrPort, from netip.Addr) (*fields.WhyReport, error) {
	t := aggregate.ConnectTarget{Remote: to, Local: from}
	if !from.IsValid() || from.IsUnspecified() {
		var err error
		if t, err = g.Target(to); err != nil {
			return nil, err
		}
	}
	return meterTargets(ctx, g, []aggregate.ConnectTarget{t})
}

// meterTargets counts how many more connect()s to the targets succeed.
func meterTargets(ctx context.Context, g ground, targets []aggregate.ConnectTarget) (*fields.WhyReport, error) {
	facts := g.Facts()
	meter := aggregate.NewConnectMeter(&facts.Limits, facts.Name, targets, facts.Blind)
	sight, err := lookAt(ctx, g, func(s *event.Sighting) bool { meter.Add(s); return false })
	if err != nil {
		return nil, err
	}
	return &fields.WhyReport{Connect: meter.Answers(), Notes: facts.Notes, Unread: unreadOf(sight)}, nil
}
