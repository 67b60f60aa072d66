package fields

import (
	"slices"

	"github.com/portwatch/portwatch/internal/host"
)

// RangeColumns are the table of namespaces in range; what is known of none has no
// column.
func RangeColumns(rows []host.NamespaceRange) []Column[host.NamespaceRange] {
	all := []Column[host.NamespaceRange]{
		{Header: "NETNS", Value: func(_ *Context, n *namespaceRange) Value { return netnsWord(n.Name, n.NetNS) }},
		{Header: "RANGE", Value: func(_ *Context, n *namespaceRange) Value { return Text(n.Limits.Range.String()) }},
		numbers("PORTS", hostRange.Named("ports")),
		numbers("RESERVED", hostRange.Named("reserved")),
		numbers("POISONED", hostRange.Named("poisoned")),
		numbers("TCP IN USE", rangeNamespace.Named("tcp_in_use")),
		numbers("UDP IN USE", rangeNamespace.Named("udp_in_use")),
	}
	if slices.ContainsFunc(rows, func(n host.NamespaceRange) bool { return n.SCTP != nil }) {
		all = append(all, numbers("SCTP", rangeNamespace.Named("sctp_in_use")))
	}
	return append(all, Column[host.NamespaceRange]{
		Header: "CONN/s", Right: true, Value: func(_ *Context, n *namespaceRange) Value {
			return Count(uint64(host.Sustained(n.Capacity())))
		},
	})
}

// ClaimColumns are the table of what is held or claimed.
func ClaimColumns() []Column[host.Claim] {
	return []Column[host.Claim]{
		{Header: "PORTS", Value: func(_ *Context, c *host.Claim) Value { return claimPorts(c) }},
		{Header: "PROTO", Value: func(_ *Context, c *host.Claim) Value { return Text(anyWord(protocolWord(c.Protocol))) }},
		{Header: "WHAT", Value: claim.Named("kind").value},
		{Header: "RESERVED", Value: claim.Named("reserved").value},
		{Header: "NETNS", Value: claim.Named("netns_name").value},
		{Header: "WHO", Value: func(_ *Context, c *host.Claim) Value { return Text(Claimant(c)) }},
	}
}

// ExposureColumns are the table of what a range would newly expose. recorded
// says whether a recording was searched.
func ExposureColumns(recorded bool) []Column[host.Exposure] {
	all := []Column[host.Exposure]{
		{Header: "PORTS", Value: func(_ *Context, e *host.Exposure) Value { return claimPorts(&e.Claim) }},
		{Header: "PROTO", Value: func(_ *Context, e *host.Exposure) Value { return Text(anyWord(protocolWord(e.Protocol))) }},
		{Header: "WHAT", Value: exposure.Named("kind").value},
	}
	if recorded {
		all = append(all, Column[host.Exposure]{Header: "BOUND AT", Value: boundAt})
	}
	return append(all, Column[host.Exposure]{
		Header: "WHO", Value: func(_ *Context, e *host.Exposure) Value { return Text(Claimant(&e.Claim)) },
	})
}

// boundAt is when the port was last bound, as far as a recording tells.
func boundAt(c *Context, e *host.Exposure) Value {
	const layout = "2006-01-02 15:04:05"
	switch {
	case !e.Bound.IsZero():
		return Text(e.Bound.In(c.location()).Format(layout))
	case !e.Seen.IsZero():
		return Text("before " + e.Seen.In(c.location()).Format(layout))
	}
	return Value{}
}

// ServiceColumns are the table of names in a registry.
func ServiceColumns() []Column[host.Service] {
	return []Column[host.Service]{
		{Header: "PORTS", Value: func(_ *Context, s *host.Service) Value { return claimPorts(&host.Claim{Ports: s.Ports}) }},
		{Header: "PROTO", Value: func(_ *Context, s *host.Service) Value { return Text(s.Protocol.String()) }},
		{Header: "NAME", Value: func(_ *Context, s *host.Service) Value { return Text(s.Name) }},
	}
}

func claimPorts(c *host.Claim) Value {
	if c.Ports.Low == c.Ports.High {
		return Plain(uint64(c.Ports.Low))
	}
	return Text(c.Ports.String())
}

func anyWord(word string) string {
	if word == "" {
		return "any"
	}
	return word
}

// Claimant is who claims ports: the process, where there is one, with where it
// runs, else the name.
func Claimant(c *host.Claim) string {
	info := claimOwner(c)
	switch {
	case info == nil && c.Name != "":
		return c.Name
	case info == nil:
		return "unknown"
	}
	who := string(processAndPID(info).AppendText(nil, nil))
	if where := Where(info); where != "" && where != "/" {
		who += ", " + where
	}
	return who
}
