package recording

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/portwatch/portwatch/internal/event"
)

// Survey is what a recording says of itself, without its events.
type Survey struct {
	Header FileHeader
	// Start is the event that opens the stream; nil if it is not the first
	// one, because that is damaged.
	Start *event.Event
	Totals
	Bytes   int64
	Closed  bool // it was ended in order; else it is being written, or was cut off
	Notes   []Note
	Damages []Damage
}

// Look surveys a file. Where the index is whole only that is read, and damage
// and notes are not looked for; else, and if thorough, all blocks are, and all
// events if thorough.
func Look(ctx context.Context, path string, thorough bool) (*Survey, error) {
	r, err := Open(ctx, path)
	if err != nil {
		return nil, err
	}
	s := &Survey{Header: r.header}
	err = s.look(ctx, r, path, thorough)
	return s, errors.Join(err, r.Close())
}

func (s *Survey) look(ctx context.Context, r *Reader, path string, thorough bool) error {
	events := make([]event.Event, 64)
	n, err := r.Read(ctx, events)
	if n > 0 && events[0].Kind == event.KindStart {
		first := events[0]
		s.Start = &first
	}
	if err == nil && !thorough && s.fromIndex(path) {
		return nil
	}
	for err == nil {
		if !thorough {
			r.skim()
		}
		_, err = r.Read(ctx, events)
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	s.Totals, s.Notes, s.Damages, s.Closed = r.totals, r.notes, r.damages, r.closed
	s.Bytes = r.window.offset
	return nil
}

// skim passes what is unpacked, and unpacks no more.
func (r *Reader) skim() {
	r.seen += uint64(max(r.dec.left(), 0))
	r.dec.events, r.skimming = 0, true
}

// fromIndex takes the totals from the file's index, and reports whether it has
// one.
func (s *Survey) fromIndex(path string) bool {
	f, err := openFile(path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() { // a FIFO is read once
		return false
	}
	entries, err := readIndex(f, info.Size())
	if err != nil {
		return false
	}
	for i := range entries {
		e := &entries[i]
		s.add(&header{records: e.events, first: e.first, last: e.last, failures: e.failures, allocations: e.allocations})
	}
	s.Bytes, s.Closed = info.Size(), true
	return true
}
