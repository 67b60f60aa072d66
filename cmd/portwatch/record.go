package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/launch"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
	"github.com/portwatch/portwatch/internal/recording"
)

const recordLong = `Records what happens to local ports, until Ctrl-C or for --for. Of the file,
blame, status, events and top --batch with -r say what they would have said
live. It can be read while it is written, and after portwatch was killed: at most
a second of events is lost.

The file is new, belongs to who records, and nobody else can read it. It holds
the names of processes, containers and pods, and the addresses that they talked
to, but no command lines. It ends at 2 GiB. While less than 5 % of the disk is
free nothing is written, and the recording says so.`

const recordExample = `  portwatch record -w /var/tmp/ports.pwr          until Ctrl-C
  portwatch record -w ports.pwr --for 10m
  portwatch blame -r ports.pwr                    who took them?
  portwatch status -r ports.pwr --at 14:03        how was it then?`

// recordFlags are those of record.
type recordFlags struct {
	watch  *watchFlags
	file   string
	length time.Duration
}

func newRecordCommand(a *app) *cobra.Command {
	f := &recordFlags{watch: newWatchFlags()}
	cmd := &cobra.Command{
		Use: "record -w FILE", Short: "keep what happens, to look at it later", Long: recordLong, Example: recordExample,
		GroupID: groupRecord, Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runRecord(cmd, a, f) }
	cmd.Flags().StringVarP(&f.file, "write", "w", "", "the new file")
	cmd.Flags().DurationVar(&f.length, "for", 0, "stop after this time (0: when stopped)")
	f.watch.register(cmd.Flags())
	return cmd
}

func runRecord(cmd *cobra.Command, a *app, f *recordFlags) error {
	switch {
	case f.file == "":
		return usagef(cmd, "no file to write: portwatch record -w FILE")
	case f.length < 0:
		return usagef(cmd, "--for %s: must not be negative", f.length)
	}
	o, err := f.watch.options(cmd, a)
	if err != nil {
		return err
	}
	k, err := newKeeper(f.file, nil)
	if err != nil {
		return err
	}
	v := &recordView{keeper: k, stderr: a.stderr, terminal: isTerminal(a.stderr)}
	p := &pipeline{out: newOutbox(io.Discard), view: v, interval: time.Second, length: f.length, tap: k.keep}
	_, _, err = a.observe(cmd.Context(), o, p)
	v.clear()
	return errors.Join(err, k.close(a.stderr))
}

// keeper writes the events of a pipeline to a file.
type keeper struct {
	writer *recording.Writer
	name   string
	first  event.Time
	last   event.Time
}

// newKeeper makes the file. It belongs to as, if that is not nil.
func newKeeper(name string, as *launch.User) (*keeper, error) {
	w, err := recording.Create(name, recording.Options{Version: buildVersion(nil).Version})
	if err != nil {
		return nil, err
	}
	if as != nil {
		if err := os.Lchown(name, int(as.UID), int(as.GID)); err != nil {
			return nil, errors.Join(fmt.Errorf("create recording: %w", err), w.Close())
		}
	}
	return &keeper{writer: w, name: name}, nil
}

func (k *keeper) keep(ev *event.Event) error {
	if k.first == 0 {
		k.first = ev.Time
	}
	k.last = max(k.last, ev.Time)
	return k.writer.Append(ev)
}

// close ends the recording, and says what is in it. One without an event, because
// the kernel could not be watched, is not left behind.
func (k *keeper) close(stderr io.Writer) error {
	err := k.writer.Close()
	s := k.writer.Stats()
	if s.Events == 0 {
		if removeErr := os.Remove(k.name); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("remove empty recording: %w", removeErr))
		}
		return err
	}
	_, writeErr := stderr.Write(text.AppendKept(nil, k.report(s)))
	return errors.Join(err, writeErr)
}

func (k *keeper) report(s recording.Stats) *fields.KeptReport {
	return &fields.KeptReport{
		File: k.name, Events: s.Events - s.Dropped, Dropped: s.Dropped, Bytes: uint64(s.Bytes),
		Took: time.Duration(k.last - k.first), Paused: s.Paused, Full: s.Full,
	}
}

// recordView shows on a terminal how the recording goes.
type recordView struct {
	keeper   *keeper
	stderr   io.Writer
	terminal bool
	drawn    bool
}

func (v *recordView) event(*aggregate.Record) error { return nil }

// frame ends the recording when the file is full.
func (v *recordView) frame(s *aggregate.Snapshot) error {
	stats := v.keeper.writer.Stats()
	if v.terminal {
		v.drawn = true
		line := text.AppendKeeping([]byte("\r\x1b[K"), v.keeper.report(stats), s.Counters.LostEvents)
		if _, err := v.stderr.Write(line); err != nil {
			return fmt.Errorf("write progress: %w", err)
		}
	}
	if stats.Full {
		return errEnough
	}
	return nil
}

// clear removes the line of progress.
func (v *recordView) clear() {
	if v.drawn {
		fmt.Fprint(v.stderr, "\r\x1b[K")
	}
}
