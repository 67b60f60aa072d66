package text

import (
	"github.com/portwatch/portwatch/internal/output/fields"
)

// AppendMarkdown appends the whole table, every column, as Markdown has tables.
func (t Table[T]) AppendMarkdown(dst []byte, c *fields.Context, rows []T) []byte {
	dst = appendCells(dst, t.headers())
	for i := range t.Columns {
		rule := "| --- "
		if t.Columns[i].Right {
			rule = "| --: "
		}
		dst = append(dst, rule...)
	}
	dst = append(dst, "|\n"...)
	for i := range rows {
		dst = appendCells(dst, t.cells(c, &rows[i]))
	}
	return dst
}

func appendCells(dst []byte, cells []string) []byte {
	for _, cell := range cells {
		dst = append(append(append(dst, "| "...), escapeMarkdown(cell)...), ' ')
	}
	return append(dst, "|\n"...)
}
