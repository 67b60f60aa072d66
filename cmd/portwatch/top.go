package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/jsonl"
	"github.com/portwatch/portwatch/internal/output/text"
)

const topLong = `Prints a frame each interval: the network namespaces, then the owners with most
ports, then what was refused last. PORTS counts TIME_WAIT; TRY/s is what was
asked for, given or refused. Filters choose what is shown, never what is
watched; a namespace's line always counts all its owners.`

const topExample = `  portwatch top --batch -n 1            one frame
  portwatch top --batch -p 977 -i 5s    one process, every five seconds
  portwatch top --batch -o jsonl        a document per frame`

func newTopCommand(a *app) *cobra.Command {
	flags := newStreamFlags("table", "wide", "json", "jsonl", "csv")
	batch := false
	cmd := &cobra.Command{
		Use: "top", Short: "who holds ports, live", Long: topLong, Example: topExample,
		GroupID: groupLook, Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runTop(cmd, a, flags, batch) }
	cmd.Flags().BoolVarP(&batch, "batch", "b", false, "print frames as text")
	cmd.Flags().IntVar(&flags.rows, "top", 20, "owners and namespaces shown per frame (0: all)")
	flags.register(cmd.Flags())
	return cmd
}

func runTop(cmd *cobra.Command, a *app, flags *streamFlags, batch bool) error {
	if err := flags.check(cmd); err != nil {
		return err
	}
	if flags.output.word == "json" && flags.count != 1 {
		return usagef(cmd, "-o json prints one document and top prints a stream: use -o jsonl, or -n 1")
	}
	chosen, err := flags.filter.compile(cmd)
	if err != nil {
		return err
	}
	o, err := flags.read.options(cmd, a, flags.watch, chosen, flags.utc)
	if err != nil {
		return err
	}
	o.FallBack = true
	if !batch && flags.output.word == "table" {
		fmt.Fprintln(a.stderr, "top has no interactive screen yet and prints frames. Next: portwatch top --batch")
	}
	from, err := o.Recording.moment(cmd.Context(), o.Recording.from)
	if err != nil {
		return err
	}
	out := newOutbox(a.stdout)
	v := &topView{cmd: cmd, from: from, flags: flags, filter: chosen, out: out, width: a.width()}
	v.documents = jsonl.NewWriter(out, fields.Top)
	v.limitRows = cmd.Flags().Changed("top")
	return a.watch(cmd.Context(), o, &pipeline{out: out, view: v, interval: flags.interval, length: flags.length})
}

// topView prints frames.
type topView struct {
	from      event.Time // when to begin to print
	cmd       *cobra.Command
	flags     *streamFlags
	filter    *filter
	out       io.Writer
	documents *jsonl.Writer[aggregate.Snapshot]
	width     int
	limitRows bool // --top was given: documents obey it too
	frames    int
	buf       []byte
}

func (v *topView) event(*aggregate.Record) error { return nil }

func (v *topView) frame(s *aggregate.Snapshot) error {
	if err := v.filter.met(v.cmd, s); err != nil {
		return err
	}
	if s.At < v.from {
		return nil
	}
	shown := s.Select(v.filter.selection())
	if err := v.print(&fields.Context{Meta: &s.Meta, Location: v.flags.location()}, shown); err != nil {
		return err
	}
	v.frames++
	if v.frames == v.flags.count {
		return errEnough
	}
	return nil
}

func (v *topView) print(c *fields.Context, s *aggregate.Snapshot) error {
	switch v.flags.output.word {
	case "json", "jsonl":
		v.limit(s)
		return v.documents.Write(c, s)
	case "csv":
		v.limit(s)
		return v.printSheet(c, s)
	}
	v.buf = v.buf[:0]
	if v.frames > 0 {
		v.buf = append(v.buf, '\n')
	}
	v.buf = text.AppendTop(v.buf, c, s, text.TopOptions{
		Width: v.width, Rows: v.flags.rows, Wide: v.flags.output.word == "wide", NoHeader: v.flags.noHeader,
	})
	_, err := v.out.Write(v.buf)
	return err
}

// limit cuts a document's owners if --top was given; s is the view's own.
func (v *topView) limit(s *aggregate.Snapshot) {
	if v.limitRows && v.flags.rows > 0 && len(s.Owners) > v.flags.rows {
		s.Owners = s.Owners[:v.flags.rows]
	}
}

func (v *topView) printSheet(c *fields.Context, s *aggregate.Snapshot) error {
	v.buf = v.buf[:0]
	if v.frames == 0 && !v.flags.noHeader {
		v.buf = fields.TopSheet.AppendHeader(v.buf)
	}
	for i := range s.Owners {
		v.buf = fields.TopSheet.AppendRow(v.buf, c, &s.Owners[i])
	}
	_, err := v.out.Write(v.buf)
	return err
}
