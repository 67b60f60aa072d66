package text

import (
	"fmt"
	"strconv"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// shownRemedies is how many remedies are told with their commands.
const shownRemedies = 3

// shownVictims is how many victims are told one by one.
const shownVictims = 10

// BlameOptions say how much is printed.
type BlameOptions struct {
	Width    int  // of the terminal; 0 means no bound
	Wide     bool // all columns, no bound
	NoHeader bool
}

// AppendBlame appends the answer: the sentence, who holds the ports, who was
// refused, what was refused, and what helps.
func AppendBlame(dst []byte, c *fields.Context, b *aggregate.Blame, o BlameOptions) []byte {
	if o.Wide {
		o.Width = 0
	}
	dst = appendWrapped(dst, fields.BlameSummary(c, b), 0, 0, o.Width)
	return appendBlameBody(dst, c, b, o)
}

// appendBlameBody appends what stands below the sentence.
func appendBlameBody(dst []byte, c *fields.Context, b *aggregate.Blame, o BlameOptions) []byte {
	dst = appendFirstMinute(dst, b.Snapshot)
	dst = appendPeak(dst, c, b, o.Width)
	if len(b.Culprits) > 0 {
		dst = append(dst, '\n')
		dst = Table[aggregate.Culprit]{Columns: fields.CulpritColumns(c, b, o.Wide), Width: o.Width, NoHeader: o.NoHeader}.Append(dst, c, b.Culprits)
	}
	if len(b.Victims) > 0 && c.SeesRequests() {
		dst = append(dst, '\n')
		rows := TopOptions{Width: o.Width, Rows: shownVictims, NoHeader: o.NoHeader}
		dst = appendRows(dst, c, rows, section[aggregate.Victim]{"who were refused", fields.VictimColumns(c), b.Victims})
	}
	dst = appendExplanations(dst, c, b.Refused, o.Width)
	return appendRemedies(dst, c, b, o)
}

// appendFirstMinute appends how many owners are known, while some are not.
func appendFirstMinute(dst []byte, s *aggregate.Snapshot) []byte {
	if ratio, ok := s.UnattributedRatio(); ok && ratio > 0 {
		dst = append(append(dst, attribution(s, ratio)...), '\n')
	}
	return dst
}

// appendPeak appends how bad it was, where it is better now.
func appendPeak(dst []byte, c *fields.Context, b *aggregate.Blame, width int) []byte {
	if b.Peak == nil || b.Peak.At == b.At || b.Peak.Pool.Headroom() >= b.Tight[0].Headroom() {
		return dst
	}
	p := &b.Peak.Pool
	return appendWrapped(dst, fmt.Sprintf("at its worst, at %s, %s of %s were taken, the headroom was %s",
		wallClock(c, b.Peak.At), thousands(uint64(p.InUse)), thousands(uint64(max(p.Capacity, 0))), thousands(uint64(max(p.Headroom(), 0)))), 0, 0, width)
}

// appendExplanations appends the newest refusals in sentences.
func appendExplanations(dst []byte, c *fields.Context, all []aggregate.Failure, width int) []byte {
	for i := range min(shownFailures, len(all)) {
		if i == 0 {
			dst = append(dst, '\n')
		}
		dst = appendWrapped(dst, "- "+fields.FailureSentence(c, &all[i]), 0, 2, width)
	}
	if more := len(all) - shownFailures; more > 0 {
		dst = fmt.Appendf(dst, "+ %s more kinds of failures\n", thousands(uint64(more)))
	}
	return dst
}

func appendRemedies(dst []byte, c *fields.Context, b *aggregate.Blame, o BlameOptions) []byte {
	all := fields.Remedies(b)
	if len(all) == 0 {
		return dst
	}
	dst = append(dst, '\n')
	dst = Table[fields.RemedyRow]{Columns: fields.RemedyColumns(), Width: o.Width, NoHeader: o.NoHeader}.Append(dst, c, all)
	for i := range min(shownRemedies, len(all)) {
		dst = append(dst, '\n')
		dst = appendWrapped(dst, strconv.Itoa(i+1)+". "+fields.RemedySentence(&all[i]), 0, 3, o.Width)
		for _, command := range fields.RemedyCommands(&all[i]) {
			dst = append(append(append(dst, "     "...), command...), '\n')
		}
	}
	return dst
}
