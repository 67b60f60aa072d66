package fields

import (
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
)

// Range is the document portwatch.range/1.
var Range = newDocument("portwatch.range/1", "The port ranges of a host, and whether another range would be safe.",
	reportEnvelope(func(r *host.RangeReport) string { return r.Summary() }, nil), Object[host.RangeReport]{
		rows("namespaces", "The network namespaces that could be read.", rangeNamespace,
			func(r *host.RangeReport) ([]host.NamespaceRange, bool) { return r.Namespaces, true }),
		rows("overlaps", "What is held or claimed within today's range of each namespace.", claim,
			func(r *host.RangeReport) ([]host.Claim, bool) { return r.Overlaps, true }),
		nest("check", "The judgement of the proposed range; null if none was proposed.", rangeCheck,
			func(r *host.RangeReport) *host.RangeReport {
				if r.Check == nil {
					return nil
				}
				return r
			}),
		nest("need", "What a load takes; null if none was asked about.", rangeNeed,
			func(r *host.RangeReport) *host.Need { return r.Need }),
		wordsOf("notes", "What else to mind.", func(_ *Context, r *host.RangeReport) []string { return orNone(r.Notes) }),
		rows("unread", "What could not be read, and why.", unread,
			func(r *host.RangeReport) ([]host.Unread, bool) { return r.Unread, true }),
		wordsOf("unseen", "What cannot be seen from here at all.",
			func(_ *Context, r *host.RangeReport) []string { return orNone(r.Unseen) }),
	})

// reportEnvelope is the envelope of a document about the host, whose answer is
// not the stream's; level may be nil.
func reportEnvelope[T any](summary, level func(*T) string) Object[T] {
	all := envelope[T]()
	for i := range all {
		switch all[i].Name {
		case "summary":
			all[i].value = func(_ *Context, v *T) Value { return Text(summary(v)) }
		case "level":
			all[i].value = func(_ *Context, v *T) Value {
				if level == nil {
					return Value{}
				}
				return Text(level(v))
			}
		case "complete", "lost_events": // nothing is watched
			all[i].value = func(*Context, *T) Value { return Value{} }
		}
	}
	return all
}

// orNone is an empty list for nil: nothing, rather than not known.
func orNone(words []string) []string {
	if words == nil {
		return []string{}
	}
	return words
}

type namespaceRange = host.NamespaceRange

var rangeNamespace = Object[namespaceRange]{
	one("netns", "", "The inode of the network namespace; null for a collected tree.", Integer,
		func(_ *Context, n *namespaceRange) Value { return netns(n.NetNS) }),
	one("netns_cookie", "", "The namespace's cookie, unique per boot.", ID,
		func(_ *Context, n *namespaceRange) Value { return Identity(n.Cookie) }),
	one("netns_name", "", "The namespace's name: host, or what names it best.", String,
		func(_ *Context, n *namespaceRange) Value { return Text(n.Name) }),
	nest("range", "The ports that the kernel gives by itself.", hostRange,
		func(n *namespaceRange) *namespaceRange { return n }),
	one("reserved_list", "", "ip_local_reserved_ports, as the kernel prints it; null if it is empty.", String,
		func(_ *Context, n *namespaceRange) Value { return Text(host.FormatPorts(n.Limits.Reserved)) }),
	one("same_parity", "", "Whether both ends are even or both odd: a call may pass over a port then.", Boolean,
		func(_ *Context, n *namespaceRange) Value { return Bool(host.SameParity(n.Limits.Range)) }),
	one("step_width", "", "ip_local_port_step_width; null where the kernel has none.", Integer,
		func(_ *Context, n *namespaceRange) Value { return whole(n.Limits.StepWidth) }),
	one("unprivileged_start", "", "ip_unprivileged_port_start: ports below it take a capability.", Integer,
		func(_ *Context, n *namespaceRange) Value { return Plain(uint64(n.Limits.UnprivilegedStart)) }),
	one("tcp_in_use", "ports", "Distinct ports of the range that TCP sockets hold.", Integer,
		func(_ *Context, n *namespaceRange) Value { return whole(n.TCP) }),
	one("udp_in_use", "ports", "Distinct ports of the range that UDP sockets hold.", Integer,
		func(_ *Context, n *namespaceRange) Value { return whole(n.UDP) }),
	one("sctp_in_use", "ports", "Distinct ports of the range that SCTP holds; null where its module is not loaded.", Integer,
		func(_ *Context, n *namespaceRange) Value { return whole(n.SCTP) }),
	nest("fullest", "The destination towards which most ports are taken; null if there is none.", fullestPool,
		func(n *namespaceRange) *host.Pool { return n.Fullest }),
	one("sustainable_per_second", "per second",
		"Connections to one destination from one address that the range sustains at least, if this side closes first.", Real,
		func(_ *Context, n *namespaceRange) Value { return Number(host.Sustained(n.Capacity())) }),
	one("sustainable_per_second_reusing", "per second",
		"The same where tcp_tw_reuse is effective for every destination; null where it is not.", Real,
		func(_ *Context, n *namespaceRange) Value {
			if rate, ok := host.SustainedReusing(&n.Limits, n.Capacity()); ok {
				return Number(rate)
			}
			return Value{}
		}),
}

