package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
)

const selfLong = `Watches the kernel as top does, prints nothing of it, and says what that took:
CPU time in the kernel and in this process, memory, and what was lost.`

func newSelfCommand(a *app) *cobra.Command {
	flags, output := newWatchFlags(), newChoice("table", "json")
	length := 3 * time.Second
	cmd := &cobra.Command{
		Use: "self", Short: "what portwatch itself costs on this host", Long: selfLong, GroupID: groupCheck, Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if length < time.Second {
			return usagef(cmd, "--for %s: must be at least 1s", length)
		}
		o, err := flags.options(cmd, a)
		if err != nil {
			return err
		}
		return runSelf(cmd, a, o, selfView{output: output.word, length: length})
	}
	cmd.Flags().VarP(&output, "output", "o", "how to print")
	cmd.Flags().DurationVar(&length, "for", length, "how long to measure")
	flags.register(cmd.Flags())
	return cmd
}

// selfView shows nothing; it only ends the pipeline.
type selfView struct {
	output string
	length time.Duration
}

func (selfView) event(*aggregate.Record) error   { return nil }
func (selfView) frame(*aggregate.Snapshot) error { return nil }

func runSelf(cmd *cobra.Command, a *app, o watchOptions, v selfView) error {
	out := newOutbox(io.Discard)
	p := pipeline{out: out, view: v, interval: time.Second, length: v.length}
	spent, last, err := a.observe(cmd.Context(), o, &p)
	if err != nil || last == nil {
		return err
	}
	var buf []byte
	if v.output == "json" {
		buf = append(fields.Self.AppendJSON(nil, &fields.Context{Meta: &last.Meta}, spent), '\n')
	} else {
		buf = text.AppendSelf(nil, spent)
	}
	if _, err := a.stdout.Write(buf); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
