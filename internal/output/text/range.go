package text

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// RangeOptions say how a range report is printed.
type RangeOptions struct {
	Width    int  // of the terminal; 0 means no bound
	Registry bool // list registered names
}

// AppendRange appends a range report: the answer first, then what it rests on,
// then what to write, and last what it cannot know.
func AppendRange(dst []byte, c *fields.Context, r *host.RangeReport, o RangeOptions) []byte {
	dst = appendWrapped(dst, event.Printable(r.Summary()), 0, 0, o.Width)
	switch {
	case r.Check != nil:
		return appendCheck(dst, c, r, o)
	case r.Need != nil:
		return appendNeed(dst, r.Need, o.Width)
	}
	dst = append(dst, '\n')
	dst = Table[host.NamespaceRange]{Columns: fields.RangeColumns(r.Namespaces), Width: o.Width}.Append(dst, c, r.Namespaces)
	var special []byte
	for i := range r.Namespaces {
		special = appendSpace(special, &r.Namespaces[i], o.Width)
	}
	if len(special) > 0 {
		dst = append(append(dst, '\n'), special...)
	}
	dst = appendOverlaps(append(dst, '\n'), c, r, o)
	dst = appendUnread(dst, r.Unread, o.Width)
	dst = appendList(dst, "Cannot see:", r.Unseen, o.Width)
	return append(dst, "\nNext: portwatch range check LOW-HIGH\n"...)
}

// appendSpace appends what is special about a namespace, if anything is.
func appendSpace(dst []byte, n *host.NamespaceRange, width int) []byte {
	say := func(format string, args ...any) {
		dst = appendWrapped(dst, event.Printable(n.Name)+": "+fmt.Sprintf(format, args...), 0, 2, width)
	}
	if host.SameParity(n.Limits.Range) && n.Limits.Range.Ports() > 1 {
		say("both ends of the range are of one parity: a call may pass over a port.")
	}
	if n.Limits.StepWidth != nil && *n.Limits.StepWidth > 0 {
		say("connect() walks the range in random steps (ip_local_port_step_width %d).", *n.Limits.StepWidth)
	}
	if p := n.Fullest; p != nil {
		say("the fullest destination is %s, from %s: %s of %s ports.",
			p.Remote, p.Local, thousands(uint64(p.Ports)), thousands(uint64(n.Capacity())))
	}
	if rate, ok := host.SustainedReusing(&n.Limits, n.Capacity()); ok {
		say("with tcp_tw_reuse on, %s connections a second to a destination that answers with timestamps.", thousands(uint64(rate)))
	}
	return dst
}

// shownClaims is how many rows of claims are printed.
const shownClaims = 20

func appendOverlaps(dst []byte, c *fields.Context, r *host.RangeReport, o RangeOptions) []byte {
	if len(r.Overlaps) == 0 {
		return appendWrapped(dst, "Nothing that is held by bind() or claimed here lies inside a range.", 0, 0, o.Width)
	}
	dst = appendWrapped(dst, "Inside a range: if such a port is a fixed one, a connection may take it while its program restarts, unless it is reserved.", 0, 0, o.Width)
	return appendSome(dst, c, o.Width, section[host.Claim]{"more", fields.ClaimColumns(), r.Overlaps})
}

func appendSome[T any](dst []byte, c *fields.Context, width int, s section[T]) []byte {
	shown := s.rows[:min(shownClaims, len(s.rows))]
	dst = Table[T]{Columns: s.columns, Width: width}.Append(dst, c, shown)
	if rest := len(s.rows) - len(shown); rest > 0 {
		dst = fmt.Appendf(dst, "+ %d more; -o json tells all\n", rest)
	}
	return dst
}

func appendCheck(dst []byte, c *fields.Context, r *host.RangeReport, o RangeOptions) []byte {
	k := r.Check
	dst = append(dst, '\n')
	if len(k.Exposes) > 0 {
		dst = appendSome(dst, c, o.Width, section[host.Exposure]{"more", fields.ExposureColumns(r.Recording != nil), k.Exposes})
		dst = append(dst, '\n')
		for _, line := range happenings(k.Exposes) {
			dst = appendWrapped(dst, line, 0, 2, o.Width)
		}
		dst = append(dst, '\n')
	}
	dst = appendLabelled(dst, "today", fmt.Sprintf("%s, %s ports", r.Namespaces[0].Limits.Range, thousands(uint64(k.PortsNow))), o.Width)
	dst = appendLabelled(dst, "proposed", fmt.Sprintf("%s, %s ports %s", k.Range, thousands(uint64(k.PortsThen)), k.Proposed()), o.Width)
	if k.PortsReserved != k.PortsThen {
		dst = appendLabelled(dst, "then reserved", fmt.Sprintf("%s ports (%+d) once what is claimed is reserved",
			thousands(uint64(k.PortsReserved)), k.PortsReserved-k.PortsNow), o.Width)
	}
	exposed := "none"
	if len(k.Exposed) > 0 {
		exposed = host.FormatPorts(k.Exposed)
	}
	dst = appendLabelled(dst, "newly exposed", exposed, o.Width)
	dst = appendLabelled(dst, "registered", fmt.Sprintf("%s names (%s) in it; a name is no claim, --registry lists them",
		thousands(uint64(len(k.Registered))), event.Printable(r.Registry)), o.Width)
	if r.Recording != nil {
		dst = appendLabelled(dst, "recording", recordingWords(c, r), o.Width)
	}
	if o.Registry && len(k.Registered) > 0 {
		dst = append(dst, '\n')
		dst = Table[host.Service]{Columns: fields.ServiceColumns(), Width: o.Width}.Append(dst, c, k.Registered)
	}
	dst = appendList(dst, "Reservations:", k.Reasons, o.Width)
	dst = appendLines(dst, r, o.Width)
	dst = appendList(dst, "Mind:", r.Notes, o.Width)
	return appendList(dst, "Cannot see:", r.Unseen, o.Width)
}

