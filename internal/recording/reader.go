package recording

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// Damage is a part of a recording that could not be read.
type Damage struct {
	Offset int64 // in the file, bytes
	Length int64 // bytes
	Reason string
	// After and Before are the times of the last event before it and of the
	// first one behind; 0 where there is none.
	After, Before event.Time
	// Blocks and Events are how many are missing. Where nothing follows nobody
	// knows, and Known is false.
	Blocks, Events uint64
	Known          bool
}

// maxDamages bounds how many damages are remembered one by one.
const maxDamages = 1 << 10

// Reader is the [event.Source] of a recording. What cannot be read it leaves
// out, tells as an event of kind lost, and remembers.
type Reader struct {
	closer io.Closer
	window window
	dec    *decoder
	header FileHeader

	number  uint64 // of the next block
	seen    uint64 // events handed out or told as lost
	now     event.Time
	ended   bool
	tail    int64 // bytes behind the last block, of a write that was cut short
	pending *event.Event

	damages  []Damage
	damaged  int // how many there were
	open     *Damage
	sure     bool // it is known what open has lost
	indexed  bool // the index was there: no events follow
	closed   bool // the trailer was
	notes    []Note
	skimming bool // events are not unpacked
	totals   Totals
	wake     func() // ends a read that waits for a writer; nil if nothing does
}

// Totals are what the headers of the blocks say.
type Totals struct {
	Blocks, Events, Allocations, Failures uint64
	First, Last                           event.Time
}

// Open begins to read a file; "-" is standard input. Of a FIFO it waits for a
// writer, while ctx permits.
func Open(ctx context.Context, path string) (*Reader, error) {
	if path == "-" {
		return newReader(os.Stdin, io.NopCloser(nil))
	}
	f, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	// A file has no deadline, and needs none.
	wake := func() { _ = f.SetReadDeadline(time.Unix(1, 0)) }
	defer context.AfterFunc(ctx, wake)()
	var r *Reader
	if err = awaitWriter(f); err == nil {
		r, err = newReader(f, f)
	}
	if err != nil {
		return nil, errors.Join(cmp.Or(ctx.Err(), fmt.Errorf("open %s: %w", path, err)), f.Close())
	}
	r.wake = wake
	return r, nil
}

func newReader(in io.Reader, closer io.Closer) (*Reader, error) {
	dec, err := newDecoder()
	if err != nil {
		return nil, err
	}
	r := &Reader{closer: closer, window: window{in: in}, dec: dec}
	return r, r.begin()
}

// begin reads the first block. A file whose first block is damaged is read all
// the same, if there is another one in it.
func (r *Reader) begin() error {
	front, err := r.window.peek(headerLen)
	switch {
	case err != nil:
		return fmt.Errorf("read recording: %w", err)
	case len(front) == 0:
		return fmt.Errorf("%w: it is empty", ErrFormat)
	case len(front) < headerLen:
		return fmt.Errorf("%w: it has only %d bytes", ErrFormat, len(front))
	}
	h, err := parseHeader(front)
	if err == nil && h.kind == typeHeader {
		if payload, err := r.window.peek(headerLen + int(h.payload)); err == nil && len(payload) == headerLen+int(h.payload) {
			if h.holds(payload[headerLen:]) {
				r.header, err = parseFileHeader(payload[headerLen:])
				return err
			}
		}
		return nil
	}
	// What is passed is told as damage with the first block.
	if found, err := r.window.scan(0); err != nil || !found {
		return errors.Join(err, fmt.Errorf("%w: no block of one is in it", ErrFormat))
	}
	r.spoil(0, errHeader.Error())
	return nil
}

// Header is that of the file; the zero value if it is damaged.
func (r *Reader) Header() FileHeader { return r.header }

// Damages are what could not be read so far, up to the first 1,024 of them.
func (r *Reader) Damages() []Damage { return r.damages }

// Tail is the length of what a write that was cut short has left, once the end
// has been read, and false if the recording was closed.
func (r *Reader) Tail() (bytes int64, cut bool) { return r.tail, !r.closed }

// Notes are what the recording says of itself, as far as it has been read.
func (r *Reader) Notes() []Note { return r.notes }

// Totals are those of what has been read.
func (r *Reader) Totals() Totals { return r.totals }

// Read implements [event.Source].
func (r *Reader) Read(ctx context.Context, dst []event.Event) (int, error) {
	if r.wake != nil {
		defer context.AfterFunc(ctx, r.wake)()
	}
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if n := r.take(dst); n > 0 {
			return n, nil
		}
		if r.ended {
			return 0, io.EOF
		}
		if err := r.advance(); err != nil {
			return 0, cmp.Or(ctx.Err(), err)
		}
	}
}

// take hands out what is unpacked.
func (r *Reader) take(dst []event.Event) int {
	n := 0
	if r.pending != nil {
		dst[0], r.pending = *r.pending, nil
		n = 1
	}
	for n < len(dst) && r.dec.left() > 0 {
		if err := r.dec.read(&dst[n]); err != nil {
			// The checksum holds and the content does not: no writer of ours
			// has made it.
			r.spoil(r.window.offset, err.Error())
			r.dec.events = 0
			break
		}
		if timed(&dst[n]) {
			r.now = max(r.now, dst[n].Time)
		}
		n++
		r.seen++
	}
	return n
}

// Close implements [event.Source].
func (r *Reader) Close() error {
	r.dec.unpack.Close()
	if err := r.closer.Close(); err != nil {
		return fmt.Errorf("close recording: %w", err)
	}
	return nil
}
