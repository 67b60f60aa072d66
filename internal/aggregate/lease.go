package aggregate

import (
	"net/netip"

	"github.com/portwatch/portwatch/internal/event"
)

// endpoint is an address and port in 20 bytes without a pointer. The family
// decides how the address prints; an IPv6 zone is not kept, the lease's device
// says the same.
type endpoint struct {
	addr  [16]byte
	port  uint16
	valid bool
}

func endpointOf(ap netip.AddrPort) endpoint {
	if !ap.IsValid() {
		return endpoint{}
	}
	return endpoint{addr: ap.Addr().As16(), port: ap.Port(), valid: true}
}

func (e endpoint) addrPort(f event.Family) netip.AddrPort {
	if !e.valid {
		return netip.AddrPort{}
	}
	addr := netip.AddrFrom16(e.addr)
	if f == event.IPv4 {
		addr = addr.Unmap()
	}
	return netip.AddrPortFrom(addr, e.port)
}

// lease is an event.Lease in 144 bytes: owner, namespace, protocol and family
// are its account's.
type lease struct {
	id      event.LeaseID
	changed event.Time // time of the last event that spoke of its state
	idle    event.Time // since when its connection carries no data; 0 if it does
	cgroup  uint64     // the owner's when it took the port: it may have moved since
	condition
	position
	account uint32
	told    uint32 // the resync that last confirmed it

	seat         uint32 // plus one; 0 without a port
	older, newer uint32 // leases on the same port: slot plus one
	flow         uint32 // plus one; 0 if the tuple counts in no connect pool
	home         uint32 // the pool that it drew from, plus one

	confidence event.Confidence
	live       bool // the slot is in use
	witnessed  bool // its allocation was seen, so its age is known
	binder     bool // makes its port useless to connect()
	ripe       bool // connect() may take it over
	ripens     bool // it waits in poolTable.ripens
}

// condition is what changes while a lease stays where it is.
type condition struct {
	expires  event.Time
	entered  event.Time // 0 also if its connection had no timestamps
	state    event.State
	substate event.Substate
}

func conditionOf(el *event.Lease) condition {
	c := condition{expires: el.Expires, state: el.State, substate: el.Substate}
	if el.TimestampsSeen {
		c.entered = el.Entered
	}
	return c
}

// position is where a lease is and how it came there.
type position struct {
	local  endpoint
	remote endpoint
	device uint32
	rng    event.PortRange
	origin event.Origin
	v6Only bool
}

func positionOf(el *event.Lease) position {
	return position{
		local: endpointOf(el.Local), remote: endpointOf(el.Remote),
		device: el.Device, rng: el.Range, origin: el.Origin, v6Only: el.V6Only,
	}
}

// The states by a dense number: the kernel's own, then ours.
const (
	kernelStates = int(event.StateNewSynRecv) + 1
	stateCount   = kernelStates + 3
)

// StateCounts counts leases by state; see [StateCounts.Of].
type StateCounts [stateCount]uint32

func stateIndex(s event.State) int {
	if int(s) < kernelStates {
		return int(s)
	}
	if s >= event.StateBound && s <= event.StateConnected {
		return kernelStates + int(s-event.StateBound)
	}
	return int(event.StateUnknown)
}

func stateAt(i int) event.State {
	if i < kernelStates {
		return event.State(i)
	}
	return event.StateBound + event.State(i-kernelStates)
}

// Of is the number of leases in state s.
func (c *StateCounts) Of(s event.State) int { return int(c[stateIndex(s)]) }

// Total is the number of leases in any state, the unknown one included.
func (c *StateCounts) Total() int {
	total := 0
	for _, n := range c {
		total += int(n)
	}
	return total
}

// All yields each state that has leases, in the order of the kernel's numbers.
func (c *StateCounts) All(yield func(event.State, int) bool) {
	for i, n := range c {
		if n > 0 && !yield(stateAt(i), int(n)) {
			return
		}
	}
}

func (c *StateCounts) add(other *StateCounts) {
	for i, n := range other {
		c[i] += n
	}
}
