package text

import (
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// AppendExplanation appends a page: the title, what it means on this host, and
// the text of the documentation.
func AppendExplanation(dst []byte, e *fields.Explanation, width int) []byte {
	dst = append(append(dst, e.Title...), '\n')
	dst = appendList(dst, "On this host:", e.Host, width)
	if e.Unread != "" {
		dst = appendWrapped(dst, "Not known of this host: "+event.Printable(e.Unread), 0, 2, width)
	}
	return appendPage(append(dst, '\n'), e.Text, width)
}
