package fields

import (
	"net/netip"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/host"
)

// WhyReport is the answer to questions about ports, or about connections to a
// destination.
type WhyReport struct {
	// Failure is the refusal that the rest explains; nil if ports were named.
	Failure *aggregate.Failure
	// Watched says for how long no refusal was seen; "" if one was, or nothing
	// was watched.
	Watched string
	Ports   []aggregate.PortAnswer
	Connect []aggregate.ConnectAnswer
	// Reserve is how to keep the ports in the range from connections; empty if
	// there are none.
	Reserve []host.Lines
	Asker   string // for whom the verdicts hold
	Notes   []string
	Unread  []string
}

// Summary is the answer in one sentence.
func (r *WhyReport) Summary() string {
	switch {
	case r.Watched != "":
		return r.Watched
	case r.Failure != nil:
		return explanation(nil, r.Failure)
	case len(r.Ports) > 0:
		return aggregate.PortsSummary(r.Ports)
	}
	return aggregate.ConnectSummary(r.Connect)
}

func (r *WhyReport) first() *aggregate.PortAnswer {
	if len(r.Ports) == 0 {
		return nil
	}
	return &r.Ports[0]
}

// Why is the document portwatch.why/1.
var Why = newDocument("portwatch.why/1", "Who holds ports, whether bind() would work, and how many more connect()s succeed.",
	reportEnvelope((*WhyReport).Summary, nil), Object[WhyReport]{
		rows("ports", "The ports that were asked about; null if none was.", portAnswer,
			func(r *WhyReport) ([]aggregate.PortAnswer, bool) { return r.Ports, len(r.Ports) > 0 }),
		rows("connect", "The destination's addresses; null if none was asked about.", connectAnswer,
			func(r *WhyReport) ([]aggregate.ConnectAnswer, bool) { return r.Connect, len(r.Connect) > 0 }),
		nest("failure", "The refusal that was waited for; null if ports were named.", failure,
			func(r *WhyReport) *failureRow { return r.Failure }),
		rows("holders", "Who holds the first port asked about.", portHolder,
			func(r *WhyReport) ([]aggregate.PortHolder, bool) {
				if a := r.first(); a != nil {
					return a.Holders, true
				}
				return nil, false
			}),
		one("bind_would_fail", "", "Whether a plain bind() to the first port asked about would fail; null if that is not known.", Boolean,
			func(_ *Context, r *WhyReport) Value {
				if a := r.first(); a != nil {
					return answer(a.WouldFail)
				}
				return Value{}
			}),
		one("connect_headroom", "connections", "How many more connect()s to the destination's first address succeed.", Integer,
			func(_ *Context, r *WhyReport) Value {
				if len(r.Connect) == 0 {
					return Value{}
				}
				return connectHeadroom(&r.Connect[0])
			}),
		one("explanation", "", "What the first answer means, in plain sentences.", String,
			func(_ *Context, r *WhyReport) Value {
				switch a := r.first(); {
				case a != nil:
					return Text(a.Explanation())
				case len(r.Connect) > 0:
					return Text(r.Connect[0].Explanation())
				}
				return Value{}
			}),
		rows("reserve", "The lines that keep the ports asked about from connections.", lines,
			func(r *WhyReport) ([]host.Lines, bool) { return r.Reserve, true }),
		one("asker", "", "For whom the verdicts hold.", String, func(_ *Context, r *WhyReport) Value { return Text(r.Asker) }),
		wordsOf("notes", "What else to mind.", func(_ *Context, r *WhyReport) []string { return orNone(r.Notes) }),
		wordsOf("unread", "What could not be read, and why.", func(_ *Context, r *WhyReport) []string { return orNone(r.Unread) }),
	})

// answer is yes, no, or absent.
func answer(a aggregate.Answer) Value {
	if a == aggregate.AnswerUnknown {
		return Value{}
	}
	return Bool(a == aggregate.AnswerYes)
}

var portAnswer = Object[aggregate.PortAnswer]{
	one("port", "", "The port.", Integer, func(_ *Context, a *aggregate.PortAnswer) Value { return Plain(uint64(a.Port)) }),
	words("protocol", "The transport protocol.", protocolWords, func(a *aggregate.PortAnswer) string { return a.Protocol.String() }),
	one("local_addr", "", "The local address that was asked about; null for the wildcards.", String,
		func(_ *Context, a *aggregate.PortAnswer) Value { return Address(netip.AddrPortFrom(a.Addr, a.Port)) }),
	one("netns", "", "The inode of the network namespace.", Integer,
		func(_ *Context, a *aggregate.PortAnswer) Value { return netns(a.NetNS) }),
	one("netns_name", "", "The namespace's name.", String, func(_ *Context, a *aggregate.PortAnswer) Value { return Text(a.NetNSName) }),
	rows("holders", "The sockets on the port: what is in the way first, many alike as one.", portHolder,
		func(a *aggregate.PortAnswer) ([]aggregate.PortHolder, bool) { return a.Holders, true }),
	rows("elsewhere", "Sockets on the same port in other namespaces: they are in nobody's way.", portHolder,
		func(a *aggregate.PortAnswer) ([]aggregate.PortHolder, bool) { return a.Elsewhere, true }),
	one("bind_would_fail", "",
		"Whether a plain bind() to the address, else to one of the wildcards, would fail; null if that is not known.", Boolean,
		func(_ *Context, a *aggregate.PortAnswer) Value { return answer(a.WouldFail) }),
	rows("binds", "What bind() would say.", bindRow, func(a *aggregate.PortAnswer) ([]aggregate.Bind, bool) { return a.Binds, true }),
	one("in_range", "", "Whether the port lies in ip_local_port_range.", Boolean,
		func(_ *Context, a *aggregate.PortAnswer) Value { return Bool(a.InRange) }),
	one("reserved", "", "Whether it is in ip_local_reserved_ports.", Boolean,
		func(_ *Context, a *aggregate.PortAnswer) Value { return Bool(a.Reserved) }),
	one("explanation", "", "What it means, in plain sentences.", String,
		func(_ *Context, a *aggregate.PortAnswer) Value { return Text(a.Explanation()) }),
}

var bindRow = Object[aggregate.Bind]{
	one("local_addr", "", "The address to bind.", String, func(_ *Context, b *aggregate.Bind) Value { return Address(b.Local) }),
	one("reuse_addr", "", "Whether with SO_REUSEADDR.", Boolean, func(_ *Context, b *aggregate.Bind) Value { return Bool(b.ReuseAddr) }),
	one("reuse_port", "", "Whether with SO_REUSEPORT.", Boolean, func(_ *Context, b *aggregate.Bind) Value { return Bool(b.ReusePort) }),
	one("would_fail", "", "Whether it would fail; null if that is not known.", Boolean,
		func(_ *Context, b *aggregate.Bind) Value { return answer(b.Fails) }),
	one("errno", "", "By which error; null if it would not fail.", String,
		func(_ *Context, b *aggregate.Bind) Value { return Text(b.Errno.String()) }),
	words("reason", "Why the kernel would refuse.", reasonWords, func(b *aggregate.Bind) string { return b.Reason.String() }),
}
