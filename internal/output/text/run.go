package text

import (
	"fmt"

	"github.com/portwatch/portwatch/internal/output/fields"
)

// AppendRun appends what a command did with local ports.
func AppendRun(dst []byte, c *fields.Context, r *fields.RunReport, o BlameOptions) []byte {
	if o.Wide {
		o.Width = 0
	}
	dst = appendWrapped(dst, fields.RunSummary(c, r), 0, 0, o.Width)
	if r.Blame == nil || len(r.Blame.Tight)+len(r.Blame.Refused) == 0 {
		return dst
	}
	return appendBlameBody(dst, c, r.Blame, o)
}

// AppendRunMarkdown appends the same for a ticket.
func AppendRunMarkdown(dst []byte, c *fields.Context, r *fields.RunReport) []byte {
	dst = fmt.Appendf(dst, "**%s**\n", escapeMarkdown(fields.RunSummary(c, r)))
	if r.Blame == nil || len(r.Blame.Tight)+len(r.Blame.Refused) == 0 {
		return dst
	}
	return appendMarkdownBody(dst, c, r.Blame)
}
