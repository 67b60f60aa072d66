package fields

import (
	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// held is a holder, at a moment.
type held struct {
	aggregate.Holder
	at event.Time
	// demand is what a pool's owner asked of it; nil for other holders.
	demand *aggregate.PoolOwner
}

func holdersOf(p *poolRow) ([]held, bool) {
	if p.Range.IsZero() {
		return nil, false
	}
	all := make([]held, len(p.Owners))
	for i := range p.Owners {
		o := &p.Owners[i]
		all[i] = held{
			Holder: aggregate.Holder{Owner: o.Owner, Ports: o.Ports, TimeWait: o.TimeWait, Of: p.InUse}, demand: o,
		}
	}
	return all, true
}

// holder is somebody who holds ports. What belongs to a single lease is null
// where it stands for more than one.
var holder = Object[held]{
	nest("owner", "Who took the ports; null where the entry stands for the rest.", owner,
		func(h *held) *ownerInfo { return h.Owner }),
	one("ports", "ports", "Of the pool's ports in use; of a port, the leases and accepted sockets on it.", Integer,
		func(_ *Context, h *held) Value { return Count(uint64(h.Ports)) }),
	one("time_wait", "ports", "Of those, in TIME_WAIT.", Integer, func(_ *Context, h *held) Value { return Count(uint64(h.TimeWait)) }),
	one("share", "", "Of all of them; unknown owners included, the shares add up to 1.", Real,
		func(_ *Context, h *held) Value {
			if share, ok := h.Share(); ok {
				return Number(share)
			}
			return Value{}
		}),
	one("local_addr", "", "The local address of a single lease.", String,
		ofLease(func(_ *held, el *event.Lease) Value { return Address(el.Local) })),
	one("local_port", "", "The local port of a single lease.", Integer,
		ofLease(func(_ *held, el *event.Lease) Value { return Port(el.Local) })),
	one("remote_addr", "", "The far end's address of a single lease.", String,
		ofLease(func(_ *held, el *event.Lease) Value { return Address(el.Remote) })),
	one("remote_port", "", "The far end's port of a single lease.", Integer,
		ofLease(func(_ *held, el *event.Lease) Value { return Port(el.Remote) })),
	one("state", "", "The state of a single lease.", String,
		ofLease(func(_ *held, el *event.Lease) Value { return Text(el.State.String()) })),
	one("origin", "", "By which request the port was given: of a single lease, or accept for accepted sockets.", String,
		func(_ *Context, h *held) Value {
			switch {
			case h.Accepted:
				return Text(event.OriginAccept.String())
			case h.Lease != nil:
				return Text(h.Lease.Origin.String())
			}
			return Value{}
		}),
	one("substate", "", "The sub-state of a single lease.", String,
		ofLease(func(_ *held, el *event.Lease) Value { return Text(el.Substate.String()) })),
	one("expires_in_seconds", "seconds", "When a single lease's TIME_WAIT ends, from the moment that is spoken of.", Real,
		ofLease(func(h *held, el *event.Lease) Value {
			if left, known := h.Left(h.at); known {
				return Seconds(left)
			}
			return Value{}
		})),
	one("lease", "", "The identity of a single lease.", String,
		ofLease(func(_ *held, el *event.Lease) Value { return LeaseID(el.ID) })),
	one("socket_cookie", "", "The cookie of a single lease's socket.", ID,
		ofLease(func(_ *held, el *event.Lease) Value { return Identity(el.ID.Cookie) })),
	one("stands_for", "holders", "How many further holders the entry stands for; null if it is one.", Integer,
		func(_ *Context, h *held) Value {
			if h.Rest == 0 {
				return Value{}
			}
			return Count(uint64(h.Rest))
		}),
	one("allocations", "allocations", "Ports that the owner was given from the pool.", Integer,
		ofDemand(func(o *aggregate.PoolOwner) uint64 { return o.Allocations })),
	one("refusals", "refusals", "Requests of the owner that the pool could not meet.", Integer,
		ofDemand(func(o *aggregate.PoolOwner) uint64 { return o.Refusals })),
}

// ofLease is what belongs to a single lease.
func ofLease(get func(*held, *event.Lease) Value) func(*Context, *held) Value {
	return func(_ *Context, h *held) Value {
		if h.Lease == nil {
			return Value{}
		}
		return get(h, h.Lease)
	}
}

// ofDemand is what belongs to a pool's owner.
func ofDemand(get func(*aggregate.PoolOwner) uint64) func(*Context, *held) Value {
	return func(c *Context, h *held) Value {
		if h.demand == nil {
			return Value{}
		}
		return ofRequests(c, Count(get(h.demand)))
	}
}
