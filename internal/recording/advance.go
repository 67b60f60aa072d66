package recording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// advance reads one block, or what damage has made of one.
func (r *Reader) advance() error {
	start := r.window.offset
	front, err := r.window.peek(headerLen)
	if err != nil {
		return err
	}
	if len(front) < headerLen {
		return r.tailOrDamage(start, front)
	}
	h, err := parseHeader(front)
	if err != nil {
		return r.resume(start, err.Error())
	}
	length := headerLen + int(h.payload)
	block, err := r.window.peek(length)
	if err != nil {
		return err
	}
	if len(block) < length {
		return r.short(start)
	}
	payload := block[headerLen:]
	if !h.holds(payload) {
		return r.broken(start, &h)
	}
	return r.block(start, &h, payload)
}

// tailOrDamage judges the last few bytes.
func (r *Reader) tailOrDamage(start int64, rest []byte) error {
	r.window.skip(len(rest))
	known := min(len(rest), len(marker))
	if bytes.Equal(rest[:known], []byte(marker)[:known]) || isBlank(rest) && r.open == nil {
		r.tail = int64(len(rest))
	} else {
		r.spoil(start, errHeader.Error())
		r.sure = false
	}
	r.finish()
	return nil
}

// short judges a block that is longer than what is left: the writer was killed,
// unless another one follows.
func (r *Reader) short(start int64) error {
	found, err := r.window.scan(1)
	if err != nil {
		return err
	}
	if !found {
		r.tail = r.window.offset - start
		r.finish()
		return nil
	}
	r.spoil(start, "the block is cut short")
	r.sure = false
	return nil
}

// resume looks for the next block behind a header that is none. Nothing but zeros
// up to the end is room that a crash of the machine has left, as a cut-off tail is.
func (r *Reader) resume(start int64, reason string) error {
	found, err := r.window.scan(1)
	if err == nil && !found && r.window.blank && r.open == nil {
		r.tail = r.window.offset - start
		r.finish()
		return nil
	}
	r.spoil(start, reason)
	r.sure = false
	if err == nil && !found {
		r.finish()
	}
	return err
}

// broken passes a block whose payload is not what was written: by its length, or
// if no block begins there, by searching.
func (r *Reader) broken(start int64, h *header) error {
	const reason = "the block's checksum is wrong"
	length := headerLen + int(h.payload)
	b, err := r.window.peek(length + headerLen)
	if err != nil {
		return err
	}
	if len(b) > length {
		if len(b) < length+headerLen {
			return r.resume(start, reason)
		}
		if _, err := parseHeader(b[length:]); err != nil {
			return r.resume(start, reason)
		}
	}
	r.window.skip(length)
	r.spoil(start, reason)
	if h.kind == typeEvents {
		r.open.Events += uint64(h.records)
	}
	return nil
}

// block takes in a block that is whole.
func (r *Reader) block(start int64, h *header, payload []byte) error {
	defer r.window.skip(headerLen + len(payload))
	if h.number < r.number {
		r.spoil(start, fmt.Sprintf("block %d is there a second time", h.number))
		return nil
	}
	r.bridge(start, h)
	r.number = h.number + 1
	switch h.kind {
	case typeEvents:
		return r.events(start, h, payload)
	case typeNote:
		var n Note
		if json.Unmarshal(payload, &n) == nil && len(r.notes) < maxDamages {
			r.notes = append(r.notes, Note{Time: n.Time, Text: event.Printable(n.Text)})
		}
	case typeHeader:
		if h.number > 0 {
			r.spoil(start, "a second recording begins")
		}
	case typeIndex:
		r.indexed = true
	case typeTrailer:
		r.closed = true
	}
	return nil
}

func (r *Reader) events(start int64, h *header, payload []byte) error {
	r.totals.add(h)
	if r.skimming {
		r.seen += uint64(h.records)
		r.now = max(r.now, h.last)
		return nil
	}
	if err := r.dec.open(h, payload); err != nil {
		r.spoil(start, err.Error())
		r.open.Events += uint64(h.records)
	}
	return nil
}

func (t *Totals) add(h *header) {
	t.Blocks++
	t.Events += uint64(h.records)
	t.Allocations += uint64(h.allocations)
	t.Failures += uint64(h.failures)
	if t.First == 0 {
		t.First = h.first
	}
	t.Last = max(t.Last, h.last)
}

// spoil opens a damage at start, or adds to the one that is open.
func (r *Reader) spoil(start int64, reason string) {
	if r.open == nil {
		r.open = &Damage{Offset: start, Reason: reason, After: r.now}
		r.sure = true
	} else if !strings.Contains(r.open.Reason, reason) && len(r.open.Reason) < 200 {
		r.open.Reason += ", " + reason
	}
}

// bridge closes the gap before a block that is whole, and tells what was lost.
func (r *Reader) bridge(start int64, h *header) {
	if r.open == nil && h.number != r.number {
		r.spoil(start, "blocks are missing")
	}
	if r.open == nil {
		return
	}
	d := r.open
	d.Length, d.Before, d.Known = start-d.Offset, h.first, true
	d.Blocks, d.Events = h.number-r.number, 0
	if h.before > r.seen {
		d.Events = h.before - r.seen
	}
	r.seen = max(r.seen, h.before)
	r.close(d, d.Events > 0)
}

// finish ends the recording. What a damage at the end has taken is known only if
// the headers of its blocks are.
func (r *Reader) finish() {
	r.ended = true
	d := r.open
	if d == nil {
		return
	}
	d.Length, d.Known = r.window.offset-d.Offset, r.sure || r.indexed
	r.close(d, !r.indexed && (d.Events > 0 || !d.Known))
}

// close books a damage. If events are missing the stream says so: a count of 0
// means that nobody knows how many.
func (r *Reader) close(d *Damage, lost bool) {
	r.damaged++
	if len(r.damages) < maxDamages {
		r.damages = append(r.damages, *d)
	}
	r.open = nil
	if !lost {
		return
	}
	at := d.After
	if at == 0 {
		at = d.Before
	}
	r.pending = &event.Event{Kind: event.KindLost, Time: at, Lost: &event.Lost{
		What: lostEvents, CPU: -1, Cause: event.LostDamage, Count: d.Events,
	}}
}
