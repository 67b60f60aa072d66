package recording

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/portwatch/portwatch/internal/event"
)

// Options of a Writer. The zero value of a number means its default.
type Options struct {
	// Version is that of the portwatch that records.
	Version string
	// MaxBytes is how large the file may become (default 2 GiB): then a note
	// ends it.
	MaxBytes int64
	// MinFreeRatio is the part of the file system that is left alone (default
	// 0.05): below it nothing is written, until there is room again.
	MinFreeRatio float64
}

const (
	defaultMaxBytes = 2 << 30
	defaultMinFree  = 0.05
	// What a crash of the machine may take: so much time, or so many bytes.
	syncEvery = event.Time(5e9)
	syncBytes = 16 << 20
	// endReserve is room for the last note and the trailer.
	endReserve = 4 << 10
)

// disk is the file that is written, and the room around it.
type disk interface {
	io.WriteCloser
	// Truncate cuts off what a failed write has left.
	Truncate(size int64) error
	Sync() error
	// FreeRatio is the part of the file system that is free.
	FreeRatio() (float64, error)
}

// Writer writes events to a file. It uses event time only and starts nothing:
// a block is written when a second has passed in the stream, of which every
// source brings a tick. It is for one goroutine.
type Writer struct {
	disk  disk
	opts  Options
	enc   *encoder
	buf   []byte
	index []indexEntry

	number uint64 // of the next block
	before uint64 // events in the blocks before it
	size   int64
	now    event.Time

	synced   event.Time
	unsynced int64
	stats    Stats
	dropped  uint64 // events since the last block, for want of room
	noRoom   string // why, "" while there is room
}

// Stats is what a Writer has done so far.
type Stats struct {
	Events  uint64 // that were given to Append
	Bytes   int64  // in the file
	Dropped uint64 // events that found no room
	// Paused is why nothing is written now; "" if all is well.
	Paused string
	// Full says that the file has reached its size: nothing is added to it.
	Full bool
}

// newWriter begins a recording on an empty file.
func newWriter(d disk, o Options) (*Writer, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MinFreeRatio == 0 {
		o.MinFreeRatio = defaultMinFree
	}
	enc, err := newEncoder()
	if err != nil {
		return nil, err
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("name recording: %w", err)
	}
	w := &Writer{disk: d, opts: o, enc: enc}
	payload, err := json.Marshal(newFileHeader(o.Version, hex.EncodeToString(id[:])))
	if err != nil {
		return nil, fmt.Errorf("write header: %w", err)
	}
	if err := w.write(header{kind: typeHeader}, payload); err != nil {
		return nil, fmt.Errorf("write header: %w", err)
	}
	return w, nil
}

// Stats may be called between two calls of Append.
func (w *Writer) Stats() Stats {
	s := w.stats
	s.Bytes, s.Paused = w.size, w.noRoom
	return s
}

// Append records one event. For want of room it returns no error: see Stats.
func (w *Writer) Append(ev *event.Event) error {
	w.stats.Events++
	if w.stats.Full {
		w.stats.Dropped++
		return nil
	}
	if w.enc.full(ev) {
		if err := w.flush(); err != nil {
			return err
		}
		if w.stats.Full {
			w.stats.Dropped++
			return nil
		}
	}
	w.enc.add(ev)
	if timed(ev) {
		w.now = max(w.now, ev.Time)
	}
	return nil
}

// flush writes the open block, or drops it where there is no room.
func (w *Writer) flush() error {
	if w.enc.events == 0 {
		return nil
	}
	h, payload := w.enc.close()
	if w.size+int64(headerLen+len(payload))+w.endBytes() > w.opts.MaxBytes {
		w.stats.Full = true
		w.drop(h.records)
		return w.note(fmt.Sprintf("the file has reached %d bytes: nothing is recorded from here on", w.opts.MaxBytes))
	}
	if w.noRoom = w.roomless(); w.noRoom == "" {
		err := w.write(h, payload)
		if err == nil {
			return w.sync()
		}
		if !isDiskFull(err) {
			return fmt.Errorf("write recording: %w", err)
		}
		w.noRoom = "no space left on device"
	}
	w.drop(h.records)
	// The stream goes on with the loss, once there is room.
	w.enc.add(&event.Event{Kind: event.KindLost, Time: w.now, Lost: &event.Lost{
		What: lostEvents, CPU: -1, Cause: event.LostDiskFull, Count: w.dropped,
	}})
	return nil
}

