package recording

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

// memory is a disk in memory, with so much room.
type memory struct {
	bytes.Buffer
	free   float64
	room   int // bytes that fit; 0 for no end
	fail   error
	synced int
}

func (m *memory) Write(p []byte) (int, error) {
	if m.room > 0 && m.Len()+len(p) > m.room {
		n, _ := m.Buffer.Write(p[:m.room-m.Len()])
		return n, m.fail
	}
	return m.Buffer.Write(p)
}

func (m *memory) Close() error { return nil }

func (m *memory) Truncate(size int64) error {
	m.Buffer.Truncate(int(size))
	return nil
}
func (m *memory) Sync() error                 { m.synced++; return nil }
func (m *memory) FreeRatio() (float64, error) { return m.free, nil }

// written is the recording of events.
func written(tb testing.TB, events []event.Event) []byte {
	tb.Helper()
	disk := &memory{free: 1}
	w, err := newWriter(disk, Options{Version: "test"})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range events {
		if err := w.Append(&events[i]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return disk.Bytes()
}

func reading(tb testing.TB, file []byte) *Reader {
	tb.Helper()
	r, err := newReader(bytes.NewReader(file), io.NopCloser(nil))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// drain is every event of a recording.
func drain(tb testing.TB, r *Reader) []event.Event {
	tb.Helper()
	var all []event.Event
	dst := make([]event.Event, 100)
	for {
		n, err := r.Read(tb.Context(), dst)
		all = append(all, dst[:n]...)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}
