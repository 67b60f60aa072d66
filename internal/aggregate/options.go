package aggregate

import "time"

// The defaults of Options, and bounds that need no option.
const (
	defaultMaxLeases     = 1 << 20
	defaultMaxOwners     = 1 << 15
	defaultMaxNamespaces = 1 << 12
	defaultMaxFailures   = 1 << 10
	defaultMaxPools      = 1 << 12

	// maxSpans bounds the ranges of their own that sockets of one namespace
	// have, maxBindPools the local addresses of one namespace and protocol
	// from which ports are asked for: each event looks at all of them.
	maxSpans     = 64
	maxBindPools = 64

	// An account's key has 20 bits for the namespace (see accountKey).
	ceilingNamespaces = 1 << 20
	// Kinds of losses are few and made by the tracer; the bound is a guard.
	maxLossKinds = 64

	// Retention is how long an owner that holds nothing is remembered, in
	// event time: long enough to be named when its last TIME_WAIT has gone.
	Retention = 10 * time.Minute
	// sweepEvery spaces the walks over all owners that end their retention.
	sweepEvery = 10 * time.Second
	// criticalFor is how long a refusal for want of ports keeps the level at
	// critical.
	criticalFor = time.Minute
)

// Options bound a Ledger. The zero value of each field means its default; none
// may be negative.
type Options struct {
	// MaxLeases bounds the leases kept (default 1,048,576). At the bound a
	// new lease is not kept, Counters.LeasesRefused grows and the picture is
	// not complete until a whole resync has fitted.
	MaxLeases int
	// MaxOwners bounds the owners kept (default 32,768). At the bound owners
	// that hold nothing are forgotten before their time; if that is not
	// enough, what a new owner takes is booked to the unknown owner and
	// Counters.OwnersFolded grows.
	MaxOwners int
	// MaxNamespaces bounds the namespaces kept (default 4,096, at most
	// 1,048,576). At the bound leases of a new namespace are not kept and
	// Counters.NamespacesRefused grows.
	MaxNamespaces int
	// MaxFailures bounds the failures remembered one by one (default 1,024;
	// alike ones count as one). At the bound the one that was quiet for
	// longest is forgotten and Counters.FailuresForgotten grows; totals stay
	// exact.
	MaxFailures int
	// MaxPools bounds the pools that are listed (default 4,096). What is in
	// use is counted exactly in all of them, as many as there are leases; at
	// the bound a further pool is not listed and has no rates, no history and
	// no lowest headroom, and Counters.PoolsUnlisted grows. A pool that is
	// used more than the quietest of those listed takes its place.
	MaxPools int
}

func (o Options) withDefaults() Options {
	o.MaxLeases = positiveOr(o.MaxLeases, defaultMaxLeases)
	o.MaxOwners = positiveOr(o.MaxOwners, defaultMaxOwners)
	o.MaxNamespaces = min(positiveOr(o.MaxNamespaces, defaultMaxNamespaces), ceilingNamespaces)
	o.MaxFailures = positiveOr(o.MaxFailures, defaultMaxFailures)
	o.MaxPools = positiveOr(o.MaxPools, defaultMaxPools)
	return o
}

func positiveOr(n, fallback int) int {
	if n > 0 {
		return n
	}
	return fallback
}