var hostRange = Object[namespaceRange]{
	one("low", "", "The lowest port of the range.", Integer,
		func(_ *Context, n *namespaceRange) Value { return Plain(uint64(n.Limits.Range.Low)) }),
	one("high", "", "The highest port of the range.", Integer,
		func(_ *Context, n *namespaceRange) Value { return Plain(uint64(n.Limits.Range.High)) }),
	one("reserved", "ports", "Reserved ports within the range.", Integer, func(_ *Context, n *namespaceRange) Value {
		return Count(uint64(n.Limits.Range.Ports() - n.Ports()))
	}),
	one("ports", "ports", "Ports of the range minus the reserved ones.", Integer,
		func(_ *Context, n *namespaceRange) Value { return Count(uint64(n.Ports())) }),
	one("poisoned", "ports", "Those that connect() passes over because a program has bound them, at least; null if that is not known.", Integer,
		func(_ *Context, n *namespaceRange) Value { return whole(n.Poisoned) }),
}

var fullestPool = Object[host.Pool]{
	one("local_addr", "", "The local address.", String, func(_ *Context, p *host.Pool) Value { return Text(p.Local.String()) }),
	one("remote_addr", "", "The remote address.", String, func(_ *Context, p *host.Pool) Value { return Address(p.Remote) }),
	one("remote_port", "", "The remote port.", Integer, func(_ *Context, p *host.Pool) Value { return Port(p.Remote) }),
	one("ports", "ports", "Local ports taken towards it, TIME_WAIT included.", Integer,
		func(_ *Context, p *host.Pool) Value { return Count(uint64(p.Ports)) }),
}

const claimWords = "listening bound published kubernetes mesos systemd asked recorded"

var claim = Object[host.Claim]{
	one("low", "", "The lowest port.", Integer, func(_ *Context, c *host.Claim) Value { return Plain(uint64(c.Ports.Low)) }),
	one("high", "", "The highest port.", Integer, func(_ *Context, c *host.Claim) Value { return Plain(uint64(c.Ports.High)) }),
	words("protocol", "The protocol; null for every one.", protocolWords, func(c *host.Claim) string { return protocolWord(c.Protocol) }),
	words("kind", "How the ports come to be spoken for.", claimWords, func(c *host.Claim) string { return string(c.Kind) }),
	one("name", "", "Who claims them; null for a socket.", String, func(_ *Context, c *host.Claim) Value { return Text(c.Name) }),
	one("source", "", "Where that was read.", String, func(_ *Context, c *host.Claim) Value { return Text(c.Source) }),
	one("local_addr", "", "The local address; null if it is not known.", String, func(_ *Context, c *host.Claim) Value {
		if !c.Addr.IsValid() {
			return Value{}
		}
		return Text(c.Addr.String())
	}),
	nest("owner", "The process that holds the socket; null if it is not known, or there is no socket.", owner,
		func(c *host.Claim) *ownerInfo { return claimOwner(c) }),
	one("netns_name", "", "The name of the network namespace; null for what was only asked for.", String,
		func(_ *Context, c *host.Claim) Value { return Text(c.Namespace) }),
	one("reserved", "", "Whether all of these ports are reserved.", Boolean,
		func(_ *Context, c *host.Claim) Value { return Bool(c.Reserved) }),
	one("seen_at", "", "When the recording first shows that the owner holds the port; null if it does not.", Time,
		func(_ *Context, c *host.Claim) Value { return wallTime(c.Seen) }),
	one("bound_at", "", "When it was last bound there, by the recording; null if that was before the recording, or is not in it.", Time,
		func(_ *Context, c *host.Claim) Value { return wallTime(c.Bound) }),
}

