package host

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// NamespaceRange is the range of one namespace and how much of it is in use.
// What is nil is not known.
type NamespaceRange struct {
	NetNS  uint32
	Cookie uint64 // 0 if not known
	Name   string
	Limits event.Limits
	// TCP, UDP and SCTP are the distinct ports of the range in use. SCTP is
	// counted where its module is loaded.
	TCP, UDP, SCTP *int
	// Poisoned are the ports of the range that connect() passes over, because a
	// program has bound them: at least so many.
	Poisoned *int
	Fullest  *Pool // where most ports are taken
	Outside  *PortSet
}

// Ports is what the kernel gives by itself.
func (n *NamespaceRange) Ports() int { return Dealt(n.Limits.Range, n.Limits.Reserved).Count() }

// Capacity is what connect() gives to one destination, as far as it is known what
// is poisoned.
func (n *NamespaceRange) Capacity() int { return n.Ports() - valueOr0(n.Poisoned) }

func valueOr0(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// waitSeconds is the longest that a TIME_WAIT keeps its port: 60 s
// (TCP_TIMEWAIT_LEN), rounded up by the timer wheel by at most 5.12 s, where a
// tick is 10 ms (HZ=100).
const waitSeconds = 65.12

// Sustained is the whole connections a second to one destination from one address
// that so many ports sustain on any kernel, if the side that connects closes
// first and TIME_WAITs are not used again.
func Sustained(ports int) float64 { return math.Floor(float64(ports) / waitSeconds) }

// SustainedReusing is the same where tcp_tw_reuse is effective; false if it is
// not. It holds where the far end answers with timestamps, too.
func SustainedReusing(l *event.Limits, ports int) (perSecond float64, effective bool) {
	if l.TWReuse != 1 || l.Timestamps == 0 {
		return 0, false
	}
	return float64(ports) / reuseDelay(l), true
}

// reuseDelay is how long a TIME_WAIT waits at most before connect() may take it
// over, in seconds. Before 6.18 it is a later whole second of the old
// connection's clock, so up to 2 (tcp_twsk_unique, net/ipv4/tcp_ipv4.c).
func reuseDelay(l *event.Limits) float64 {
	if l.TWReuseDelayMillis == nil {
		return 2
	}
	return max(float64(*l.TWReuseDelayMillis)/1000, 0.001)
}

// RangeReport is what there is to say about the ranges of a host.
type RangeReport struct {
	Namespaces []NamespaceRange
	// Overlaps are the claims that touch today's range of their namespace.
	Overlaps []Claim
	Check    *Check // nil if no range was proposed
	Need     *Need  // nil if nothing was asked for
	Lines    []Lines
	Notes    []string
	// Unread could be read in principle, Unseen cannot.
	Unread []Unread
	Unseen []string
	// Registry says which registry Check.Registered comes from.
	Registry string
	// Recording was searched for ports that were bound; nil if none was.
	Recording *Recording
}

// Recording is what of a recording counts in a judgement.
type Recording struct {
	File, Host string // Host is "" if it does not say where it was made
	// From and To are its extent; zero if it does not know wall time.
	From, To time.Time
	// Ports are those that a program bound in the namespace that is judged; nil
	// if nothing is told of that.
	Ports *int
}

// Summary is the answer in one sentence.
func (r *RangeReport) Summary() string {
	if c := r.Check; c != nil {
		if r.Recording != nil {
			return c.summary("held or claimed here, or was bound in the recording")
		}
		return c.summary("held or claimed here")
	}
	if r.Need != nil {
		return r.Need.summary()
	}
	if len(r.Namespaces) == 0 {
		return "No namespace could be read."
	}
	n := &r.Namespaces[0]
	return fmt.Sprintf("Namespace %s gives %d ports, %s%s; at least %.0f connections a second to one destination, if this side closes first%s.",
		n.Name, n.Ports(), n.Limits.Range, boundOf(n.Poisoned), Sustained(n.Capacity()), unlessBound(n.Poisoned))
}

// boundOf says how many ports of a range programs have bound, if any.
func boundOf(poisoned *int) string {
	if valueOr0(poisoned) == 0 {
		return ""
	}
	return fmt.Sprintf(", %d of them bound by programs and lost to connect()", *poisoned)
}

// unlessBound is the condition of a rate where it is not known what programs have
// bound.
func unlessBound(poisoned *int) string {
	if poisoned == nil {
		return ", and no program has bound ports of it"
	}
	return ""
}

// SustainedThen is the connections a second of the proposed range (see
// [Sustained]).
func (c *Check) SustainedThen() float64 { return Sustained(c.PortsThen - valueOr0(c.Poisoned)) }

// Proposed says what the proposed range gives.
func (c *Check) Proposed() string {
	return fmt.Sprintf("(%+d)%s, %.0f connections a second to one destination at least%s",
		c.PortsThen-c.PortsNow, boundOf(c.Poisoned), c.SustainedThen(), unlessBound(c.Poisoned))
}

// summary is the verdict in one sentence; sought says what was looked for.
func (c *Check) summary(sought string) string {
	switch {
	case c.Verdict == Unsafe:
		return c.unsafe()
	case c.Verdict == Reservations && len(c.Reasons) == 1:
		return fmt.Sprintf("%s exposes nothing that is %s, with one reservation: %s.", c.Range, sought, c.Reasons[0])
	case c.Verdict == Reservations:
		return fmt.Sprintf("%s exposes nothing that is %s, with %d reservations.", c.Range, sought, len(c.Reasons))
	}
	return fmt.Sprintf("Safe as far as this host can tell: %s newly exposes nothing that is %s.", c.Range, sought)
}

// unsafe says which ports speak against the range: those of this host, and those
// that only the recording shows.
func (c *Check) unsafe() string {
	here, past := &PortSet{}, &PortSet{}
	for i := range c.Exposes {
		if c.Exposes[i].Kind == KindRecorded {
			past.Add(c.Exposes[i].Ports)
		} else {
			here.Add(c.Exposes[i].Ports)
		}
	}
	var parts []string
	if here.Count() > 0 {
		parts = append(parts, shorten(here.String())+", held or claimed on this host")
	}
	if past = past.Without(here); past.Count() > 0 {
		parts = append(parts, shorten(past.String())+", bound in the recording")
	}
	return fmt.Sprintf("Unsafe: %s would newly expose %s.", c.Range, strings.Join(parts, "; and "))
}