// recordingWords say what was searched for bound ports.
func recordingWords(c *fields.Context, r *host.RangeReport) string {
	x := r.Recording
	words := event.Printable(x.File)
	if x.Host != "" {
		words += " of " + event.Printable(x.Host)
	}
	if !x.From.IsZero() {
		location := c.Location
		if location == nil {
			location = time.UTC
		}
		words += fmt.Sprintf(", %s to %s", x.From.In(location).Format("2006-01-02 15:04:05"), x.To.In(location).Format("15:04:05 -07:00"))
	}
	if x.Ports == nil {
		return words
	}
	return words + fmt.Sprintf("; ports bound in it in namespace %s: %s", event.Printable(r.Namespaces[0].Name), thousands(uint64(*x.Ports)))
}

// happenings are what would happen, once for each kind.
func happenings(exposes []host.Exposure) (lines []string) {
	for i := range exposes {
		line := string(exposes[i].Kind) + ": " + exposes[i].Happens + "."
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// appendLines appends what would set the range. Sockets that exist keep their
// ports whatever is set.
func appendLines(dst []byte, r *host.RangeReport, width int) []byte {
	dst = append(dst, '\n')
	intro := "To set it (sockets that exist keep their ports):"
	if len(r.Check.Exposes) > 0 {
		intro = "To set it, with what is claimed reserved (an explicit bind() to a reserved port still works; sockets that exist keep theirs):"
	}
	dst = appendWrapped(dst, intro, 0, 0, width)
	for _, l := range r.Lines {
		dst = fmt.Appendf(dst, "  # %s\n", l.Where)
		for _, line := range l.Text {
			dst = fmt.Appendf(dst, "  %s\n", line)
		}
	}
	return dst
}

// AppendRangeLines appends the lines that set the range, for a shell; what is
// not for one stands in comments.
func AppendRangeLines(dst []byte, r *host.RangeReport) []byte {
	for i, l := range r.Lines {
		dst = fmt.Appendf(dst, "# %s\n", l.Where)
		for _, line := range l.Text {
			if i > 0 && l.Where != "at boot" {
				line = "# " + line
			}
			dst = append(append(dst, line...), '\n')
		}
	}
	return dst
}

func appendUnread(dst []byte, all []host.Unread, width int) []byte {
	var lines []string
	for _, u := range all {
		lines = append(lines, u.What+": "+u.Why)
	}
	return appendList(dst, "Could not be read:", lines, width)
}

// appendList appends a heading and one entry a line, nothing without entries.
func appendList(dst []byte, heading string, entries []string, width int) []byte {
	if len(entries) == 0 {
		return dst
	}
	dst = append(append(append(dst, '\n'), heading...), '\n')
	for _, e := range entries {
		dst = append(dst, "  "...)
		dst = appendWrapped(dst, strings.TrimSpace(event.Printable(e)), 2, 4, width)
	}
	return dst
}

// poisonedWords say what was subtracted from the ports of a range.
func poisonedWords(poisoned *int) string {
	switch {
	case poisoned == nil:
		return ", if no program has bound any: the sockets could not be read"
	case *poisoned > 0:
		return ", without the " + thousands(uint64(*poisoned)) + " that programs have bound, which connect() passes over"
	}
	return ""
}

// appendNeed appends what a load takes, and what to do where it does not fit.
func appendNeed(dst []byte, n *host.Need, width int) []byte {
	dst = append(dst, '\n')
	dst = appendLabelled(dst, "ports", thousands(uint64(n.Ports))+" towards each destination, every TIME_WAIT waiting its 60 s and up to 5 more", width)
	if n.Connections == 0 {
		state := "off, or on for loopback only"
		if n.ReuseOn {
			state = "on"
		}
		dst = appendLabelled(dst, "with reuse", fmt.Sprintf(
			"%s where tcp_tw_reuse is on and both sides use timestamps; here it is %s", thousands(uint64(n.PortsReusing)), state), width)
	}
	dst = appendLabelled(dst, "today", thousands(uint64(n.PortsNow))+" ports in the range"+poisonedWords(n.Poisoned), width)
	if n.Connections == 0 {
		dst = appendLabelled(dst, "sustains", fmt.Sprintf("%s connections a second of %g s, or %s with reuse, from one local address",
			thousands(uint64(n.Sustained)), n.Life, thousands(uint64(n.SustainedReusing))), width)
	}
	dst = appendLabelled(dst, "open files", fmt.Sprintf(
		"%s for the connections, beside what the program has open (ulimit -n)", thousands(uint64(n.OpenFiles))), width)
	if n.Addresses < 2 {
		return dst
	}
	return appendList(dst, fmt.Sprintf("One of these, or a part of each (%d local addresses):", n.Addresses), []string{
		"reuse connections: keep-alive, a pool; it helps most",
		fmt.Sprintf("%d destinations, each an address and a port", n.Addresses*n.Destinations),
		fmt.Sprintf("%d local addresses, which the program binds to with IP_BIND_ADDRESS_NO_PORT", n.Addresses),
		"of a load generator: ab -B ADDRESS, curl --interface ADDRESS; wrk in a network namespace for each",
		"a wider range, up to 64,512 ports: portwatch range check 1024-65535",
	}, width)
}
