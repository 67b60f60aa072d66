package text

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// WhyOptions say how answers about ports are printed.
type WhyOptions struct {
	Width    int  // of the terminal; 0 means no bound
	Wide     bool // more columns, whatever the width
	NoHeader bool
	Markdown bool // for a ticket
}

// AppendWhy appends answers about ports: the sentence first, then who holds them
// and what bind() would say, and last how to keep them.
func AppendWhy(dst []byte, c *fields.Context, r *fields.WhyReport, o WhyOptions) []byte {
	if o.Wide || o.Markdown {
		o.Width = 0
	}
	dst = appendAnswer(dst, r, o.Width)
	for i := range r.Ports {
		if len(r.Ports) > 1 {
			dst = appendHeading(append(dst, '\n'), r.Ports[i].String(), o)
		}
		dst = appendPort(dst, c, &r.Ports[i], o)
	}
	if len(r.Connect) > 0 {
		dst = appendConnect(dst, c, r.Connect, o)
	}
	if len(r.Reserve) > 0 {
		dst = appendReserve(append(dst, '\n'), r.Reserve, o)
	}
	if r.Asker != "" && len(r.Ports) > 0 {
		dst = appendWrapped(append(dst, '\n'), "The verdicts hold for "+event.Printable(r.Asker)+".", 0, 0, o.Width)
	}
	dst = appendList(dst, "Mind:", r.Notes, o.Width)
	return appendList(dst, "Could not be read:", r.Unread, o.Width)
}

// appendAnswer appends the sentence that a port's own does not say.
func appendAnswer(dst []byte, r *fields.WhyReport, width int) []byte {
	if len(r.Ports) != 1 || r.Failure != nil {
		dst = appendWrapped(dst, event.Printable(r.Summary()), 0, 0, width)
	}
	switch {
	case r.Failure == nil:
	case len(r.Ports) == 1:
		dst = append(dst, '\n')
	case len(r.Connect) > 0:
		dst = appendWrapped(append(dst, '\n'), event.Printable(aggregate.ConnectSummary(r.Connect)), 0, 0, width)
	}
	return dst
}

func appendHeading(dst []byte, heading string, o WhyOptions) []byte {
	if o.Markdown {
		dst = append(dst, "### "...)
	}
	return append(append(dst, heading...), "\n"...)
}

func appendPort(dst []byte, c *fields.Context, a *aggregate.PortAnswer, o WhyOptions) []byte {
	dst = appendWrapped(dst, event.Printable(a.Explanation()), 0, 0, o.Width)
	if len(a.Holders) > 0 {
		dst = appendWhyTable(append(dst, '\n'), c, fields.HolderColumns(a.Holders, false, o.Wide), a.Holders, o)
		dst = appendEvidence(dst, a.Holders, o)
	}
	var choices []fields.BindChoice
	for chunk := range slices.Chunk(a.Binds, len(fields.BindChoice{})) {
		choices = append(choices, fields.BindChoice(chunk))
	}
	dst = appendWhyTable(append(dst, '\n'), c, fields.BindColumns(), choices, o)
	if len(a.Elsewhere) > 0 {
		dst = appendWrapped(append(dst, '\n'), "The same port in other namespaces: not in the way.", 0, 0, o.Width)
		if o.Markdown {
			dst = append(dst, '\n')
		}
		dst = appendWhyTable(dst, c, fields.HolderColumns(a.Elsewhere, true, o.Wide), a.Elsewhere, o)
	}
	return dst
}

func appendWhyTable[T any](dst []byte, c *fields.Context, columns []fields.Column[T], rows []T, o WhyOptions) []byte {
	table := Table[T]{Columns: columns, Width: o.Width, NoHeader: o.NoHeader}
	if o.Markdown {
		return table.AppendMarkdown(dst, c, rows)
	}
	return table.Append(dst, c, rows)
}

// appendEvidence names who talks to the far ends of what waits: they need not have
// been the owners.
func appendEvidence(dst []byte, holders []aggregate.PortHolder, o WhyOptions) []byte {
	var names []string
	for i := range holders {
		for _, who := range holders[i].SameFarEnd {
			if name := fmt.Sprintf("%s[%d]", who.Comm, who.ID.PID); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return dst
	}
	if more := len(names) - shownEvidence; more > 0 {
		names = append(names[:shownEvidence], fmt.Sprintf("%d more", more))
	}
	return appendWrapped(append(dst, '\n'), event.Printable(
		"A TIME_WAIT has no owner any more. Evidence only: its far end is talked to now by "+strings.Join(names, ", ")+"."), 0, 0, o.Width)
}

// shownEvidence is how many processes are named as evidence.
const shownEvidence = 5

func appendConnect(dst []byte, c *fields.Context, all []aggregate.ConnectAnswer, o WhyOptions) []byte {
	dst = appendWhyTable(append(dst, '\n'), c, fields.ConnectColumns(), all, o)
	for i := range all {
		if !all[i].Known && len(all) > 1 { // one alone has been told
			dst = appendWrapped(append(dst, '\n'), event.Printable(all[i].Explanation()), 0, 0, o.Width)
		}
	}
	return dst
}

// appendReserve appends what keeps ports from connections.
func appendReserve(dst []byte, all []host.Lines, o WhyOptions) []byte {
	dst = appendWrapped(dst, "To keep the port from connections (bind() to a reserved port still works; sockets that exist keep theirs):", 0, 0, o.Width)
	fence := ""
	if o.Markdown {
		fence = "```\n"
	}
	dst = append(dst, fence...)
	for _, l := range all {
		dst = fmt.Appendf(dst, "  # %s\n", l.Where)
		for _, line := range l.Text {
			dst = fmt.Appendf(dst, "  %s\n", line)
		}
	}
	return append(dst, fence...)
}
