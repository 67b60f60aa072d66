package text

import (
	"strings"
	"unicode/utf8"
)

// appendPage appends a page of the documentation for a terminal: headings in
// capitals, what stands in a fence indented, tables in columns. Everything else is
// wrapped for 80 columns as it is.
func appendPage(dst []byte, page string, width int) []byte {
	var table [][]string
	fenced := false
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		if cells, is := tableRow(line); is && !fenced {
			table = append(table, cells)
			continue
		}
		dst, table = appendPageTable(dst, table, width), nil
		switch heading, is := strings.CutPrefix(line, "## "); {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
			continue
		case fenced && line != "":
			dst = append(dst, "  "...)
		case is:
			line = strings.ToUpper(plainWords.Replace(heading))
		case !fenced:
			line = plainWords.Replace(line)
		}
		dst = append(append(dst, line...), '\n')
	}
	return appendPageTable(dst, table, width)
}

// plainWords takes out what marks a word as strong or as code.
var plainWords = strings.NewReplacer("**", "", "`", "")

// tableRow is the cells of a table's line; none for the rule below its header.
func tableRow(line string) (cells []string, is bool) {
	if !strings.HasPrefix(line, "|") {
		return nil, false
	}
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		cells = append(cells, plainWords.Replace(strings.TrimSpace(cell)))
	}
	if strings.Trim(cells[0], "-:") == "" {
		return nil, true
	}
	return cells, true
}

// appendPageTable sets the rows in columns; the last one is wrapped.
func appendPageTable(dst []byte, rows [][]string, width int) []byte {
	var widths []int
	for _, cells := range rows {
		for i, cell := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, cells := range rows {
		if len(cells) == 0 {
			continue
		}
		column := 0
		for i, cell := range cells[:len(cells)-1] {
			if n == 0 {
				cell = strings.ToUpper(cell)
			}
			dst = append(dst, cell...)
			dst = appendSpaces(dst, widths[i]-utf8.RuneCountInString(cell)+2)
			column += widths[i] + 2
		}
		last := cells[len(cells)-1]
		if n == 0 {
			last = strings.ToUpper(last)
		}
		dst = appendWrapped(dst, last, column, column, width)
	}
	return dst
}
