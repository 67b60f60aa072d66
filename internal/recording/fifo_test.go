package recording

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

func fifo(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Who waits for a writer that does not come can be stopped.
func TestFIFOWithoutAWriter(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	go stop()
	if _, err := Open(ctx, fifo(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v, want %v", err, context.Canceled)
	}
}

// A writer that comes late is waited for.
func TestFIFOWithALateWriter(t *testing.T) {
	name := fifo(t)
	go func() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0) // returns when it is being read
		if err == nil {
			_, _ = f.WriteString("no recording, but long enough to be told from one that is empty or cut off")
			_ = f.Close()
		}
	}()
	if _, err := Open(t.Context(), name); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "no block of one is in it") {
		t.Errorf("open: %v, want what was written to be looked at", err)
	}
}

// A FIFO is read as it is written, and who waits for more can be stopped.
func TestFIFOIsReadAsItIsWritten(t *testing.T) {
	name := fifo(t)
	want := fewSeconds(t)
	file := written(t, want)
	both, err := os.OpenFile(name, os.O_RDWR, 0) // a writer that stays
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close()
	go func() { _, _ = both.Write(file) }()
	r, err := Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	batch := make([]event.Event, 64)
	for read := 0; read < len(want); {
		n, err := r.Read(ctx, batch)
		if err != nil {
			t.Fatal(err)
		}
		read += n
	}
	go stop()
	for err = nil; err == nil; {
		_, err = r.Read(ctx, batch)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v, want %v", err, context.Canceled)
	}
}
