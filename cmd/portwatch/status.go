package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
)

const statusLong = `Says the headroom of the tightest pools, and that of bind(0) in each namespace:
how many further requests succeed; and how many ports come back in 10, 30 and
60 s. A pool is what one kind of request draws from: for connect() one per local
address and far end, because a port serves many destinations.

Without --for it attaches nothing to the kernel, reads the sockets once and
ends: rates, refusals and the owners of TIME_WAIT are not known then, and
headroom is an upper bound (≤), because ports that are bound but unused may
hide. With --for it watches so long.

With -r it reads a recording and says what was so at its end, or at --at.

With --warn or --crit it speaks to monitoring: a line PORTWATCH OK, WARNING,
CRITICAL or UNKNOWN with figures behind |, and exit code 0, 1, 2 or 3, about the
worst pool that somebody asks for ports. A threshold is a percentage of
used_ratio (70%), ports of headroom (500), or a time until the pool runs dry
(5m, with --for).`

const statusExample = `  portwatch status                        how many more ports can I get?
  portwatch status --for 15s              with rates, owners and forecast
  portwatch status -r FILE --at -5m       five minutes before its end
  portwatch status --warn 70% --crit 90%  for monitoring: exit code 0, 1, 2 or 3`

// forecastNeeds is the least --for under which a forecast has its data.
const forecastNeeds = 12 * time.Second

// statusPatience is how long one shot waits for a complete picture.
const statusPatience = 5 * time.Second

// statusFlags are those of status.
type statusFlags struct {
	watch      *watchFlags
	filter     *filterFlags
	output     choice
	length     time.Duration
	rows       int
	utc        bool
	noHeader   bool
	warn, crit string
	read       readOptions
}

func newStatusCommand(a *app) *cobra.Command {
	f := &statusFlags{watch: newWatchFlags(), filter: &filterFlags{}, output: newChoice("table", "wide", "json", "csv")}
	cmd := &cobra.Command{
		Use: "status", Short: "the headroom of each pool, and when ports come back", Long: statusLong, Example: statusExample,
		GroupID: groupLook, Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runStatus(cmd, a, f) }
	flags := cmd.Flags()
	flags.VarP(&f.output, "output", "o", "how to print")
	flags.DurationVar(&f.length, "for", 0, "attach and watch so long (0: read once, attach nothing)")
	flags.IntVar(&f.rows, "top", 10, "pools and namespaces shown (0: all)")
	flags.BoolVar(&f.utc, "utc", false, "print times in UTC")
	flags.BoolVarP(&f.noHeader, "no-header", "H", false, "print no headers")
	flags.StringVar(&f.warn, "warn", "", "monitoring: exit 1 from 70%, below 500 ports of headroom, or within 5m until dry")
	flags.StringVar(&f.crit, "crit", "", "monitoring: exit 2 in the same way")
	f.read.register(flags, flagAt)
	f.filter.register(flags)
	f.watch.register(flags)
	return cmd
}

// check refuses what cannot work before anything starts.
func (f *statusFlags) check(cmd *cobra.Command) (thresholds, error) {
	t, err := parseThresholds(f.warn, f.crit)
	switch {
	case err != nil:
		return t, usagef(cmd, "%s", err)
	case f.length < 0 || f.length > 0 && f.length < time.Second:
		return t, usagef(cmd, "--for %s: must be at least 1s", f.length)
	case f.rows < 0:
		return t, usagef(cmd, "--top %d: must not be negative", f.rows)
	case f.read.file != "":
	case t.forecasts() && f.length < forecastNeeds:
		return t, usagef(cmd, "a time until dry needs a forecast, and that needs --for %s or longer", forecastNeeds)
	case f.length == 0 && f.watch.mode.word != "auto" && f.watch.mode.word != "diag":
		return t, usagef(cmd, "--mode %s: status attaches nothing without --for: add --for 15s", f.watch.mode.word)
	}
	return t, nil
}

