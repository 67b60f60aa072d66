package recording

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// window is the part of the input that is being looked at. It grows with what is
// there, never with what a length claims.
type window struct {
	in     io.Reader
	buf    []byte // from offset on
	store  []byte // the memory of buf
	offset int64
	eof    bool
	blank  bool // the last scan passed nothing but zeros
}

const windowStep = 256 << 10

// peek is the next n bytes; fewer at the end of the input.
func (w *window) peek(n int) ([]byte, error) {
	for len(w.buf) < n && !w.eof {
		if err := w.fill(n); err != nil {
			return nil, err
		}
	}
	return w.buf[:min(n, len(w.buf))], nil
}

// fill reads more, in steps that double at most what is there.
func (w *window) fill(n int) error {
	want := min(n-len(w.buf), max(windowStep, len(w.buf)))
	want = max(want, windowStep)
	if cap(w.buf)-len(w.buf) < want {
		if len(w.store) < len(w.buf)+want {
			w.store = make([]byte, len(w.buf)+want)
		}
		w.buf = w.store[:copy(w.store, w.buf)]
	}
	m, err := io.ReadAtLeast(w.in, w.buf[len(w.buf):len(w.buf)+want], 1)
	w.buf = w.buf[:len(w.buf)+m]
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		w.eof = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read recording: %w", err)
	}
	return nil
}

// skip leaves n bytes behind, which peek has shown.
func (w *window) skip(n int) {
	w.buf = w.buf[n:]
	w.offset += int64(n)
}

// scan looks for the next whole header, at least from bytes ahead, and moves to
// it, or to the end of the input.
func (w *window) scan(from int) (found bool, err error) {
	w.blank = true
	for {
		w.pass(min(from, len(w.buf)))
		i := bytes.Index(w.buf, []byte(marker))
		if i < 0 {
			i = max(0, len(w.buf)-len(marker)+1)
		}
		w.pass(i)
		b, err := w.peek(headerLen)
		if err != nil {
			return false, err
		}
		if len(b) < headerLen { // the end: a marker in there begins no header
			w.pass(len(b))
			return false, nil
		}
		if _, err := parseHeader(b); err == nil {
			return true, nil
		}
		from = 1
	}
}

// pass skips what a scan has looked at.
func (w *window) pass(n int) {
	w.blank = w.blank && isBlank(w.buf[:n])
	w.skip(n)
}

// isBlank reports whether there is nothing but zeros.
func isBlank(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }
