package fields

import "bytes"

// Sheet is a table for CSV: one column for each value of an object, nested
// names joined by a dot, lists left out.
type Sheet[T any] struct {
	leaves []leaf[T]
}

// SheetOf makes the sheet of an object.
func SheetOf[T any](o Object[T]) Sheet[T] { return Sheet[T]{leaves: o.leaves("")} }

// AppendHeader appends the line of the columns' names.
func (s Sheet[T]) AppendHeader(dst []byte) []byte {
	for i := range s.leaves {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, s.leaves[i].name...)
	}
	return append(dst, '\n')
}

// AppendRow appends the line of one row, quoted as RFC 4180 has it.
func (s Sheet[T]) AppendRow(dst []byte, c *Context, v *T) []byte {
	for i := range s.leaves {
		if i > 0 {
			dst = append(dst, ',')
		}
		mark := len(dst)
		dst = s.leaves[i].value(c, v).AppendRaw(dst, c)
		dst = quoteTail(dst, mark)
	}
	return append(dst, '\n')
}

// quoteTail quotes what follows mark if it must be. A cell that a spreadsheet
// would take for a formula is quoted too, and led by an apostrophe: names are
// the processes' own choice.
func quoteTail(dst []byte, mark int) []byte {
	cell := dst[mark:]
	formula := len(cell) > 0 && bytes.IndexByte([]byte("=+-@\t\r"), cell[0]) >= 0
	if !formula && !bytes.ContainsAny(cell, ",\"\r\n") {
		return dst
	}
	raw := bytes.ReplaceAll(cell, []byte{'"'}, []byte{'"', '"'})
	dst = append(dst[:mark], '"')
	if formula {
		dst = append(dst, '\'')
	}
	return append(append(dst, raw...), '"')
}
