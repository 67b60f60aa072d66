package text

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// shownFailures is how many failures a frame ends with.
const shownFailures = 5

// TopOptions say how much of a frame is printed.
type TopOptions struct {
	Width    int  // of the terminal; 0 means no bound
	Rows     int  // owners shown, namespaces and pools; 0 means all
	Wide     bool // all columns, no bound
	NoHeader bool
}

// AppendTop appends a frame of top: the status line, the namespaces, the tightest
// pools, the owners, the newest failures.
func AppendTop(dst []byte, c *fields.Context, s *aggregate.Snapshot, o TopOptions) []byte {
	if o.Wide {
		o.Width = 0
	}
	dst = appendStatus(dst, c, s)
	if s.Start.Reason != "" {
		dst = appendWrapped(dst, "only mode "+s.Start.Mode.String()+" works: "+event.Printable(s.Start.Reason), 0, 0, o.Width)
	}
	dst = append(dst, '\n')
	dst = appendRows(dst, c, o, section[aggregate.Namespace]{"namespaces", fields.NamespaceColumns(c.SeesRequests()), s.Namespaces})
	if len(s.Pools) > 0 {
		dst = append(dst, '\n')
		dst = appendRows(dst, c, o, section[aggregate.Pool]{"pools", fields.PoolColumns(c.SeesRequests()), s.Pools})
	}
	dst = append(dst, '\n')
	dst = appendRows(dst, c, o, section[aggregate.Owner]{"owners", fields.OwnerColumns(o.Wide, c.SeesRequests()), busy(s.Owners)})
	if len(s.Failures) == 0 {
		return dst
	}
	dst = append(dst, '\n')
	o.Rows = shownFailures
	return appendRows(dst, c, o, section[aggregate.Failure]{"kinds of failures", fields.FailureColumns(), s.Failures})
}

// section is a table of a frame; what names its rows in "+ 3 more".
type section[T any] struct {
	what    string
	columns []fields.Column[T]
	rows    []T
}

func appendRows[T any](dst []byte, c *fields.Context, o TopOptions, s section[T]) []byte {
	shown := s.rows
	if o.Rows > 0 && len(shown) > o.Rows {
		shown = shown[:o.Rows]
	}
	dst = Table[T]{Columns: s.columns, Width: o.Width, NoHeader: o.NoHeader}.Append(dst, c, shown)
	if more := len(s.rows) - len(shown); more > 0 {
		dst = append(dst, "+ "...)
		dst = fields.AppendThousands(dst, uint64(more))
		dst = append(dst, " more "...)
		dst = append(dst, s.what...)
		dst = append(dst, '\n')
	}
	return dst
}

// appendStatus appends who speaks, when, and how far it is to be believed.
func appendStatus(dst []byte, c *fields.Context, s *aggregate.Snapshot) []byte {
	words := []string{
		orUnknown(event.Printable(s.Start.Host)), orUnknown(s.Start.Mode.String()), wallClock(c, s.At),
		eventRate(&s.Meta), "lost " + thousands(s.Counters.LostEvents),
	}
	if !s.Complete {
		words = append(words, "incomplete")
	}
	dst = append(dst, strings.Join(words, "   ")...)
	dst = append(dst, '\n')
	if ratio, ok := s.UnattributedRatio(); ok && ratio > 0 {
		dst = append(dst, attribution(s, ratio)...)
		dst = append(dst, '\n')
	}
	return dst
}

// attribution is the line of the first minute: sockets from before the start
// have no known owner until the last of them is gone.
func attribution(s *aggregate.Snapshot, unknown float64) string {
	known := math.Floor(1000*(1-unknown)) / 10 // 100 % only when it is all
	line := fmt.Sprintf("owners known for %.1f %% of %s leases", known, thousands(uint64(s.Leases)))
	if d, ok := s.AttributionCompleteIn(); ok {
		line += fmt.Sprintf(", of all TIME_WAIT in %.0f s", d.Seconds())
	}
	return line
}

func eventRate(m *aggregate.Meta) string {
	rate, ok := m.PerSecond(m.RecentEvents)
	switch {
	case !ok:
		return "- ev/s"
	case rate >= 1000:
		return strconv.FormatFloat(rate/1000, 'f', 1, 64) + "k ev/s"
	}
	return strconv.FormatFloat(rate, 'f', 0, 64) + " ev/s"
}

// wallClock is the time of day with its offset; the boot clock without an
// anchor.
func wallClock(c *fields.Context, t event.Time) string {
	wall, ok := c.Meta.Clock.Wall(t)
	if !ok {
		return fmt.Sprintf("boot+%.0fs", time.Duration(t).Seconds())
	}
	if c.Location != nil {
		wall = wall.In(c.Location)
	}
	return wall.Format("15:04:05 -07:00")
}

func thousands(n uint64) string { return string(fields.AppendThousands(nil, n)) }

func orUnknown(word string) string {
	if word == "" {
		return "unknown"
	}
	return word
}

// AppendRates appends one line: what all shown owners hold, ask for and are
// refused.
func AppendRates(dst []byte, c *fields.Context, s *aggregate.Snapshot) []byte {
	var all aggregate.Usage
	ports, waiting := 0, 0
	for i := range s.Owners {
		all.RecentAllocations += s.Owners[i].RecentAllocations
		all.RecentFailures += s.Owners[i].RecentFailures
		ports += s.Owners[i].Ports()
		waiting += s.Owners[i].TimeWait()
	}
	dst = append(dst, wallClock(c, s.At)...)
	if c.SeesRequests() {
		dst = fmt.Appendf(dst, "   try %s/s   fail %s/s",
			perSecondWord(&s.Meta, all.RecentAttempts()), perSecondWord(&s.Meta, all.RecentFailures))
	}
	return fmt.Appendf(dst, "   leases %s   TIME_WAIT %s   lost %s\n",
		thousands(uint64(ports)), thousands(uint64(waiting)), thousands(s.Counters.LostEvents))
}

func perSecondWord(m *aggregate.Meta, recent uint64) string {
	rate, ok := m.PerSecond(recent)
	if !ok {
		return "-"
	}
	return string(fields.Number(rate).AppendText(nil, nil))
}

// busy leaves out the owners that hold nothing now, and neither asked nor were
// refused of late: they are remembered, not shown.
func busy(owners []aggregate.Owner) []aggregate.Owner {
	var shown []aggregate.Owner
	for i := range owners {
		o := &owners[i]
		if o.Ports() > 0 || o.RecentAttempts() > 0 || o.Failures.Total() > 0 {
			shown = append(shown, *o)
		}
	}
	return shown
}
