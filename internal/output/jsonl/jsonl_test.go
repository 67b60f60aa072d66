package jsonl

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/portwatch/portwatch/internal/output/fields"
)

// lines remembers each call of Write.
type lines struct {
	written []string
	err     error
}

func (l *lines) Write(p []byte) (int, error) {
	l.written = append(l.written, string(p))
	return len(p), l.err
}

func TestOneWritePerDocument(t *testing.T) {
	out := &lines{}
	w := NewWriter(out, fields.Error)
	for _, word := range []string{"first", "second"} {
		if err := w.Write(nil, &fields.ErrorReport{Error: word, ExitCode: 2}); err != nil {
			t.Fatal(err)
		}
	}
	want := `{"schema":"portwatch.error/1","error":"second","hint":null,"exit_code":2}` + "\n"
	if len(out.written) != 2 || out.written[1] != want {
		t.Errorf("written = %q, want two lines, the last %q", out.written, want)
	}
}

func TestWriteError(t *testing.T) {
	err := NewWriter(&lines{err: io.ErrClosedPipe}, fields.Error).Write(nil, &fields.ErrorReport{})
	if !errors.Is(err, io.ErrClosedPipe) || !strings.HasPrefix(err.Error(), "write portwatch.error/1: ") {
		t.Errorf("error = %v, want the cause with the document's name", err)
	}
}
