package fields

import (
	"strconv"

	"github.com/portwatch/portwatch/internal/host"
)

// Limits is the document portwatch.limits/1.
var Limits = newDocument("portwatch.limits/1", "Every limit that stops a program from opening or holding sockets.",
	reportEnvelope(func(r *host.LimitsReport) string { return r.Summary() },
		func(r *host.LimitsReport) string { return r.Level() }), Object[host.LimitsReport]{
		rows("limits", "The limits, the fullest first.", limitRow(),
			func(r *host.LimitsReport) ([]limitIn, bool) {
				all := make([]limitIn, len(r.Limits))
				for i := range r.Limits {
					all[i] = limitIn{&r.Limits[i], r.Thresholds}
				}
				return all, true
			}),
		one("first_wall", "", "The limit that the process meets first if it opens one connection after another; null without a process.",
			String, func(_ *Context, r *host.LimitsReport) Value {
				if r.FirstWall == nil {
					return Value{}
				}
				return Text(r.FirstWall.Name)
			}),
		rows("accepted", "Listening ports with the connections that share each.", onPort,
			func(r *host.LimitsReport) ([]host.OnPort, bool) { return r.Accepted, r.Accepted != nil }),
		rows("unlistened", "Ports with connections that nobody listens on and the range does not give: their programs bound them, a listener that has ended accepted them, or they are older than the range.",
			onPort, func(r *host.LimitsReport) ([]host.OnPort, bool) { return r.Unlistened, r.Unlistened != nil }),
		rows("pools", "Destinations towards which most local ports are taken.", fullestPool,
			func(r *host.LimitsReport) ([]host.Pool, bool) { return r.Pools, r.Pools != nil }),
		wordsOf("notes", "What else to mind.", func(_ *Context, r *host.LimitsReport) []string { return orNone(r.Notes) }),
	})

// limitIn is a limit with what makes its level.
type limitIn struct {
	*host.Limit
	thresholds host.Thresholds
}

// limitRow is a function because its words come from two tables.
func limitRow() Object[limitIn] {
	return Object[limitIn]{
		one("name", "", "The limit.", String, func(_ *Context, l *limitIn) Value { return Text(l.Name) }),
		words("scope", "What it holds for.", "host namespace cgroup user process listener", func(l *limitIn) string { return l.Scope }),
		one("owner", "", "Whose it is; null for the host's.", String, func(_ *Context, l *limitIn) Value { return Text(l.Owner) }),
		one("used", "", "How much is in use; null if it is not known.", Integer, func(_ *Context, l *limitIn) Value { return number64(l.Used) }),
		one("max", "", "The limit's value; null if it is not known or there is none.", Integer,
			func(_ *Context, l *limitIn) Value { return number64(l.Max) }),
		one("unit", "", "The unit of used and max.", String, func(_ *Context, l *limitIn) Value { return Text(l.Unit) }),
		one("used_ratio", "", "Used divided by max.", Real, func(_ *Context, l *limitIn) Value {
			if ratio, ok := l.Ratio(); ok {
				return Number(ratio)
			}
			return Value{}
		}),
		one("unread", "", "Why used or max is not known.", String, func(_ *Context, l *limitIn) Value { return Text(l.Unread) }),
		one("error", "", "What a program gets that meets it, or what happens silently.", String,
			func(_ *Context, l *limitIn) Value { return Text(l.Error) }),
		one("counter", "", "The counter that proves that it was hit, the namespace's own also where the limit is the host's; null if the kernel counts nothing.", String,
			func(_ *Context, l *limitIn) Value { return Text(l.Counter) }),
		one("counter_total", "", "The counter since boot, or since the namespace or group was made.", Integer,
			func(_ *Context, l *limitIn) Value { return number64(l.Total) }),
		one("counter_delta", "", "What was added while it was watched; null without --for.", Integer,
			func(_ *Context, l *limitIn) Value { return number64(l.Delta) }),
		words("level", "How near it is.", "ok warning critical unknown", func(l *limitIn) string { return l.Level(l.thresholds) }),
		one("raise", "", "How to raise it.", String, func(_ *Context, l *limitIn) Value { return Text(l.Raise) }),
	}
}

var onPort = Object[host.OnPort]{
	one("port", "", "The local port.", Integer, func(_ *Context, a *host.OnPort) Value { return Plain(uint64(a.Port)) }),
	one("connections", "connections", "Connections on it, TIME_WAIT included.", Integer,
		func(_ *Context, a *host.OnPort) Value { return Count(uint64(a.Count)) }),
}

// number64 is a whole number; nil is absent, and so is a number that readers
// of JSON would round.
func number64(n *uint64) Value {
	if n == nil || *n > 1<<53 {
		return Value{}
	}
	return Count(*n)
}

// LimitColumns are the table of limits. watched says whether the counters were
// read twice.
func LimitColumns(t host.Thresholds, watched bool) []Column[host.Limit] {
	all := limitRow()
	of := func(header, name string) Column[host.Limit] {
		value := all.Named(name).value
		return Column[host.Limit]{Header: header, Value: func(c *Context, l *host.Limit) Value { return value(c, &limitIn{l, t}) }}
	}
	right := func(c Column[host.Limit]) Column[host.Limit] { c.Right = true; return c }
	hits := right(of("SINCE BOOT", "counter_total"))
	if watched {
		hits = right(of("HIT NOW", "counter_delta"))
	}
	owner := Column[host.Limit]{Header: "OF", Tail: true, Value: func(_ *Context, l *host.Limit) Value {
		if l.Scope == "host" { // one for all namespaces
			return Text("all")
		}
		return Text(l.Owner)
	}}
	return []Column[host.Limit]{
		of("LIMIT", "name"), right(of("USED", "used")), right(of("MAX", "max")),
		{Header: "FULL", Right: true, Value: func(_ *Context, l *host.Limit) Value { return percent(l) }},
		of("LEVEL", "level"), hits, owner,
	}
}

// percent rounds down: 100 % is full.
func percent(l *host.Limit) Value {
	ratio, known := l.Ratio()
	if !known {
		return Value{}
	}
	return Text(strconv.Itoa(int(100*ratio)) + " %")
}