func runStatus(cmd *cobra.Command, a *app, f *statusFlags) error {
	limits, err := f.check(cmd)
	if err != nil {
		return err
	}
	chosen, err := f.filter.compile(cmd)
	if err != nil {
		return err
	}
	o, err := f.read.options(cmd, a, f.watch, chosen, f.utc)
	if err != nil {
		return err
	}
	o.FallBack = true
	if f.length == 0 {
		o.Mode = event.ModeDiag
	}
	out := newOutbox(a.stdout)
	v := &statusView{cmd: cmd, flags: f, filter: chosen, limits: limits, out: out, width: a.width()}
	p := pipeline{out: out, view: v, interval: time.Second}
	v.pipeline = &p
	if _, _, err := a.observe(cmd.Context(), o, &p); err != nil {
		return err
	}
	if os.Geteuid() != 0 && f.read.file == "" {
		fmt.Fprintln(a.stderr, "Not root: namespaces that may not be entered are left out, and owners that may not be read are unknown.")
	}
	switch {
	case !v.done:
		return errors.New("nothing was seen before the end")
	case v.verdict.state != checkOK:
		return exitStatus(v.verdict.state)
	}
	return nil
}

// statusView answers once.
type statusView struct {
	cmd      *cobra.Command
	flags    *statusFlags
	filter   *filter
	limits   thresholds
	pipeline *pipeline
	out      *outbox
	width    int
	done     bool
	verdict  verdict
}

// event looks at each tick: one shot is over with the first complete picture.
func (v *statusView) event(r *aggregate.Record) error {
	if r.Event.Kind != event.KindTick || v.flags.length > 0 || v.flags.read.file != "" {
		return nil
	}
	s := v.pipeline.ledger.Snapshot(r.Event.Time)
	if !s.Complete && time.Duration(s.At-s.From) < statusPatience {
		return nil
	}
	return enough(v.answer(s))
}

func (v *statusView) frame(s *aggregate.Snapshot) error {
	if v.flags.length == 0 || time.Duration(s.At-s.From) < v.flags.length {
		return nil
	}
	return enough(v.answer(s))
}

// end answers when the stream has ended before an answer was due.
func (v *statusView) end() error {
	s := v.pipeline.ledger.Snapshot(v.pipeline.now)
	if v.done || s.At == 0 {
		return nil
	}
	return v.answer(s)
}

func (v *statusView) answer(s *aggregate.Snapshot) error {
	v.done = true
	if err := v.filter.met(v.cmd, s); err != nil {
		return err
	}
	shown := s.Select(v.filter.selection())
	c := &fields.Context{Meta: &s.Meta, Location: v.location()}
	if v.monitors() {
		v.verdict = v.limits.judge(shown, c.SeesRequests())
	}
	if _, err := v.out.Write(v.format(c, shown)); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

func (v *statusView) monitors() bool { return v.flags.warn != "" || v.flags.crit != "" }

func (v *statusView) format(c *fields.Context, s *aggregate.Snapshot) []byte {
	switch v.flags.output.word {
	case "json":
		return append(fields.Status.AppendJSON(nil, c, s), '\n')
	case "csv":
		var buf []byte
		if !v.flags.noHeader {
			buf = fields.StatusSheet.AppendHeader(buf)
		}
		for i := range s.Pools {
			buf = fields.StatusSheet.AppendRow(buf, c, &s.Pools[i])
		}
		return buf
	}
	if v.monitors() {
		return []byte(v.limits.line(&v.verdict, fields.Summary(c, s)))
	}
	return text.AppendStatus(nil, c, s, text.TopOptions{
		Width: v.width, Rows: v.flags.rows, Wide: v.flags.output.word == "wide", NoHeader: v.flags.noHeader,
	})
}

func (v *statusView) location() *time.Location {
	if v.flags.utc {
		return time.UTC
	}
	return time.Local
}
