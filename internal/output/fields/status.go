package fields

import (
	"fmt"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
)

// Status is the document portwatch.status/1.
var Status = newDocument("portwatch.status/1", "The headroom of each pool and namespace, and when ports come back.",
	answering(Summary), Object[snapshot]{
		rows("namespaces", "The network namespaces, the most urgent first.", statusNamespace,
			func(s *snapshot) ([]namespaceRow, bool) { return s.Namespaces, true }),
		rows("pools", "The pools of ports, the tightest first.", pool,
			func(s *snapshot) ([]poolRow, bool) { return s.Pools, true }),
		requestRows("failures", "What was refused, newest first.", failure,
			func(s *snapshot) ([]failureRow, bool) { return s.Failures, true }),
	})

// StatusSheet is the table of pools for CSV, led by the document's time.
var StatusSheet = SheetOf(append(Object[poolRow]{
	one("time", "", "The moment of the answer.", Time, func(c *Context, _ *poolRow) Value { return Moment(c.Meta.At) }),
}, pool...))

// StatusNamespaceColumns are the table of namespaces in status.
func StatusNamespaceColumns() []Column[namespaceRow] {
	return []Column[namespaceRow]{
		{Header: "NETNS", Value: func(_ *Context, n *namespaceRow) Value { return netnsWord(n.Name, n.NetNS) }},
		{Header: "RANGE", Value: func(_ *Context, n *namespaceRow) Value {
			if n.Limits == nil {
				return Value{}
			}
			return Text(n.Limits.Range.String())
		}},
		{Header: "PORTS", Right: true, Value: func(_ *Context, n *namespaceRow) Value { return rangePorts(n) }},
		numbers("TCP bind(0)", statusTCP.Named("bind_headroom")),
		numbers("UDP bind(0)", statusUDP.Named("bind_headroom")),
		{Header: "TIME_WAIT", Right: true, Value: func(_ *Context, n *namespaceRow) Value {
			return Count(uint64(n.TCP.TimeWait()))
		}},
	}
}

// PoolNotes are what is worth a line about a pool: what comes back and when, and
// what the search for a port costs. normal is the search where the kernel finds a
// port at once; 0 if not known.
func PoolNotes(p *aggregate.Pool, normal time.Duration) []string {
	var notes []string
	if back := p.Forecast.Returning; back[2] > 0 {
		notes = append(notes, fmt.Sprintf("back in 10/30/60 s: %s / %s / %s", grouped(back[0]), grouped(back[1]), grouped(back[2])))
	}
	if p.SynSent > 0 {
		notes = append(notes, ofThings(p.SynSent, "connect")+" without an answer yet")
	}
	if cost := p.Search.P50; cost > 0 {
		note := "connect() costs " + costWord(cost)
		if times := float64(cost) / float64(max(normal, 1)); normal > 0 && times >= 2 {
			note += fmt.Sprintf(", %.0f times normal", times)
		}
		notes = append(notes, note)
	}
	if p.Cliff == aggregate.CliffPassed {
		notes = append(notes, "past the cliff: connect() scans half of the range in vain")
	}
	return notes
}

// costWord is a short time: "13 µs", "0.61 ms".
func costWord(d time.Duration) string {
	if d < 100*time.Microsecond {
		return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond))
	}
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// NormalSearch is the least time that the kernel takes to find a port in a pool
// whose preferred ports are not used up; 0 if none was measured.
func NormalSearch(pools []aggregate.Pool) time.Duration {
	least := time.Duration(0)
	for i := range pools {
		if p := &pools[i]; p.Cliff == aggregate.CliffAhead && p.Search.P50 > 0 && (least == 0 || p.Search.P50 < least) {
			least = p.Search.P50
		}
	}
	return least
}

// PoolWord is what people call a pool: where it leads, or what asks for it where.
func PoolWord(p *aggregate.Pool) string { return poolWord(&p.PoolKey) }

// PerfThresholds are what monitoring is told of --warn and --crit beside the
// figures: ";70;90" for percent of used_ratio, ";500:;100:" for headroom.
type PerfThresholds struct{ Used, Headroom string }

// Perfdata is the figures of a pool as monitoring reads them.
func Perfdata(p *aggregate.Pool, t PerfThresholds) string {
	var b strings.Builder
	if ratio, known := p.UsedRatio(); known {
		fmt.Fprintf(&b, "used=%.1f%%%s;0;100 headroom=%d%s capacity=%d ", 100*ratio, t.Used, max(p.Headroom(), 0), t.Headroom, p.Capacity)
	}
	fmt.Fprintf(&b, "in_use=%d time_wait=%d", p.InUse, p.TimeWait)
	return b.String()
}
