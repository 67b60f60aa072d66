package aggregate

import "github.com/portwatch/portwatch/internal/event"

const (
	causeCount  = int(event.CauseLost) + 1
	reasonCount = int(event.ReasonNoMemory) + 1
)

// CauseCounts counts releases by cause; index it with an [event.Cause].
type CauseCounts [causeCount]uint64

// ReasonCounts counts failures by reason; index it with an [event.Reason].
type ReasonCounts [reasonCount]uint64

// Total is the sum over all reasons.
func (c *ReasonCounts) Total() uint64 {
	total := uint64(0)
	for _, n := range c {
		total += n
	}
	return total
}

// Exhaustion is the number of failures for want of ports.
func (c *ReasonCounts) Exhaustion() uint64 {
	return c[event.ReasonPoolExhausted] + c[event.ReasonRangeExhausted]
}

func (c *ReasonCounts) add(other *ReasonCounts) {
	for i, n := range other {
		c[i] += n
	}
}

// A number that this version does not know counts as unknown.

func causeIndex(c event.Cause) int {
	if int(c) < causeCount {
		return int(c)
	}
	return int(event.CauseUnknown)
}

func reasonIndex(r event.Reason) int {
	if int(r) < reasonCount {
		return int(r)
	}
	return 0
}

// Counters are the ledger's totals since the stream began, among them what it
// could not keep.
type Counters struct {
	Events      uint64 // booked, ticks apart
	Allocations uint64
	Releases    CauseCounts
	Failures    ReasonCounts
	LostEvents  uint64 // sum of all losses told

	Inserted uint64 // leases that a correction brought
	Revised  uint64 // leases whose state a correction changed

	UnknownStates   uint64 // state events of leases that are not known
	UnknownReleases uint64 // releases of leases that are not known

	LeasesRefused     uint64 // beyond Options.MaxLeases
	OwnersFolded      uint64 // lookups booked to the unknown owner, beyond Options.MaxOwners
	NamespacesRefused uint64 // lookups beyond Options.MaxNamespaces
	FailuresForgotten uint64 // beyond Options.MaxFailures
	PoolsRefused      uint64 // lookups beyond the ranges and addresses that one namespace may have
	PoolsUnlisted     uint64 // requests in pools beyond Options.MaxPools
	PoolsForgotten    uint64 // small and quiet pools that made room for others
	StakesForgotten   uint64 // parts of pools that held nothing, beyond Options.MaxLeases
	TombsRefused      uint64 // ended leases beyond Options.MaxLeases during a resync
}

// Loss is what was lost of one kind.
type Loss struct {
	What  string
	Cause event.LostCause
	Errno event.Errno // of a failed map update; 0 otherwise
	Count uint64
}
