package fields

import (
	"github.com/portwatch/portwatch/internal/aggregate"
)

// remedyRow is a remedy with whom and what it is for.
type remedyRow struct {
	*aggregate.Remedy
	culprit *culpritRow
}

// remedy is one way out, and what it does by itself.
var remedy = Object[remedyRow]{
	words("id", "What it is.", "reuse_connections peer_closes_first tcp_tw_reuse widen_range more_source_addresses more_destinations "+
		"bind_address_no_port reserve_port close_leak stop_process wait", func(r *remedyRow) string { return string(r.ID) }),
	one("text", "", "What to do.", String, func(_ *Context, r *remedyRow) Value { return Text(r.text()) }),
	one("where", "", "Where it is done: a network namespace, the program, the far end or nowhere.", String,
		func(_ *Context, r *remedyRow) Value { return Text(r.where()) }),
	wordsOf("commands", "Commands that do it now; words in capitals are to be replaced. Null where they are not known.",
		func(_ *Context, r *remedyRow) []string { return r.commands() }),
	wordsOf("persistent", "What makes it last beyond a restart.", func(_ *Context, r *remedyRow) []string { return r.persistent() }),
	wordsOf("undo", "Commands that take it back.", func(_ *Context, r *remedyRow) []string { return r.undo() }),
	wordsOf("helps", "Which requests it helps.", func(_ *Context, r *remedyRow) []string {
		helps := make([]string, len(r.Helps))
		for i, request := range r.Helps {
			helps[i] = request.String()
		}
		return helps
	}),
	one("effective_in_seconds", "seconds", "How long it takes from the moment at which it is done.", Real,
		func(_ *Context, r *remedyRow) Value { return Seconds(r.In) }),
	one("headroom_after", "ports", "The pool's headroom then, if nothing else changes; null where it cannot be computed.", Integer,
		ofEffect(func(e *aggregate.Effect) Value { return Count(uint64(max(e.Headroom, 0))) })),
	one("used_ratio_after", "", "1 - that ÷ the capacity then.", Real,
		ofEffect(func(e *aggregate.Effect) Value { return Number(e.UsedRatio()) })),
	one("sustainable_per_second_after", "per second", "The rate of allocations that the pool bears for ever then.", Real,
		ofEffect(func(e *aggregate.Effect) Value {
			if e.Sustainable == 0 {
				return Value{}
			}
			return Number(e.Sustainable)
		})),
	rows("conditions", "What it needs.", condition, func(r *remedyRow) ([]aggregate.Needs, bool) { return r.Needs, true }),
	one("price", "", "What it costs, or risks.", String, func(_ *Context, r *remedyRow) Value { return Text(r.price()) }),
}

var condition = Object[aggregate.Needs]{
	one("text", "", "What must hold.", String, func(_ *Context, n *aggregate.Needs) Value { return Text(conditions[n.Condition]) }),
	one("met", "", "Whether it does; null where that is not known.", Boolean,
		func(_ *Context, n *aggregate.Needs) Value {
			if n.Met == aggregate.NotKnown {
				return Value{}
			}
			return Bool(n.Met == aggregate.Yes)
		}),
}

func ofEffect(get func(*aggregate.Effect) Value) func(*Context, *remedyRow) Value {
	return func(_ *Context, r *remedyRow) Value {
		if r.Effect == nil {
			return Value{}
		}
		return get(r.Effect)
	}
}

var prices = map[aggregate.RemedyID]string{
	aggregate.ReuseConnections:    "a change of the program",
	aggregate.PeerClosesFirst:     "a change of both ends; the far end then keeps the TIME_WAITs, which cost it no port",
	aggregate.TCPTWReuse:          "none that is known: timestamps tell late segments of the old connection apart",
	aggregate.WidenRange:          "a server that starts later may find its port taken by a connection",
	aggregate.MoreSourceAddresses: "an address, and a program or routes that use it",
	aggregate.MoreDestinations:    "a second address or port of the far end",
	aggregate.BindAddressNoPort:   "a change of the program: one setsockopt() before bind()",
	aggregate.ReservePort:         "as many ports fewer for everybody else",
	aggregate.CloseLeak:           "a change of the program",
	aggregate.StopProcess:         "what the process serves",
	aggregate.Wait:                "nothing may be asked for meanwhile",
}

// price is what the remedy costs. Only what has connections leaves TIME_WAITs.
func (r *remedyRow) price() string {
	if r.ID == aggregate.StopProcess && r.In > 0 {
		return prices[r.ID] + "; its connections wait in TIME_WAIT for another 60 s"
	}
	return prices[r.ID]
}

var conditions = map[aggregate.Condition]string{
	aggregate.TimestampsOn:     "net.ipv4.tcp_timestamps is on",
	aggregate.TimestampsSeen:   "the connections that wait had TCP timestamps, at both ends",
	aggregate.NothingBoundNew:  "nothing is to be bound on the new ports: portwatch range check tells",
	aggregate.AddressesChosen:  "the program, or the routes, choose between the addresses",
	aggregate.PeerListens:      "the far end answers at a second address or port, and the program uses it",
	aggregate.PeerKeepsAlive:   "the far end keeps connections open",
	aggregate.ProtocolPermits:  "the protocol lets the far end close first",
	aggregate.DemandStops:      "nobody asks for ports meanwhile",
	aggregate.PortNotNeededNow: "whoever has the port now lets it go",
}
