package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// outboxBuffers is how many batches of output may wait for a slow reader of
// stdout. Beyond that the pipeline waits, the kernel's rings fill, and what is
// lost is counted.
const outboxBuffers = 16

// outbox writes to a slow reader without holding up the pipeline. One
// goroutine fills it through Write and flush, another one, its own, empties
// it.
type outbox struct {
	current *bytes.Buffer
	full    chan *bytes.Buffer
	empty   chan *bytes.Buffer
	broken  chan struct{} // closed when err is set
	done    chan struct{} // closed when the goroutine has ended
	err     error
}

func newOutbox(w io.Writer) *outbox {
	o := &outbox{
		current: new(bytes.Buffer),
		full:    make(chan *bytes.Buffer, outboxBuffers),
		empty:   make(chan *bytes.Buffer, outboxBuffers),
		broken:  make(chan struct{}),
		done:    make(chan struct{}),
	}
	for range outboxBuffers {
		o.empty <- new(bytes.Buffer)
	}
	go o.drain(w)
	return o
}

func (o *outbox) drain(w io.Writer) {
	defer close(o.done)
	for buf := range o.full {
		if _, err := w.Write(buf.Bytes()); err != nil {
			o.err = fmt.Errorf("write output: %w", err)
			close(o.broken)
			return
		}
		buf.Reset()
		o.empty <- buf
	}
}

// Write implements [io.Writer]; nothing is printed before flush.
func (o *outbox) Write(p []byte) (int, error) { return o.current.Write(p) }

// flush hands on what was written. It waits while the reader is far behind and
// returns the error of an earlier write, or ctx's.
func (o *outbox) flush(ctx context.Context) error {
	if o.current.Len() == 0 {
		return nil
	}
	select {
	case <-o.broken:
		return o.err
	default:
	}
	select {
	case next := <-o.empty: // there is room: the last words go out though ctx is done
		o.hand(next)
		return nil
	default:
	}
	select {
	case next := <-o.empty:
		o.hand(next)
		return nil
	case <-o.broken:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *outbox) hand(next *bytes.Buffer) {
	o.full <- o.current
	o.current = next
}

// lastWords is how long a reader that hangs may hold up the end once ctx is
// done: what it has not read by then is dropped.
const lastWords = time.Second

// close flushes, waits until all is written and returns the first error.
func (o *outbox) close(ctx context.Context) error {
	err := o.flush(ctx)
	close(o.full)
	select {
	case <-o.done:
	case <-ctx.Done():
		select {
		case <-o.done:
		case <-time.After(lastWords):
			return errors.Join(err, ctx.Err())
		}
	}
	if err != nil {
		return err
	}
	return o.err
}
