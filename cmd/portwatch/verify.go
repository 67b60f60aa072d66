package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
	"github.com/portwatch/portwatch/internal/verify"
)

const verifyLong = `Watches until the picture is complete, then compares it, socket by socket, with
what sock_diag lists, which nothing of the picture comes from.

Listing takes the kernel a while. A socket is alike if it was listed as the
picture had it at some moment of that while. A difference counts if two passes, a
second apart, show the same socket to differ in the same way, and no event spoke
of it in between. What changes faster is in flight: counted and printed, not
judged: on a host that stops over 50,000 timers a second these are TIME_WAITs that
a reset ended, unless --exact-time-wait follows them. Accepted sockets and
half-open requests are not compared. Exit code 1 if anything differs.`

const verifyExample = `  portwatch verify                      once
  portwatch verify -o json              as a document`

// verifyPatience is how long the picture may take to be complete.
const verifyPatience = time.Minute

var (
	errDiffer     = errors.New("the ledger and the kernel differ")
	errIncomplete = errors.New("the picture was not complete in time: nothing was compared")
)

func newVerifyCommand(a *app) *cobra.Command {
	flags, output := newWatchFlags(), newChoice("table", "json")
	length := verifyPatience
	cmd := &cobra.Command{
		Use: "verify", Short: "is the picture what the kernel says", Long: verifyLong, Example: verifyExample,
		GroupID: groupCheck, Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if length < time.Second {
			return usagef(cmd, "--for %s: must be at least 1s", length)
		}
		o, err := flags.options(cmd, a)
		if err != nil {
			return err
		}
		if o.Mode == event.ModeDiag {
			return usagef(cmd, "--mode diag: its picture is what sock_diag lists, so there is nothing to compare that with: take auto")
		}
		return runVerify(cmd, a, o, verifyOptions{output: output.word, length: length})
	}
	cmd.Flags().VarP(&output, "output", "o", "how to print")
	cmd.Flags().DurationVar(&length, "for", length, "how long to wait for a complete picture")
	flags.register(cmd.Flags())
	return cmd
}

type verifyOptions struct {
	output string
	length time.Duration
}

func runVerify(cmd *cobra.Command, a *app, o watchOptions, v verifyOptions) error {
	out := newOutbox(a.stdout)
	view := &verifyView{ctx: cmd.Context(), app: a, out: out, output: v.output}
	p := pipeline{out: out, view: view, interval: time.Second, length: v.length, tap: view.before}
	view.pipeline = &p
	if err := a.watch(cmd.Context(), o, &p); err != nil {
		return err
	}
	switch {
	case view.report == nil:
		return errIncomplete
	case view.report.Differ():
		return errDiffer
	}
	return nil
}

// verifyView compares the pipeline's ledger twice, and prints what came of it.
type verifyView struct {
	ctx      context.Context
	app      *app
	pipeline *pipeline
	out      *outbox
	output   string
	verifier *verify.Verifier
	report   *verify.Report
}

func (v *verifyView) frame(*aggregate.Snapshot) error { return nil }

// before shows the verifier an event before it is booked.
func (v *verifyView) before(ev *event.Event) error {
	if v.verifier == nil {
		v.verifier = verify.New(v.pipeline.ledger)
	}
	v.verifier.Event(ev)
	return nil
}

func (v *verifyView) event(r *aggregate.Record) error {
	if r.Event.Kind != event.KindTick {
		return nil
	}
	return v.tick(r.Event.Time)
}

// tick does the next step that is due.
func (v *verifyView) tick(now event.Time) error {
	if v.verifier.Ready(now) {
		if report, done := v.verifier.Pass(); done {
			v.report = &report
			return enough(v.print())
		}
	}
	if !v.verifier.Due(now) || !v.pipeline.ledger.Snapshot(now).Complete {
		return nil
	}
	picture, err := v.app.kernel.sockets(v.ctx)
	if err != nil {
		return err
	}
	v.verifier.Take(picture)
	return nil
}

func (v *verifyView) print() error {
	s := v.pipeline.ledger.Snapshot(0)
	c := &fields.Context{Meta: &s.Meta}
	report := verifyReport(v.report, s)
	var buf []byte
	if v.output == "json" {
		buf = append(fields.Verify.AppendJSON(nil, c, &report), '\n')
	} else {
		buf = text.AppendVerify(nil, c, &report, v.app.width())
	}
	if _, err := v.out.Write(buf); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// verifyReport is the report as it is printed.
func verifyReport(r *verify.Report, s *aggregate.Snapshot) fields.VerifyReport {
	names := map[uint32]string{}
	for i := range s.Namespaces {
		names[s.Namespaces[i].NetNS] = s.Namespaces[i].Name
	}
	report := fields.VerifyReport{
		Listed: r.Listed, Checked: r.Checked, Missing: r.Missing, Extra: r.Extra, StateDiffers: r.StateDiffers,
		InFlight: r.InFlight, Unattributed: r.Unattributed, BoundCompared: r.BoundCompared,
	}
	for _, d := range r.Differences {
		report.Differences = append(report.Differences, fields.VerifyDifference{
			Kind: d.Kind.String(), NetNS: d.NetNS, NetNSName: names[d.NetNS], Protocol: d.Protocol, Cookie: d.Cookie,
			Ledger: verifySide(d.Ledger), Kernel: verifySide(d.Kernel),
		})
	}
	return report
}

func verifySide(s verify.Side) *fields.VerifySide {
	if s == (verify.Side{}) {
		return nil
	}
	side := fields.VerifySide(s)
	return &side
}
