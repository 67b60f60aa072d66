package text

import (
	"unicode/utf8"

	"github.com/portwatch/portwatch/internal/output/fields"
)

const (
	gap = 1
	// narrowest is the least width to which the last column of words is cut;
	// below that the column leaves.
	narrowest = 6
	ellipsis  = "…"
)

// Table prints rows under headers. Columns leave from the right until the rest
// fits into Width.
type Table[T any] struct {
	Columns  []fields.Column[T]
	Width    int // 0 means no bound
	NoHeader bool
}

// Append appends the whole table, each column as wide as its widest cell.
func (t Table[T]) Append(dst []byte, c *fields.Context, rows []T) []byte {
	cells := make([][]string, 0, len(rows)+1)
	if !t.NoHeader {
		cells = append(cells, t.headers())
	}
	for i := range rows {
		cells = append(cells, t.cells(c, &rows[i]))
	}
	widths := t.fit(measure(cells, len(t.Columns)))
	for _, row := range cells {
		dst = t.appendLine(dst, row, widths)
	}
	return dst
}

// AppendHeader and AppendRow print a table line by line, with the columns'
// own widths; what is longer pushes the rest of its line.

// AppendHeader appends the line of headers.
func (t Table[T]) AppendHeader(dst []byte) []byte {
	return t.appendLine(dst, t.headers(), t.fixed())
}

// AppendRow appends the line of one row.
func (t Table[T]) AppendRow(dst []byte, c *fields.Context, row *T) []byte {
	return t.appendLine(dst, t.cells(c, row), t.fixed())
}

func (t Table[T]) headers() []string {
	row := make([]string, len(t.Columns))
	for i := range t.Columns {
		row[i] = t.Columns[i].Header
	}
	return row
}

func (t Table[T]) cells(c *fields.Context, v *T) []string {
	row := make([]string, len(t.Columns))
	for i := range t.Columns {
		row[i] = string(t.Columns[i].Value(c, v).AppendText(nil, c))
	}
	return row
}

func (t Table[T]) fixed() []int {
	widths := make([]int, len(t.Columns))
	for i := range t.Columns {
		widths[i] = t.Columns[i].Width
	}
	return widths
}

func measure(cells [][]string, columns int) []int {
	widths := make([]int, columns)
	for _, row := range cells {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// fit drops columns from the right, and cuts the last one that remains if it
// holds words. The first column always stays.
func (t Table[T]) fit(widths []int) []int {
	if t.Width <= 0 {
		return widths
	}
	used := 0
	for i, w := range widths {
		if i > 0 {
			used += gap
		}
		room := t.Width - used
		if w > room && i > 0 {
			if t.Columns[i].Right || room < narrowest {
				return widths[:i]
			}
			widths[i] = room
			return widths[:i+1]
		}
		used += w
	}
	return widths
}

func (t Table[T]) appendLine(dst []byte, row []string, widths []int) []byte {
	for i, w := range widths {
		if i > 0 {
			dst = appendSpaces(dst, gap)
		}
		last := i == len(widths)-1
		cell := row[i]
		if last && w > 0 && utf8.RuneCountInString(cell) > w {
			cell = cut(cell, w, t.Columns[i].Tail)
		}
		pad := w - utf8.RuneCountInString(cell)
		if t.Columns[i].Right {
			dst = appendSpaces(dst, pad)
		}
		dst = append(dst, cell...)
		if !t.Columns[i].Right {
			dst = appendSpaces(dst, pad)
		}
	}
	return append(trimSpaces(dst), '\n')
}

// cut shortens a cell to w characters; tail keeps its end.
func cut(cell string, w int, tail bool) string {
	runes := []rune(cell)
	if tail {
		return ellipsis + string(runes[len(runes)-w+1:])
	}
	return string(runes[:w-1]) + ellipsis
}

func appendSpaces(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, ' ')
	}
	return dst
}

func trimSpaces(dst []byte) []byte {
	for len(dst) > 0 && dst[len(dst)-1] == ' ' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
