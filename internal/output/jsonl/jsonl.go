// Package jsonl prints documents as JSON, one per line, each flushed as it is
// written. Encoding appends to a buffer that is kept, through the registry of
// package fields: no reflection, and no allocation per line once the buffer
// has grown.
package jsonl

import (
	"fmt"
	"io"

	"github.com/portwatch/portwatch/internal/output/fields"
)

// Writer prints documents of one kind. It is not safe for concurrent use.
type Writer[T any] struct {
	w   io.Writer
	doc fields.Document[T]
	buf []byte
}

// NewWriter makes a writer of doc to w.
func NewWriter[T any](w io.Writer, doc fields.Document[T]) *Writer[T] {
	return &Writer[T]{w: w, doc: doc}
}

// Write prints v as one line with one call of the underlying Write.
func (w *Writer[T]) Write(c *fields.Context, v *T) error {
	w.buf = append(w.doc.AppendJSON(w.buf[:0], c, v), '\n')
	if _, err := w.w.Write(w.buf); err != nil {
		return fmt.Errorf("write %s: %w", w.doc.SchemaName(), err)
	}
	return nil
}