// lostEvents is what a recording loses.
const lostEvents = "events"

// drop counts the events of a block that is not written. A loss that was told
// in it is told again in the next one: it was not an event of the stream.
func (w *Writer) drop(records uint32) {
	n := uint64(records)
	if w.dropped > 0 {
		n--
	}
	w.dropped += n
	w.stats.Dropped += n
}

// roomless is why nothing may be written, "" if it may.
func (w *Writer) roomless() string {
	free, err := w.disk.FreeRatio()
	if err == nil && free < w.opts.MinFreeRatio {
		return fmt.Sprintf("%.1f %% of the disk is free, less than %.0f %%", 100*free, 100*w.opts.MinFreeRatio)
	}
	return ""
}

// write hands one block to the kernel in one piece. What a failed write has left
// is cut off.
func (w *Writer) write(h header, payload []byte) error {
	h.number, h.before = w.number, w.before
	w.buf = appendBlock(w.buf[:0], h, payload)
	if _, err := w.disk.Write(w.buf); err != nil {
		return errors.Join(err, w.disk.Truncate(w.size))
	}
	if h.kind == typeEvents {
		w.index = append(w.index, indexEntry{
			offset: uint64(w.size), first: h.first, last: h.last, length: uint32(len(w.buf)),
			events: h.records, allocations: h.allocations, failures: h.failures,
		})
		w.before += uint64(h.records)
		w.dropped = 0
	}
	w.number++
	w.size += int64(len(w.buf))
	w.unsynced += int64(len(w.buf))
	return nil
}

// sync bounds what a crash of the machine may take.
func (w *Writer) sync() error {
	if w.unsynced < syncBytes && w.now-w.synced < syncEvery {
		return nil
	}
	w.unsynced, w.synced = 0, w.now
	if err := w.disk.Sync(); err != nil {
		return fmt.Errorf("sync recording: %w", err)
	}
	return nil
}

func (w *Writer) note(text string) error {
	payload, err := json.Marshal(Note{Time: w.now, Text: text})
	if err != nil {
		return fmt.Errorf("write note: %w", err)
	}
	if err := w.write(header{kind: typeNote, first: w.now, last: w.now}, payload); err != nil && !isDiskFull(err) {
		return fmt.Errorf("write note: %w", err)
	}
	return nil
}

// endBytes is what the end of the recording will take.
func (w *Writer) endBytes() int64 { return endReserve + int64(len(w.index)+1)*indexEntryLen }

// Close writes the open block and the index. It returns the first error; the
// file is closed in any case.
func (w *Writer) Close() error {
	err := w.flush()
	if err == nil && w.noRoom == "" {
		err = w.finish()
	}
	if syncErr := w.disk.Sync(); err == nil && syncErr != nil {
		err = fmt.Errorf("sync recording: %w", syncErr)
	}
	if closeErr := w.disk.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close recording: %w", closeErr)
	}
	return err
}

// finish writes the index, which readers can do without: a full disk is no
// error here.
func (w *Writer) finish() error {
	at := w.size
	err := w.write(header{kind: typeIndex, records: uint32(len(w.index))}, appendIndex(nil, w.index))
	if err == nil {
		err = w.write(header{kind: typeTrailer}, appendTrailer(nil, at, w.size-at))
	}
	if err != nil && !isDiskFull(err) {
		return fmt.Errorf("write index: %w", err)
	}
	return nil
}
