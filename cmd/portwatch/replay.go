package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/recording"
)

// readOptions say which recording is read, and which part of it is shown.
type readOptions struct {
	file     string
	at       string // until when, for verbs that answer once
	from, to string // for verbs that print a stream
	location *time.Location
	maxKept  int // leases
}

// The flags that go with -r.
const (
	flagAt = iota
	flagWindow
)

func (r *readOptions) register(fs *pflag.FlagSet, which int) {
	fs.StringVarP(&r.file, "read", "r", "", "read this recording instead of the kernel (-: standard input)")
	if which == flagAt {
		fs.StringVar(&r.at, "at", "", "with -r: as it was then (14:03, -5m, worst, first-failure, …)")
		return
	}
	fs.StringVar(&r.from, "from", "", "with -r: show from then on (14:03, +90s, first-failure, …)")
	fs.StringVar(&r.to, "to", "", "with -r: show until then")
}

// words are the moments that were asked for, by their flags.
func (r *readOptions) words() map[string]string {
	return map[string]string{"--at": r.at, "--from": r.from, "--to": r.to}
}

// options checks the flags of what is read, a recording or the kernel.
func (r *readOptions) options(cmd *cobra.Command, a *app, w *watchFlags, chosen *filter, utc bool) (watchOptions, error) {
	o, err := w.options(cmd, a)
	if err != nil {
		return o, err
	}
	if r.location = time.Local; utc {
		r.location = time.UTC
	}
	for flag, word := range r.words() {
		if word == "" {
			continue
		}
		switch _, err := parseMoment(word, r.location); {
		case r.file == "":
			return o, usagef(cmd, "%s %s: the kernel knows only now: name a recording with -r", flag, word)
		case r.file == "-":
			return o, usagef(cmd, "%s %s: standard input is read once: name a file", flag, word)
		case err != nil:
			return o, usagef(cmd, "%s %s", flag, err)
		}
	}
	if r.file == "" {
		return o, chosen.present(cmd, a.kernel.running)
	}
	for _, flag := range []string{"for", "mode", "exact-time-wait", "search-time", "host-root"} {
		if cmd.Flags().Changed(flag) {
			return o, usagef(cmd, "--%s is about the kernel, and -r reads a recording", flag)
		}
	}
	r.maxKept = o.MaxLeases
	o.Recording = *r
	return o, nil
}

// replay is a recording in the place of the kernel.
type replay struct {
	*recording.Reader
	name   string
	stderr io.Writer
	end    event.Time // 0 for the end of the file
	events uint64
	over   bool
}

// openReplay opens a recording, and finds the moments that were asked for.
func openReplay(ctx context.Context, stderr io.Writer, o readOptions) (watcher, error) {
	end, err := o.moment(ctx, cmp.Or(o.at, o.to))
	if err != nil {
		return nil, err
	}
	r, err := recording.Open(ctx, o.file)
	if err != nil {
		return nil, classifiedError{err, errRecording}
	}
	return &replay{Reader: r, name: o.file, stderr: stderr, end: end}, nil
}

// Read implements [event.Source]: what is later than the end is not read. A
// moment is over with the first event behind it, as it is when it is watched.
func (r *replay) Read(ctx context.Context, dst []event.Event) (int, error) {
	if r.over {
		return 0, io.EOF
	}
	n, err := r.Reader.Read(ctx, dst)
	for i := range dst[:n] {
		ev := &dst[i]
		if r.end != 0 && ev.Time > r.end && (ev.Kind != event.KindCorrection || ev.Correction != event.CorrectionHolds) {
			n, r.over = i, true
			break
		}
	}
	r.events += uint64(n)
	if r.over && n == 0 {
		return 0, io.EOF
	}
	return n, err
}

func (r *replay) cost() cost { return cost{Events: r.events} }

// Close says what could not be read.
func (r *replay) Close() error {
	for _, d := range r.Damages() {
		fmt.Fprintf(r.stderr, "%s: %s\n", r.name, damageWords(&d))
	}
	return r.Reader.Close()
}

