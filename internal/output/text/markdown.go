package text

import (
	"fmt"
	"strings"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// AppendBlameMarkdown appends the answer for a ticket: the sentence first, then
// tables.
func AppendBlameMarkdown(dst []byte, c *fields.Context, b *aggregate.Blame) []byte {
	return appendMarkdownBody(fmt.Appendf(dst, "**%s**\n", escapeMarkdown(fields.BlameSummary(c, b))), c, b)
}

func appendMarkdownBody(dst []byte, c *fields.Context, b *aggregate.Blame) []byte {
	if ratio, ok := b.UnattributedRatio(); ok && ratio > 0 {
		dst = fmt.Appendf(dst, "\n%s\n", attribution(b.Snapshot, ratio))
	}
	if len(b.Culprits) > 0 {
		dst = append(dst, "\n### Who holds the ports\n\n"...)
		dst = Table[aggregate.Culprit]{Columns: fields.CulpritColumns(c, b, true)}.AppendMarkdown(dst, c, b.Culprits)
	}
	if len(b.Victims) > 0 {
		dst = append(dst, "\n### Who was refused\n\n"...)
		dst = Table[aggregate.Victim]{Columns: fields.VictimColumns(c)}.AppendMarkdown(dst, c, b.Victims[:min(shownVictims, len(b.Victims))])
		if more := len(b.Victims) - shownVictims; more > 0 {
			dst = fmt.Appendf(dst, "\n%s more were refused.\n", thousands(uint64(more)))
		}
		for i := range min(shownFailures, len(b.Refused)) {
			if i == 0 {
				dst = append(dst, '\n')
			}
			dst = fmt.Appendf(dst, "- %s\n", escapeMarkdown(fields.FailureSentence(c, &b.Refused[i])))
		}
	}
	return appendMarkdownRemedies(dst, c, b)
}

func appendMarkdownRemedies(dst []byte, c *fields.Context, b *aggregate.Blame) []byte {
	all := fields.Remedies(b)
	if len(all) == 0 {
		return dst
	}
	dst = append(dst, "\n### What helps, each by itself\n\n"...)
	dst = Table[fields.RemedyRow]{Columns: fields.RemedyColumns()}.AppendMarkdown(dst, c, all)
	for i := range min(shownRemedies, len(all)) {
		dst = fmt.Appendf(dst, "\n%d. %s\n", i+1, escapeMarkdown(fields.RemedySentence(&all[i])))
		if commands := fields.RemedyCommands(&all[i]); len(commands) > 0 {
			dst = fmt.Appendf(dst, "\n   ```sh\n   %s\n   ```\n", strings.Join(commands, "\n   "))
		}
	}
	return dst
}

// escapeMarkdown keeps names from being read as marks. What stands between two
// backquotes is code, where nothing is a mark.
func escapeMarkdown(s string) string {
	marks := strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", "&lt;", "[", `\[`, "]", `\]`)
	parts := strings.Split(s, "`")
	if len(parts)%2 == 0 { // one of them is a name's own
		return marks.Replace(strings.ReplaceAll(s, "`", "'"))
	}
	for i := 0; i < len(parts); i += 2 {
		parts[i] = marks.Replace(parts[i])
	}
	return strings.Join(parts, "`")
}