// wallTime is a time that is not of the document's boot clock; the zero time is
// absent.
func wallTime(t time.Time) Value {
	if t.IsZero() {
		return Value{}
	}
	return Text(t.UTC().Format(timeFormat))
}

func protocolWord(p event.Protocol) string {
	if p == 0 {
		return ""
	}
	return p.String()
}

func claimOwner(c *host.Claim) *ownerInfo {
	if c.Owner == nil {
		return nil
	}
	return aggregate.ProcessInfo(c.Owner)
}

var exposure = append(Object[host.Exposure]{
	one("happens", "", "What would happen.", String, func(_ *Context, e *host.Exposure) Value { return Text(e.Happens) }),
}, ofClaim(claim)...)

// ofClaim is the fields of a claim for what contains one.
func ofClaim(o Object[host.Claim]) Object[host.Exposure] {
	all := make(Object[host.Exposure], 0, len(o))
	for _, f := range o {
		g := Field[host.Exposure]{Name: f.Name, Unit: f.Unit, Meaning: f.Meaning, Type: f.Type, Words: f.Words}
		if f.nested != nil {
			g = nest(f.Name, f.Meaning, owner, func(e *host.Exposure) *ownerInfo { return claimOwner(&e.Claim) })
		} else {
			g.value = func(c *Context, e *host.Exposure) Value { return f.value(c, &e.Claim) }
		}
		all = append(all, g)
	}
	return all
}

var rangeCheck = Object[host.RangeReport]{
	one("low", "", "The lowest port proposed.", Integer,
		func(_ *Context, r *host.RangeReport) Value { return Plain(uint64(r.Check.Range.Low)) }),
	one("high", "", "The highest port proposed.", Integer,
		func(_ *Context, r *host.RangeReport) Value { return Plain(uint64(r.Check.Range.High)) }),
	words("verdict", "How safe it is.", "safe with_reservations unsafe",
		func(r *host.RangeReport) string { return strings.ReplaceAll(string(r.Check.Verdict), " ", "_") }),
	wordsOf("reasons", "What speaks against it without making it unsafe.",
		func(_ *Context, r *host.RangeReport) []string { return orNone(r.Check.Reasons) }),
	one("gains", "ports", "Ports that the kernel would give more than today; negative if less.", Integer,
		func(_ *Context, r *host.RangeReport) Value {
			return Number(float64(r.Check.PortsThen - r.Check.PortsNow))
		}),
	one("gains_reserved", "ports", "The same with every exposed claim reserved.", Integer,
		func(_ *Context, r *host.RangeReport) Value {
			return Number(float64(r.Check.PortsReserved - r.Check.PortsNow))
		}),
	one("poisoned", "ports", "Proposed ports that connect() would pass over because a program has bound them, at least; null if that is not known.", Integer,
		func(_ *Context, r *host.RangeReport) Value { return whole(r.Check.Poisoned) }),
	one("sustainable_per_second", "per second",
		"Connections to one destination from one address that it sustains at least, if this side closes first.", Real,
		func(_ *Context, r *host.RangeReport) Value { return Number(r.Check.SustainedThen()) }),
	one("exposed", "", "The ports that connections would newly be given; null if there are none.", String,
		func(_ *Context, r *host.RangeReport) Value { return Text(host.FormatPorts(r.Check.Exposed)) }),
	rows("exposes", "What is held or claimed among them.", exposure,
		func(r *host.RangeReport) ([]host.Exposure, bool) { return r.Check.Exposes, true }),
	one("registered", "names", "Names that a registry has for them; they never change the verdict.", Integer,
		func(_ *Context, r *host.RangeReport) Value { return Count(uint64(len(r.Check.Registered))) }),
	one("registry", "", "Which registry.", String, func(_ *Context, r *host.RangeReport) Value { return Text(r.Registry) }),
	one("reserve", "", "Today's reserved list with every exposed claim; null if it is empty.", String,
		func(_ *Context, r *host.RangeReport) Value { return Text(host.FormatPorts(r.Check.Reserve)) }),
	nest("recording", "The recording that was searched for bound ports; null if none was.", rangeRecording,
		func(r *host.RangeReport) *host.Recording { return r.Recording }),
	rows("lines", "The lines that set the range, with every exposed claim reserved.", lines,
		func(r *host.RangeReport) ([]host.Lines, bool) { return r.Lines, true }),
}