// until is the moment up to which a source was read on request, 0 if it was read
// to its end.
func (r *readOptions) until(source watcher) event.Time {
	if played, is := source.(*replay); is {
		return played.end
	}
	return 0
}

// moment finds a word's time in the recording; 0 for no word.
func (r *readOptions) moment(ctx context.Context, word string) (event.Time, error) {
	if word == "" {
		return 0, nil
	}
	m, err := parseMoment(word, r.location)
	if err != nil {
		return 0, err
	}
	if info, err := os.Stat(r.file); err == nil && !info.Mode().IsRegular() {
		return 0, classifiedError{fmt.Errorf("%s: %s is read once: name a file", word, r.file), errUsage}
	}
	s, err := recording.Look(ctx, r.file, false)
	if err != nil {
		return 0, classifiedError{err, errRecording}
	}
	x := extent{
		first: s.First, last: s.Last, clock: clockOf(s), location: r.location,
		failure: func() (event.Time, error) { return r.firstFailure(ctx) },
		worst:   func() (event.Time, error) { return r.worst(ctx) },
	}
	at, err := m.in(x)
	if err != nil {
		return 0, classifiedError{err, errUsage}
	}
	return at, nil
}

func clockOf(s *recording.Survey) aggregate.Clock {
	if s.Start == nil || s.Start.Start == nil {
		return aggregate.Clock{}
	}
	return aggregate.ClockAt(s.Start.Time, s.Start.Start.WallNano)
}

// search plays the recording to a view, and closes it.
func (r *readOptions) search(ctx context.Context, v view) error {
	in, err := recording.Open(ctx, r.file)
	if err != nil {
		return classifiedError{err, errRecording}
	}
	p := pipeline{
		source: &replay{Reader: in, stderr: io.Discard}, view: v, out: newOutbox(io.Discard), interval: time.Second,
		ledger: aggregate.New(aggregate.Options{MaxLeases: 2 * r.maxKept}),
	}
	err = p.run(ctx)
	return errors.Join(err, p.source.Close(), p.out.close(ctx))
}

// failureView looks for the first refusal.
type failureView struct{ at event.Time }

func (v *failureView) event(r *aggregate.Record) error {
	if r.Event.Kind == event.KindFailure {
		v.at = r.Event.Time
		return errEnough
	}
	return nil
}

func (v *failureView) frame(*aggregate.Snapshot) error { return nil }

func (r *readOptions) firstFailure(ctx context.Context) (event.Time, error) {
	v := &failureView{}
	if err := r.search(ctx, v); err != nil {
		return 0, err
	}
	if v.at == 0 {
		return 0, errors.New("first-failure: nothing was refused in the recording")
	}
	return v.at, nil
}

// worstView looks for the second with the highest used_ratio of any pool.
type worstView struct {
	at   event.Time
	used float64
}

func (v *worstView) event(*aggregate.Record) error { return nil }

func (v *worstView) frame(s *aggregate.Snapshot) error {
	for i := range s.Pools {
		if used, known := s.Pools[i].UsedRatio(); known && (used > v.used || v.at == 0) {
			v.at, v.used = s.At, used
		}
	}
	return nil
}

func (r *readOptions) worst(ctx context.Context) (event.Time, error) {
	v := &worstView{}
	if err := r.search(ctx, v); err != nil {
		return 0, err
	}
	if v.at == 0 {
		return 0, errors.New("worst: no pool was used in the recording")
	}
	return v.at, nil
}

// damageWords say what is missing, and between when and when.
func damageWords(d *recording.Damage) string {
	if !d.Known {
		return fmt.Sprintf("at byte %d: %s; what followed, up to %d bytes, is lost", d.Offset, d.Reason, d.Length)
	}
	words := fmt.Sprintf("at byte %d: %s; %d events in %d blocks are lost", d.Offset, d.Reason, d.Events, d.Blocks)
	if d.After != 0 && d.Before > d.After {
		words += fmt.Sprintf(", of %s", time.Duration(d.Before-d.After).Round(time.Millisecond))
	}
	return words
}
