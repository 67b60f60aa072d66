package fields

import (
	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

type ownerRow = aggregate.Owner

// holding is what an owner holds and asked for.
var holding = Object[ownerRow]{
	nest("owner", "Who holds the ports.", owner, func(o *ownerRow) *ownerInfo { return o.Info }),
	one("ports", "leases", "Leases of the owner, TIME_WAIT included.", Integer,
		func(_ *Context, o *ownerRow) Value { return Count(uint64(o.Ports())) }),
	one("time_wait", "leases", "Leases in TIME_WAIT, of either sub-state.", Integer,
		func(_ *Context, o *ownerRow) Value { return Count(uint64(o.TimeWait())) }),
	rows("states", "The leases by the state of their sockets.", stateRow, statesOf),
	one("netns", "", "The inode of the network namespace in which the owner has most ports.", Integer,
		func(_ *Context, o *ownerRow) Value { return netns(o.NetNS) }),
	one("netns_name", "", "The name of that namespace.", String,
		func(_ *Context, o *ownerRow) Value { return Text(o.NetNSName) }),
	one("netns_count", "namespaces", "In how many network namespaces the owner was seen.", Integer,
		func(_ *Context, o *ownerRow) Value { return Count(uint64(o.NetNSCount)) }),
	one("allocations", "allocations", "Ports that the kernel gave to the owner since it was first seen.", Integer,
		func(c *Context, o *ownerRow) Value { return ofRequests(c, Count(o.Allocations)) }),
	one("failures", "failures", "Requests of the owner that the kernel refused since it was first seen.", Integer,
		func(c *Context, o *ownerRow) Value { return ofRequests(c, Count(o.Failures.Total())) }),
	requestRows("failures_by_reason", "These failures by reason.", reasonRow, reasonsOf),
	one("attempts_per_second", "per second", "Allocations and failures.", Real,
		func(c *Context, o *ownerRow) Value { return rate(c, o.RecentAttempts()) }),
	one("allocations_per_second", "per second", "Allocations.", Real,
		func(c *Context, o *ownerRow) Value { return rate(c, o.RecentAllocations) }),
	one("failures_per_second", "per second", "Failures.", Real,
		func(c *Context, o *ownerRow) Value { return rate(c, o.RecentFailures) }),
}

type stateCount struct {
	state event.State
	ports int
}

var stateRow = Object[stateCount]{
	one("state", "", "The state; null if it is not known.", String,
		func(_ *Context, s *stateCount) Value { return Text(s.state.String()) }),
	one("ports", "leases", "Leases in this state.", Integer,
		func(_ *Context, s *stateCount) Value { return Count(uint64(s.ports)) }),
}

func statesOf(o *ownerRow) ([]stateCount, bool) {
	var all []stateCount
	for state, n := range o.States.All {
		all = append(all, stateCount{state, n})
	}
	return all, true
}

type reasonCount struct {
	reason event.Reason
	count  uint64
}

var reasonRow = Object[reasonCount]{
	words("reason", "Why the kernel refused.", reasonWords, func(r *reasonCount) string { return r.reason.String() }),
	one("count", "failures", "How often.", Integer, func(_ *Context, r *reasonCount) Value { return Count(r.count) }),
}

func reasonsOf(o *ownerRow) ([]reasonCount, bool) {
	var all []reasonCount
	for reason, n := range o.Failures {
		if n > 0 {
			all = append(all, reasonCount{event.Reason(reason), n})
		}
	}
	return all, true
}

// rate is a recent count of requests per second, absent while there is no
// window.
func rate(c *Context, recent uint64) Value {
	if c == nil || c.Meta == nil || !c.SeesRequests() {
		return Value{}
	}
	if perSecond, ok := c.Meta.PerSecond(recent); ok {
		return Number(perSecond)
	}
	return Value{}
}

// netns is the inode of a network namespace, absent if it is not known.
func netns(inode uint32) Value {
	if inode == 0 {
		return Value{}
	}
	return Plain(uint64(inode))
}
