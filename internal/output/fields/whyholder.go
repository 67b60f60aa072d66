package fields

import (
	"net/netip"

	"github.com/portwatch/portwatch/internal/aggregate"
)

type portHolderRow = aggregate.PortHolder

// portHolder is who is on a port. What belongs to a single socket is null where
// the entry stands for several.
var portHolder = Object[portHolderRow]{
	nest("owner", "The process that has the socket open; the oldest if there are several.", owner,
		func(h *portHolderRow) *ownerInfo { return h.Owner }),
	one("ports", "sockets", "How many sockets these are; they share the port.", Integer,
		func(_ *Context, h *portHolderRow) Value { return Count(uint64(h.Sockets)) }),
	one("time_wait", "sockets", "Of those, in TIME_WAIT.", Integer,
		func(_ *Context, h *portHolderRow) Value { return Count(uint64(h.TimeWait)) }),
	one("share", "", "Of the port's sockets in the namespace.", Real,
		func(_ *Context, h *portHolderRow) Value { return Number(h.Share) }),
	one("local_addr", "", "The local address of a single socket.", String, func(_ *Context, h *portHolderRow) Value { return Address(h.Lease.Local) }),
	one("local_port", "", "The local port of a single socket.", Integer, func(_ *Context, h *portHolderRow) Value { return Port(h.Lease.Local) }),
	one("remote_addr", "", "The far end's address of a single socket.", String,
		func(_ *Context, h *portHolderRow) Value { return Address(h.Lease.Remote) }),
	one("remote_port", "", "The far end's port of a single socket.", Integer,
		func(_ *Context, h *portHolderRow) Value { return Port(h.Lease.Remote) }),
	words("state", "The state; several have it in common.", stateWords, func(h *portHolderRow) string { return h.Lease.State.String() }),
	words("origin", "By which request the port was taken; several have it in common.", originWords,
		func(h *portHolderRow) string { return h.Lease.Origin.String() }),
	words("substate", "The sub-state of a TIME_WAIT.", substateWords, func(h *portHolderRow) string { return h.Lease.Substate.String() }),
	one("expires_in_seconds", "seconds", "When the TIME_WAIT ends, of several the last; null if nothing waits or that is not known.", Real,
		func(_ *Context, h *portHolderRow) Value {
			if !h.Expires {
				return Value{}
			}
			return Seconds(h.ExpiresIn)
		}),
	one("lease", "", "Always null: one look does not tell when a lease was born, which is part of its identity.", String,
		func(*Context, *portHolderRow) Value { return Value{} }),
	one("socket_cookie", "", "The cookie of a single socket.", ID, func(_ *Context, h *portHolderRow) Value { return Identity(h.Lease.ID.Cookie) }),
	one("processes", "processes", "How many processes have a single socket open; null if that was not counted.", Integer,
		func(_ *Context, h *portHolderRow) Value { return known(uint64(h.Processes)) }),
	one("in_the_way", "", "Whether it refuses the port to the plain bind() that was asked about; null if that is not known.", Boolean,
		func(_ *Context, h *portHolderRow) Value { return answer(h.InTheWay) }),
	one("device", "", "The index of the interface that a single socket is bound to; null for none.", Integer,
		func(_ *Context, h *portHolderRow) Value { return netns(h.Lease.Device) }),
	one("netns", "", "The inode of the network namespace.", Integer, func(_ *Context, h *portHolderRow) Value { return netns(h.Lease.NetNS) }),
	one("netns_name", "", "The namespace's name.", String, func(_ *Context, h *portHolderRow) Value { return Text(h.NetNSName) }),
	rows("same_far_end", "Live processes that talk to the same far end as a TIME_WAIT: evidence, no owners.", owner,
		func(h *portHolderRow) ([]ownerInfo, bool) {
			all := make([]ownerInfo, len(h.SameFarEnd))
			for i, o := range h.SameFarEnd {
				all[i] = *o
			}
			return all, true
		}),
}

var connectAnswer = Object[aggregate.ConnectAnswer]{
	one("local_addr", "", "The address from which it is reached, by the namespace's routes; null if it is not.", String,
		func(_ *Context, a *aggregate.ConnectAnswer) Value { return Address(netip.AddrPortFrom(a.Local, 0)) }),
	one("remote_addr", "", "The far end's address.", String, func(_ *Context, a *aggregate.ConnectAnswer) Value { return Address(a.Remote) }),
	one("remote_port", "", "The far end's port.", Integer, func(_ *Context, a *aggregate.ConnectAnswer) Value { return Port(a.Remote) }),
	one("connect_headroom", "connections", "How many more connect()s succeed now.", Integer,
		func(_ *Context, a *aggregate.ConnectAnswer) Value { return connectHeadroom(a) }),
	one("at_most", "", "Whether there may be fewer: which ports connect() skips is not known in full.", Boolean,
		func(_ *Context, a *aggregate.ConnectAnswer) Value {
			if !a.Known {
				return Value{}
			}
			return Bool(a.AtMost)
		}),
	nest("pool", "The pool that they draw from, as one look shows it.", glancedPool(), func(a *aggregate.ConnectAnswer) *poolRow {
		if !a.Known {
			return nil
		}
		return &a.Pool
	}),
	one("explanation", "", "What it means, in plain sentences.", String,
		func(_ *Context, a *aggregate.ConnectAnswer) Value { return Text(a.Explanation()) }),
}

func connectHeadroom(a *aggregate.ConnectAnswer) Value {
	if !a.Known {
		return Value{}
	}
	return Count(uint64(max(a.Pool.Headroom(), 0)))
}

// glancedPool is a pool as a single look shows it: what takes time to learn is
// null.
func glancedPool() Object[poolRow] {
	lasting := map[string]bool{"headroom_low": true, "used_ratio": true, "returning_10s": true, "returning_30s": true, "returning_60s": true}
	for i := range poolMotion {
		lasting[poolMotion[i].Name] = true
	}
	all := make(Object[poolRow], len(pool))
	for i := range pool {
		f := pool[i]
		switch {
		case f.Name == "forecast":
			f = nest(f.Name, f.Meaning, poolForecast, func(*poolRow) *poolRow { return nil })
		case f.Name == "owners":
			f = rows(f.Name, f.Meaning, holder, func(*poolRow) ([]held, bool) { return nil, false })
		case lasting[f.Name]:
			f.value = func(*Context, *poolRow) Value { return Value{} }
		case f.Name == "time_wait_reusable":
			counted := f.value
			f.value = func(c *Context, p *poolRow) Value {
				if !p.PoisonKnown { // nor is the age of a TIME_WAIT
					return Value{}
				}
				return counted(c, p)
			}
		}
		all[i] = f
	}
	return all
}
