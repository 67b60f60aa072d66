package fields

import "github.com/portwatch/portwatch/internal/aggregate"

type counters = aggregate.Counters

// ledgerCounters are the ledger's totals, among them what it could not keep.
var ledgerCounters = Object[counters]{
	tally("events", "events", "Events booked, ticks apart.", func(c *counters) uint64 { return c.Events }),
	requests("allocations", "allocations", "Ports that the kernel gave.", func(c *counters) uint64 { return c.Allocations }),
	requests("failures", "failures", "Requests that the kernel refused.", func(c *counters) uint64 { return c.Failures.Total() }),
	requests("failures_for_want_of_ports", "failures", "Those of them that were refused for want of ports.",
		func(c *counters) uint64 { return c.Failures.Exhaustion() }),
	tally("inserted", "leases", "Leases that a correction brought.", func(c *counters) uint64 { return c.Inserted }),
	tally("revised", "leases", "Leases whose state a correction changed.", func(c *counters) uint64 { return c.Revised }),
	tally("unknown_states", "events", "State events of leases that are not known.",
		func(c *counters) uint64 { return c.UnknownStates }),
	tally("unknown_releases", "events", "Releases of leases that are not known.",
		func(c *counters) uint64 { return c.UnknownReleases }),
	tally("leases_refused", "leases", "Leases beyond the bound, not kept.",
		func(c *counters) uint64 { return c.LeasesRefused }),
	tally("owners_folded", "lookups", "Lookups of owners beyond the bound, booked to the unknown owner.",
		func(c *counters) uint64 { return c.OwnersFolded }),
	tally("namespaces_refused", "lookups", "Lookups of namespaces beyond the bound, not kept.",
		func(c *counters) uint64 { return c.NamespacesRefused }),
	tally("failures_forgotten", "failures", "Kinds of failures beyond the bound; totals stay exact.",
		func(c *counters) uint64 { return c.FailuresForgotten }),
	tally("pools_refused", "lookups", "Lookups beyond the ranges and addresses that one namespace may have.",
		func(c *counters) uint64 { return c.PoolsRefused }),
	tally("pools_unlisted", "requests", "Requests in pools beyond the bound: what is in use there is counted, not listed.",
		func(c *counters) uint64 { return c.PoolsUnlisted }),
	tally("pools_forgotten", "pools", "Small and quiet pools that made room for others.",
		func(c *counters) uint64 { return c.PoolsForgotten }),
	tally("stakes_forgotten", "entries", "Owners' parts of pools that held nothing and made room for others.",
		func(c *counters) uint64 { return c.StakesForgotten }),
}

func tally(name, unit, meaning string, get func(*counters) uint64) Field[counters] {
	return one(name, unit, meaning, Integer, func(_ *Context, c *counters) Value { return Count(get(c)) })
}

// requests is a tally of single requests.
func requests(name, unit, meaning string, get func(*counters) uint64) Field[counters] {
	return one(name, unit, meaning, Integer, func(c *Context, t *counters) Value { return ofRequests(c, Count(get(t))) })
}

type loss = aggregate.Loss

// losses say what did not reach the stream, by kind.
var lossRow = Object[loss]{
	one("what", "", "What was lost.", String, func(_ *Context, l *loss) Value { return Text(l.What) }),
	words("cause", "How it came to be lost.", lostCauseWords, func(l *loss) string { return l.Cause.String() }),
	one("errno", "", "The error of a failed map update.", String,
		func(_ *Context, l *loss) Value { return Text(l.Errno.String()) }),
	one("count", "events", "How many.", Integer, func(_ *Context, l *loss) Value { return Count(l.Count) }),
}
