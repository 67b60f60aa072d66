package event

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable replaces whatever a terminal could take for a command by '?'.
// Names come from processes, files and peers; none of them may move a cursor.
func Printable(s string) string {
	if !strings.ContainsFunc(s, suspicious) && utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if suspicious(r) {
			return '?'
		}
		return r
	}, s)
}

func suspicious(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
