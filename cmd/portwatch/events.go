package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/jsonl"
	"github.com/portwatch/portwatch/internal/output/text"
)

const eventsLong = `Prints what happens to local ports, one line per event. On a terminal: failures,
and a line of rates each second. In a pipe, or with --all: everything.`

const eventsExample = `  portwatch events -x                   only what the kernel refuses
  portwatch events -p 977 -a            all about one process
  portwatch events -D 5432 -o jsonl     all towards one remote port, as JSON`

func newEventsCommand(a *app) *cobra.Command {
	flags := newStreamFlags("table", "jsonl", "json")
	all := false
	cmd := &cobra.Command{
		Use: "events", Short: "what happens to ports, as it happens", Long: eventsLong, Example: eventsExample,
		GroupID: groupLook, Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runEvents(cmd, a, flags, all) }
	cmd.Flags().BoolVarP(&all, "all", "a", false, "print every event, on a terminal too")
	flags.register(cmd.Flags())
	flags.filter.registerPorts(cmd.Flags())
	return cmd
}

func runEvents(cmd *cobra.Command, a *app, flags *streamFlags, all bool) error {
	if err := flags.check(cmd); err != nil {
		return err
	}
	if flags.output.word == "json" {
		return usagef(cmd, "-o json prints one document and events prints a stream: use -o jsonl")
	}
	chosen, err := flags.filter.compile(cmd)
	if err != nil {
		return err
	}
	o, err := flags.read.options(cmd, a, flags.watch, chosen, flags.utc)
	if err != nil {
		return err
	}
	from, err := o.Recording.moment(cmd.Context(), o.Recording.from)
	if err != nil {
		return err
	}
	out := newOutbox(a.stdout)
	v := &eventsView{cmd: cmd, from: from, flags: flags, filter: chosen, out: out, documents: jsonl.NewWriter(out, fields.Event)}
	v.table = text.Table[aggregate.Record]{Columns: fields.EventColumns()}
	v.brief = !all && isTerminal(a.stdout) && flags.output.word == "table"
	return a.watch(cmd.Context(), o, &pipeline{out: out, view: v, interval: flags.interval, length: flags.length})
}

// eventsView prints events as they come.
type eventsView struct {
	from      event.Time // when to begin to print
	cmd       *cobra.Command
	flags     *streamFlags
	filter    *filter
	lost      bool // something, and no walk has ended since
	out       io.Writer
	table     text.Table[aggregate.Record]
	documents *jsonl.Writer[aggregate.Record]
	brief     bool // failures and rates only
	printed   int
	meta      aggregate.Meta
	buf       []byte
}

func (v *eventsView) event(r *aggregate.Record) error {
	if r.Event.Kind == event.KindStart && r.Event.Start != nil {
		v.meta.Clock = aggregate.ClockAt(r.Event.Time, r.Event.Start.WallNano)
	}
	if !v.shows(r) {
		return nil
	}
	if err := v.print(r); err != nil {
		return err
	}
	v.printed++
	if v.printed == v.flags.count {
		return errEnough
	}
	return nil
}

// shows reports whether the event is printed. Ticks are for programs.
func (v *eventsView) shows(r *aggregate.Record) bool {
	kind := r.Event.Kind
	if r.Event.Time < v.from {
		return false
	}
	if kind == event.KindTick && v.flags.output.word == "table" {
		return false
	}
	if v.heals(&r.Event) {
		return true
	}
	if v.brief && kind != event.KindFailure && kind != event.KindLost {
		return false
	}
	return v.filter.event(r)
}

// heals reports whether the event is the beginning or the end of the walk that
// follows a loss. A loss passes every filter, and so does what is done about it.
func (v *eventsView) heals(ev *event.Event) bool {
	switch {
	case ev.Kind == event.KindLost:
		v.lost = true
	case v.lost && ev.Correction == event.CorrectionBegin:
		return true
	case v.lost && ev.Correction == event.CorrectionEnd:
		v.lost = false
		return true
	}
	return false
}

func (v *eventsView) print(r *aggregate.Record) error {
	c := &fields.Context{Meta: &v.meta, Location: v.flags.location()}
	if v.flags.output.word == "jsonl" {
		return v.documents.Write(c, r)
	}
	v.buf = v.buf[:0]
	if v.printed == 0 && !v.flags.noHeader {
		v.buf = v.table.AppendHeader(v.buf)
	}
	v.buf = v.table.AppendRow(v.buf, c, r)
	_, err := v.out.Write(v.buf)
	return err
}

func (v *eventsView) frame(s *aggregate.Snapshot) error {
	if err := v.filter.met(v.cmd, s); err != nil {
		return err
	}
	if !v.brief || s.At < v.from {
		return nil
	}
	c := &fields.Context{Meta: &s.Meta, Location: v.flags.location()}
	v.buf = text.AppendRates(v.buf[:0], c, s.Select(v.filter.selection()))
	_, err := v.out.Write(v.buf)
	return err
}
