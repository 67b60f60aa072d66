package aggregate

import "time"

// The defaults of Options, and bounds that need no option.
const (
	defaultMaxLeases     = 1 << 20
	defaultMaxOwners     = 1 << 15
	defaultMaxNamespaces = 1 << 12
	defaultMaxFailures   = 1 << 10

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
}

func (o Options) withDefaults() Options {
	o.MaxLeases = positiveOr(o.MaxLeases, defaultMaxLeases)
	o.MaxOwners = positiveOr(o.MaxOwners, defaultMaxOwners)
	o.MaxNamespaces = min(positiveOr(o.MaxNamespaces, defaultMaxNamespaces), ceilingNamespaces)
	o.MaxFailures = positiveOr(o.MaxFailures, defaultMaxFailures)
	return o
}

func positiveOr(n, fallback int) int {
	if n > 0 {
		return n
	}
	return fallback
}
