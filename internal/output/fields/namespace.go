package fields

import (
	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

type (
	namespaceRow = aggregate.Namespace
	protocolUse  = aggregate.ProtocolUse
)

// namespace is one network namespace with what all its owners hold.
var namespace = Object[namespaceRow]{
	one("netns", "", "The inode of the network namespace.", Integer,
		func(_ *Context, n *namespaceRow) Value { return netns(n.NetNS) }),
	one("netns_cookie", "", "The namespace's cookie, unique per boot.", ID,
		func(_ *Context, n *namespaceRow) Value { return Identity(n.Cookie) }),
	one("netns_name", "", "The namespace's name: host, or what names it best.", String,
		func(_ *Context, n *namespaceRow) Value { return Text(n.Name) }),
	nest("range", "The ports that the kernel gives by itself.", portRange, limited),
	nest("tcp", "What is held of TCP.", protocol, func(n *namespaceRow) *protocolUse { return &n.TCP }),
	nest("udp", "What is held of UDP.", protocol, func(n *namespaceRow) *protocolUse { return &n.UDP }),
	one("attempts_per_second", "per second", "Allocations and failures of all owners.", Real,
		func(c *Context, n *namespaceRow) Value {
			return rate(c, n.TCP.RecentAttempts()+n.UDP.RecentAttempts())
		}),
	one("failures_per_second", "per second", "Failures of all owners.", Real,
		func(c *Context, n *namespaceRow) Value { return rate(c, n.TCP.RecentFailures+n.UDP.RecentFailures) }),
}

func limited(n *namespaceRow) *namespaceRow {
	if n.Limits == nil {
		return nil
	}
	return n
}

// statusNamespace is one network namespace with its headroom for bind(0).
var statusNamespace = Object[namespaceRow]{
	namespace.Named("netns"), namespace.Named("netns_cookie"), namespace.Named("netns_name"), namespace.Named("range"),
	nest("tcp", "What is held of TCP.", statusTCP, itself),
	nest("udp", "What is held of UDP.", statusUDP, itself),
	nest("sctp", "Always null: SCTP is not watched; portwatch range counts its sockets.", statusSCTP,
		func(*namespaceRow) *namespaceRow { return nil }),
	namespace.Named("attempts_per_second"), namespace.Named("failures_per_second"),
}

var statusTCP = append(ofProtocol(func(n *namespaceRow) *protocolUse { return &n.TCP }),
	one("accepted", "sockets", "Accepted sockets, which cost no port of the range; null where they are not counted.", Integer,
		func(c *Context, n *namespaceRow) Value { return ofRequests(c, Count(uint64(max(n.Accepted, 0)))) }),
	one("time_wait_server", "sockets", "Of those, in TIME_WAIT.", Integer,
		func(c *Context, n *namespaceRow) Value { return ofRequests(c, Count(uint64(max(n.AcceptedWaits, 0)))) }),
	one("poisoned", "ports", "Ports of the range that connect() skips because somebody bound them; null where that is not known.", Integer,
		func(c *Context, n *namespaceRow) Value {
			if n.Limits == nil || c == nil || c.Meta == nil || c.Meta.Start.Poison == event.PoisonUnknown {
				return Value{}
			}
			return Count(uint64(max(n.Poisoned, 0)))
		}),
	bindHeadroom(func(n *namespaceRow) *protocolUse { return &n.TCP }),
	one("bind0_attempts", "attempts", "Requests for any port, by bind(0) or listen(), given or refused; null where they are not seen.", Integer,
		func(c *Context, n *namespaceRow) Value { return ofRequests(c, Count(n.Bind0Attempts)) }),
)

var statusUDP = append(ofProtocol(func(n *namespaceRow) *protocolUse { return &n.UDP }),
	one("sockets", "sockets", "Sockets with a port, each of which is a lease.", Integer,
		func(_ *Context, n *namespaceRow) Value { return Count(uint64(n.UDP.Ports())) }),
	bindHeadroom(func(n *namespaceRow) *protocolUse { return &n.UDP }),
)

var statusSCTP = Object[namespaceRow]{
	one("sockets", "sockets", "Sockets with a port.", Integer, func(*Context, *namespaceRow) Value { return Value{} }),
}

func itself(n *namespaceRow) *namespaceRow { return n }

// ofProtocol is what is held of one protocol, as fields of the namespace.
func ofProtocol(use func(*namespaceRow) *protocolUse) Object[namespaceRow] {
	all := make(Object[namespaceRow], len(protocol))
	for i, f := range protocol {
		all[i] = one(f.Name, f.Unit, f.Meaning, f.Type, func(c *Context, n *namespaceRow) Value { return f.value(c, use(n)) })
	}
	return all
}

func bindHeadroom(use func(*namespaceRow) *protocolUse) Field[namespaceRow] {
	return one("bind_headroom", "ports", "How many bind(0) to any address succeed now.", Integer, func(_ *Context, n *namespaceRow) Value {
		if headroom, known := n.BindHeadroom(use(n)); known {
			return Count(uint64(headroom))
		}
		return Value{}
	})
}

var portRange = Object[namespaceRow]{
	one("low", "", "The lowest port of the range.", Integer,
		func(_ *Context, n *namespaceRow) Value { return Plain(uint64(n.Limits.Range.Low)) }),
	one("high", "", "The highest port of the range.", Integer,
		func(_ *Context, n *namespaceRow) Value { return Plain(uint64(n.Limits.Range.High)) }),
	one("reserved", "ports", "Reserved ports within the range.", Integer,
		func(_ *Context, n *namespaceRow) Value { return Count(uint64(n.ReservedInRange())) }),
	one("ports", "ports", "Ports of the range minus the reserved ones.", Integer,
		func(_ *Context, n *namespaceRow) Value { return rangePorts(n) }),
}

func rangePorts(n *namespaceRow) Value {
	if ports, ok := n.RangePorts(); ok {
		return Count(uint64(ports))
	}
	return Value{}
}

func inRange(u *protocolUse) Value {
	if u.InRange < 0 {
		return Value{}
	}
	return Count(uint64(u.InRange))
}

var protocol = Object[protocolUse]{
	one("leases", "leases", "Leases, TIME_WAIT included; several may share a port.", Integer,
		func(_ *Context, u *protocolUse) Value { return Count(uint64(u.Ports())) }),
	one("distinct_ports", "ports", "Ports that at least one lease holds.", Integer,
		func(_ *Context, u *protocolUse) Value { return Count(uint64(u.DistinctPorts)) }),
	one("distinct_ports_in_range", "ports",
		"Those of them that lie in the range and are not reserved; null while the range is not known.", Integer,
		func(_ *Context, u *protocolUse) Value { return inRange(u) }),
	one("time_wait", "leases", "Leases in TIME_WAIT.", Integer,
		func(_ *Context, u *protocolUse) Value { return Count(uint64(u.TimeWait())) }),
	one("bound", "leases", "Leases whose TCP socket has a port and neither connects nor listens.", Integer,
		func(_ *Context, u *protocolUse) Value { return Count(uint64(u.States.Of(event.StateBound))) }),
	one("allocations", "allocations", "Ports that the kernel gave since the start.", Integer,
		func(c *Context, u *protocolUse) Value { return ofRequests(c, Count(u.Allocations)) }),
	one("failures", "failures", "Requests that the kernel refused since the start.", Integer,
		func(c *Context, u *protocolUse) Value { return ofRequests(c, Count(u.Failures.Total())) }),
}
