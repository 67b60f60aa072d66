package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
)

// batchSize is how many events are read at once.
const batchSize = 512

// errEnough ends a pipeline whose view has shown all that was asked for.
var errEnough = errors.New("enough")

// enough ends a pipeline with what came of the last word: an error, or peace.
func enough(err error) error {
	if err != nil {
		return err
	}
	return errEnough
}

// view is what a verb shows of the stream. Its methods print through the
// pipeline's outbox and return errEnough to end it.
type view interface {
	// event is called for each event with what the ledger knows about it.
	event(*aggregate.Record) error
	// frame is called once per interval of event time.
	frame(*aggregate.Snapshot) error
}

// ender is a view that has something to say when the stream has ended, however
// that came.
type ender interface{ end() error }

// pipeline moves events from a source through the ledger to a view. Frames
// follow event time, of which every source brings a tick at least once a
// second, so that a recording and a live kernel print alike.
type pipeline struct {
	source   watcher
	ledger   *aggregate.Ledger
	out      *outbox
	view     view
	interval time.Duration
	length   time.Duration // 0 for no end
	log      *zap.Logger
	search   search
	// tap takes each event as it came, before the ledger books it; nil if nobody
	// wants it.
	tap func(*event.Event) error

	record aggregate.Record
	begun  event.Time
	next   event.Time // when the next frame is due
	now    event.Time
}

// run reads until the source ends, ctx is done, the view has enough or stdout
// is closed; none of these is an error.
func (p *pipeline) run(ctx context.Context) error {
	events := make([]event.Event, batchSize)
	for {
		n, readErr := p.source.Read(ctx, events)
		for i := range events[:n] {
			if err := p.take(&events[i]); err != nil {
				return quiet(ctx, err)
			}
		}
		if err := p.out.flush(ctx); err != nil {
			return quiet(ctx, err)
		}
		if readErr != nil {
			return quiet(ctx, readErr)
		}
	}
}

// quiet is nil for the ways in which a stream ends in peace.
func quiet(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errEnough), errors.Is(err, io.EOF), errors.Is(err, syscall.EPIPE):
		return nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil
	}
	return err
}

// take shows the frames that are due before the event, then the event.
func (p *pipeline) take(ev *event.Event) error {
	if err := p.frames(ev); err != nil {
		return err
	}
	if p.tap != nil {
		if err := p.tap(ev); err != nil {
			return err
		}
	}
	p.ledger.ApplyDescribed(ev, &p.record)
	if ev.Kind == event.KindCorrection && ev.Correction == event.CorrectionEnd && p.log != nil {
		p.log.Info("all sockets were read")
	}
	return p.view.event(&p.record)
}

// frames shows a frame if one is due. A gap in event time is one frame, not
// many.
func (p *pipeline) frames(ev *event.Event) error {
	if ev.Kind == event.KindCorrection || ev.Time <= p.now {
		return nil // a row of a resync bears the time of its socket
	}
	p.now = ev.Time
	if p.begun == 0 {
		p.begun, p.next = ev.Time, ev.Time+event.Time(p.interval)
		return nil
	}
	if p.now < p.next {
		return nil
	}
	at := p.now - (p.now-p.next)%event.Time(p.interval)
	p.next = at + event.Time(p.interval)
	snap := p.ledger.Snapshot(at)
	if p.log != nil {
		p.log.Debug("frame", zap.Uint64("boot_ns", uint64(at)))
	}
	if err := p.search.follow(p.source, snap); err != nil {
		p.log.Warn("search times are not measured", zap.Error(err))
	}
	if err := p.view.frame(snap); err != nil {
		return err
	}
	if p.length > 0 && time.Duration(at-p.begun) >= p.length {
		return errEnough
	}
	return nil
}

// watch observes, and says goodbye: the losses and the cost go to stderr,
// whatever ended the stream.
func (a *app) watch(ctx context.Context, o watchOptions, p *pipeline) error {
	spent, _, err := a.observe(ctx, o, p)
	if spent == nil || o.Recording.file != "" {
		return err
	}
	if _, writeErr := a.stderr.Write(text.AppendFarewell(nil, spent)); writeErr != nil {
		err = errors.Join(err, quiet(ctx, writeErr))
	}
	return err
}

// open opens what is read: a recording, or the kernel.
func (a *app) open(ctx context.Context, o watchOptions) (watcher, error) {
	if o.Recording.file != "" {
		return openReplay(ctx, a.stderr, o.Recording)
	}
	return a.kernel.open(ctx, o)
}

// observe opens the kernel, or a recording, runs the pipeline over it and closes all in order.
// It returns the cost and the last picture, nil if the kernel did not open.
func (a *app) observe(ctx context.Context, o watchOptions, p *pipeline) (*fields.SelfReport, *aggregate.Snapshot, error) {
	source, err := a.open(ctx, o)
	if err != nil {
		return nil, nil, errors.Join(err, p.out.close(ctx))
	}
	// The kernel side keeps TIME_WAITs apart from live sockets, each so many.
	p.source, p.ledger = source, aggregate.New(aggregate.Options{MaxLeases: 2 * o.MaxLeases})
	p.search, p.log = search{always: o.SearchTime}, o.Logger
	err = p.run(ctx)
	p.now = max(p.now, o.Recording.until(source))
	if v, able := p.view.(ender); able && err == nil {
		err = v.end()
	}
	last := p.ledger.Snapshot(p.now)
	spent := source.cost().report(last, residentBytes())
	// Detach first: a reader of stdout that hangs must not keep programs in
	// the kernel.
	if closeErr := source.Close(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close source: %w", closeErr))
	}
	return &spent, last, errors.Join(err, quiet(ctx, p.out.close(ctx)))
}