var rangeRecording = Object[host.Recording]{
	one("file", "", "Its name.", String, func(_ *Context, r *host.Recording) Value { return Text(r.File) }),
	one("host", "", "Where it was made.", String, func(_ *Context, r *host.Recording) Value { return Text(r.Host) }),
	one("from", "", "When it begins.", Time, func(_ *Context, r *host.Recording) Value { return wallTime(r.From) }),
	one("to", "", "When it ends.", Time, func(_ *Context, r *host.Recording) Value { return wallTime(r.To) }),
	one("ports", "ports", "Ports that programs bound in the namespace that is judged; null if it tells nothing of that.", Integer,
		func(_ *Context, r *host.Recording) Value { return whole(r.Ports) }),
}

var rangeNeed = Object[host.Need]{
	one("connections", "connections", "Connections open at once; null if the load is a rate.", Integer,
		func(_ *Context, n *host.Need) Value { return known(uint64(n.Connections)) }),
	one("rate", "per second", "New connections; null if the load is a number.", Real,
		func(_ *Context, n *host.Need) Value { return ofRate(n, n.Rate) }),
	one("life_seconds", "seconds", "How long each is open; null if the load is a number.", Real,
		func(_ *Context, n *host.Need) Value { return ofRate(n, n.Life) }),
	one("destinations", "", "Addresses and ports that the load spreads over.", Integer,
		func(_ *Context, n *host.Need) Value { return Count(uint64(n.Destinations)) }),
	one("ports", "ports", "Ports taken towards each, every TIME_WAIT waiting its time.", Integer,
		func(_ *Context, n *host.Need) Value { return Count(uint64(n.Ports)) }),
	one("ports_reusing", "ports", "The same with tcp_tw_reuse on and timestamps on both sides.", Integer,
		func(_ *Context, n *host.Need) Value { return Count(uint64(n.PortsReusing)) }),
	one("reuse_on", "", "Whether tcp_tw_reuse is on for every destination.", Boolean,
		func(_ *Context, n *host.Need) Value { return Bool(n.ReuseOn) }),
	one("capacity", "ports", "Ports that today's range gives for sure, without those that programs have bound as far as that is known.", Integer,
		func(_ *Context, n *host.Need) Value { return Count(uint64(n.PortsNow)) }),
	one("poisoned", "ports", "Ports of the range that programs have bound, at least; null if that is not known.", Integer,
		func(_ *Context, n *host.Need) Value { return whole(n.Poisoned) }),
	one("sustainable_per_second", "per second",
		"Connections that today's range sustains at least from one local address to all destinations, each as long as asked for; null if the load is a number.",
		Real, func(_ *Context, n *host.Need) Value { return ofRate(n, n.Sustained) }),
	one("sustainable_per_second_reusing", "per second",
		"The same with tcp_tw_reuse on and timestamps on both sides; null if the load is a number.",
		Real, func(_ *Context, n *host.Need) Value { return ofRate(n, n.SustainedReusing) }),
	one("fits", "", "Whether today's range holds it from one local address.", Boolean,
		func(_ *Context, n *host.Need) Value { return Bool(n.Fits()) }),
	one("local_addresses", "", "Local addresses that it takes; null where the range gives nothing.", Integer,
		func(_ *Context, n *host.Need) Value { return known(uint64(n.Addresses)) }),
	one("open_files", "files", "Descriptors that the connections take by themselves.", Integer,
		func(_ *Context, n *host.Need) Value { return Count(uint64(n.OpenFiles)) }),
}

func ofRate(n *host.Need, v float64) Value {
	if n.Connections > 0 {
		return Value{}
	}
	return Number(v)
}

var lines = Object[host.Lines]{
	one("where", "", "Where the lines go.", String, func(_ *Context, l *host.Lines) Value { return Text(l.Where) }),
	wordsOf("text", "The lines.", func(_ *Context, l *host.Lines) []string { return l.Text }),
}

var unread = Object[host.Unread]{
	one("what", "", "What could not be read.", String, func(_ *Context, u *host.Unread) Value { return Text(u.What) }),
	one("why", "", "Why.", String, func(_ *Context, u *host.Unread) Value { return Text(u.Why) }),
}

// whole is a whole number; nil is absent.
func whole(n *int) Value {
	if n == nil {
		return Value{}
	}
	return Count(uint64(*n))
}
