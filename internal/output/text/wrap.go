package text

import (
	"strings"
	"unicode/utf8"
)

// labelWidth is the room of the labels at the left of a report.
const labelWidth = 14

// appendLabelled appends a label and a text beside it, wrapped to width; 0
// means no bound.
func appendLabelled(dst []byte, label, text string, width int) []byte {
	start := len(dst)
	dst = append(dst, label...)
	dst = appendSpaces(dst, max(1, labelWidth-utf8.RuneCountInString(label)))
	column := utf8.RuneCount(dst[start:])
	return appendWrapped(dst, text, column, labelWidth, width)
}

// appendWrapped appends the words of text. The line they begin on is filled up
// to column; further lines are indented. A word that is longer than a line
// stands alone and sticks out.
func appendWrapped(dst []byte, text string, column, indent, width int) []byte {
	fresh := true // no word stands on the line
	for word := range strings.FieldsSeq(text) {
		length := utf8.RuneCountInString(word)
		if !fresh && width > 0 && column+1+length > width {
			dst = append(dst, '\n')
			dst = appendSpaces(dst, indent)
			column, fresh = indent, true
		}
		if !fresh {
			dst = append(dst, ' ')
			column++
		}
		dst = append(dst, word...)
		column, fresh = column+length, false
	}
	return append(dst, '\n')
}
