package text

import (
	"strings"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// notedPools is how many pools get a line of their own.
const notedPools = 3

// AppendStatus appends the headroom: the sentence, the tightest pools,
// when more come back, the namespaces.
func AppendStatus(dst []byte, c *fields.Context, s *aggregate.Snapshot, o TopOptions) []byte {
	if o.Wide {
		o.Width = 0
	}
	dst = appendWrapped(dst, fields.Summary(c, s), 0, 0, o.Width)
	dst = appendFirstMinute(dst, s)
	if len(s.Pools) > 0 {
		dst = append(dst, '\n')
		dst = appendRows(dst, c, o, section[aggregate.Pool]{"pools", fields.PoolColumns(c.SeesRequests()), s.Pools})
		dst = appendPoolNotes(dst, s, o.Width)
	}
	dst = append(dst, '\n')
	return appendRows(dst, c, o, section[aggregate.Namespace]{"namespaces", fields.StatusNamespaceColumns(), s.Namespaces})
}

func appendPoolNotes(dst []byte, s *aggregate.Snapshot, width int) []byte {
	normal := fields.NormalSearch(s.Pools)
	for i := range min(notedPools, len(s.Pools)) {
		p := &s.Pools[i]
		if notes := fields.PoolNotes(p, normal); len(notes) > 0 {
			dst = appendWrapped(dst, fields.PoolWord(p)+": "+strings.Join(notes, "; "), 0, 2, width)
		}
	}
	return dst
}
