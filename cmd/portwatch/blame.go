package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
)

const blameLong = `Says in one sentence how full the tightest pool of ports is, by whom, and who was
refused; then who holds the ports and in what pattern, who was refused what, and
what helps: each remedy by itself, with the headroom that it leads to.

It answers after 3 s, and once more when the owners of all ports are known: a
TIME_WAIT from before the start has no owner that anybody knows, and is gone
within about 62 s. With --for it watches so long and answers once. Ctrl-C prints
what there is. Documents and tickets (-o json, csv, md) are printed once, at the
end.

With -r it reads a recording and answers about all of it, or about what was
until --at.

Filters choose what is shown. With -p 977 that are the failures in which 977 was
refused or held what was wanted; the holders and numbers are those of all.`

const blameExample = `  portwatch blame                       who took the ports?
  portwatch blame -p 977                who keeps them from process 977?
  portwatch blame --for 5m -o md        for a ticket
  portwatch blame -r FILE --at 14:03    what it said then`

const (
	// firstAnswer is when blame answers for the first time.
	firstAnswer = 3 * time.Second
	// lastAnswer is when it answers even if some owners are not known: what was
	// in TIME_WAIT at the start has gone by then.
	lastAnswer = 66 * time.Second
)

// blameFlags are those of blame.
type blameFlags struct {
	watch    *watchFlags
	filter   *filterFlags
	output   choice
	length   time.Duration
	utc      bool
	noHeader bool
	read     readOptions
}

func newBlameCommand(a *app) *cobra.Command {
	f := &blameFlags{watch: newWatchFlags(), filter: &filterFlags{}, output: newChoice("table", "wide", "json", "md", "csv")}
	cmd := &cobra.Command{
		Use: "blame", Short: "who took the ports, who was refused, what helps", Long: blameLong, Example: blameExample,
		GroupID: groupLook, Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runBlame(cmd, a, f) }
	flags := cmd.Flags()
	flags.VarP(&f.output, "output", "o", "how to print")
	flags.DurationVar(&f.length, "for", 0, "watch so long and answer once (0: until all owners are known)")
	flags.BoolVar(&f.utc, "utc", false, "print times in UTC")
	flags.BoolVarP(&f.noHeader, "no-header", "H", false, "print no headers")
	f.read.register(flags, flagAt)
	f.filter.register(flags)
	f.watch.register(flags)
	return cmd
}

func runBlame(cmd *cobra.Command, a *app, f *blameFlags) error {
	if f.length < 0 {
		return usagef(cmd, "--for %s: must not be negative", f.length)
	}
	chosen, err := f.filter.compile(cmd)
	if err != nil {
		return err
	}
	o, err := f.read.options(cmd, a, f.watch, chosen, f.utc)
	if err != nil {
		return err
	}
	out := newOutbox(a.stdout)
	v := &blameView{cmd: cmd, flags: f, filter: chosen, out: out, width: a.width()}
	p := pipeline{out: out, view: v, interval: time.Second}
	v.pipeline = &p
	return a.watch(cmd.Context(), o, &p)
}

// blameView answers when it is time to.
type blameView struct {
	cmd      *cobra.Command
	flags    *blameFlags
	filter   *filter
	pipeline *pipeline
	out      *outbox
	width    int
	answers  int
	done     bool // the last answer has been given
}

func (v *blameView) event(*aggregate.Record) error { return nil }

// frame looks once a second whether an answer is due.
func (v *blameView) frame(s *aggregate.Snapshot) error {
	if err := v.filter.met(v.cmd, s); err != nil {
		v.done = true
		return err
	}
	watched := time.Duration(s.At - s.From)
	switch {
	case v.flags.read.file != "": // the answer is about all of it
		return nil
	case v.flags.length > 0:
		if watched < v.flags.length {
			return nil
		}
		return v.last(s.At)
	case watched < firstAnswer:
		return nil
	case s.Complete && s.UnattributedWaits == 0 || watched >= lastAnswer:
		return v.last(s.At)
	case v.answers == 0 && v.screen():
		return v.answer(s.At)
	}
	return nil
}

// end answers when the stream has ended before an answer was due.
func (v *blameView) end() error {
	s := v.pipeline.ledger.Snapshot(v.pipeline.now)
	if s.At == 0 || v.done {
		return nil
	}
	return v.answer(s.At)
}

func (v *blameView) last(at event.Time) error {
	v.done = true
	return enough(v.answer(at))
}

// screen reports whether people read it as it comes: a document is one.
func (v *blameView) screen() bool {
	return v.flags.output.word == "table" || v.flags.output.word == "wide"
}

func (v *blameView) answer(at event.Time) error {
	b := v.pipeline.ledger.Blame(at, v.filter.blamed())
	c := &fields.Context{Meta: &b.Meta, Location: v.location()}
	var buf []byte
	if v.answers > 0 {
		buf = append(buf, '\n')
	}
	if _, err := v.out.Write(v.format(buf, c, b)); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	v.answers++
	return nil
}

func (v *blameView) format(buf []byte, c *fields.Context, b *aggregate.Blame) []byte {
	switch v.flags.output.word {
	case "json":
		return append(fields.Blame.AppendJSON(buf, c, b), '\n')
	case "md":
		return text.AppendBlameMarkdown(buf, c, b)
	case "csv":
		if !v.flags.noHeader {
			buf = fields.BlameSheet.AppendHeader(buf)
		}
		for i := range b.Culprits {
			buf = fields.BlameSheet.AppendRow(buf, c, &b.Culprits[i])
		}
		return buf
	}
	return text.AppendBlame(buf, c, b, text.BlameOptions{
		Width: v.width, Wide: v.flags.output.word == "wide", NoHeader: v.flags.noHeader,
	})
}

func (v *blameView) location() *time.Location {
	if v.flags.utc {
		return time.UTC
	}
	return time.Local
}

// blamed is the filter for blame: a failure is shown if somebody chosen was
// refused, or held what was wanted.
func (f *filter) blamed() aggregate.Selection {
	if f.anybody() && len(f.netns) == 0 && f.tcp == f.udp && f.ipv4 == f.ipv6 && !f.onlyFails {
		return aggregate.Selection{}
	}
	return aggregate.Selection{Pool: f.pool, Failure: func(e *aggregate.Failure) bool {
		return f.namespace(e.NetNS, e.NetNSName) && f.kind(e.Protocol, e.Family) && (f.owner(e.Owner) || e.Sight.HeldBy(f.owner))
	}}
}
