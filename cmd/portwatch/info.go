package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
	"github.com/portwatch/portwatch/internal/recording"
)

const infoLong = `Says what a recording is: of which host and when, how much is in it, and what is
missing.`

const checkFileLong = `Reads every block of a recording and every event in it. Exit code 0 if all is
well; a tail that was cut off when the writer was killed is well, and said. Exit
code 5 if something is damaged: where, why, and what is missing.`

// fileFlags are those of verbs that look at a recording as a file.
type fileFlags struct {
	utc    bool
	output choice
}

func newFileFlags() *fileFlags { return &fileFlags{output: newChoice("table", "json")} }

func (f *fileFlags) register(fs *pflag.FlagSet) {
	fs.VarP(&f.output, "output", "o", "how to print")
	fs.BoolVar(&f.utc, "utc", false, "print times in UTC")
}

func newInfoCommand(a *app) *cobra.Command {
	f := newFileFlags()
	cmd := &cobra.Command{
		Use: "info FILE", Short: "what is in a recording", Long: infoLong, GroupID: groupRecord, Args: cobra.ArbitraryArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, err := describeFile(cmd, a, args, f, false)
		return err
	}
	f.register(cmd.Flags())
	return cmd
}

func newCheckCommand(a *app) *cobra.Command {
	f := newFileFlags()
	cmd := &cobra.Command{
		Use: "check FILE", Short: "is a recording whole", Long: checkFileLong, GroupID: groupRecord, Args: cobra.ArbitraryArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := describeFile(cmd, a, args, f, true)
		if err == nil && len(s.Damages) > 0 {
			return exitStatus(exitRecording)
		}
		return err
	}
	f.register(cmd.Flags())
	return cmd
}

// describeFile prints what is known of a recording; thorough reads all of it.
func describeFile(cmd *cobra.Command, a *app, args []string, f *fileFlags, thorough bool) (*recording.Survey, error) {
	if len(args) != 1 {
		return nil, usagef(cmd, "want one file: portwatch %s FILE", cmd.Name())
	}
	if args[0] == "-" {
		return nil, usagef(cmd, "-: standard input has no name to look at twice: want a file")
	}
	s, err := recording.Look(cmd.Context(), args[0], thorough)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return nil, err
		}
		return nil, classifiedError{err, errRecording}
	}
	location := time.Local
	if f.utc {
		location = time.UTC
	}
	report := recordingReport(args[0], s, location, thorough)
	buf := text.AppendRecording(nil, report)
	if f.output.word == "json" {
		c := &fields.Context{Meta: &aggregate.Meta{Clock: clockOf(s)}}
		buf = append(fields.Recording.AppendJSON(nil, c, report), '\n')
	}
	if _, err := a.stdout.Write(buf); err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return s, nil
}

func recordingReport(name string, s *recording.Survey, location *time.Location, thorough bool) *fields.RecordingReport {
	r := &fields.RecordingReport{
		File: name, Format: fmt.Sprintf("%d.%d", s.Header.Major, s.Header.Minor), Writer: s.Header.Writer, ID: s.Header.ID,
		Bytes: uint64(s.Bytes), Blocks: s.Blocks, Events: s.Events, Allocations: s.Allocations, Failures: s.Failures,
		First: s.First, Last: s.Last, Took: time.Duration(s.Last - s.First), Closed: s.Closed, Checked: thorough,
	}
	if s.Start != nil {
		r.Start = s.Start.Start
	}
	clock := clockOf(s)
	if from, known := clock.Wall(s.First); known {
		to, _ := clock.Wall(s.Last)
		r.From, r.To = from.In(location), to.In(location)
	}
	for _, n := range s.Notes {
		r.Notes = append(r.Notes, n.Text)
	}
	for i := range s.Damages {
		d := &s.Damages[i]
		r.Damages = append(r.Damages, fields.RecordingDamage{
			Offset: d.Offset, Length: d.Length, Reason: d.Reason, Sentence: damageWords(d),
			After: d.After, Before: d.Before, Blocks: d.Blocks, Events: d.Events, Known: d.Known,
		})
	}
	return r
}
