package host

import (
	"fmt"

	"github.com/portwatch/portwatch/internal/event"
)

// Verdict is how safe a proposed range is.
type Verdict string

// The verdicts.
const (
	Safe         Verdict = "safe"
	Reservations Verdict = "with reservations"
	Unsafe       Verdict = "unsafe"
)

// Proposal is a question about a range.
type Proposal struct {
	Range  event.PortRange
	Today  event.Limits
	Claims []Claim // held and claimed ports, those outside the range included
	// Outside are ports of connections without a listener that today's range could
	// not have given, and Bound those of TCP that a program bound; nil if the sockets
	// could not be read, which Unread says then.
	Outside, Bound *PortSet
	// Unread are the claims and sockets that could not be read.
	Unread []Unread
	// Registry are names that never change the verdict.
	Registry []Service
}

// Exposure is a claim that the proposed range would newly expose.
type Exposure struct {
	Claim
	Happens string // what would happen
}

// Check is the judgement of a proposed range.
type Check struct {
	Range   event.PortRange
	Verdict Verdict
	// Exposed are the ports that connections would newly be given, Exposes
	// the claims among them.
	Exposed []event.PortRange
	Exposes []Exposure
	Reasons []string // for the reservations
	// PortsNow and PortsThen count what the kernel gives by itself, today and
	// with the range; PortsReserved is PortsThen after Reserve.
	PortsNow, PortsThen, PortsReserved int
	// Poisoned are those of PortsThen that connect() passes over, because a program
	// has bound them: at least so many; nil if that is not known.
	Poisoned *int
	// Registered are the names of a registry in Exposed.
	Registered []Service
	// Reserve is today's reserved list with every exposed claim, as the kernel
	// writes it.
	Reserve []event.PortRange
}

// Refusal is why the kernel would not accept a range; "" if it would
// (ipv4_local_port_range, net/ipv4/sysctl_net_ipv4.c, since 4.11).
func Refusal(r event.PortRange, unprivilegedStart int) string {
	if int(r.Low) < unprivilegedStart {
		return fmt.Sprintf("the kernel refuses it with EINVAL: its low end must not be below ip_unprivileged_port_start, here %d", unprivilegedStart)
	}
	return ""
}

// SameParity reports whether both ends of a range are even, or both odd. The
// kernel warns of it: connect() uses up one parity first, and with an odd
// number of ports a single call passes over one of them.
func SameParity(r event.PortRange) bool { return (r.Low^r.High)&1 == 0 }

// Judge judges a range that the kernel accepts (see [Refusal]).
func Judge(p *Proposal) *Check {
	now, then := Dealt(p.Today.Range, p.Today.Reserved), Dealt(p.Range, p.Today.Reserved)
	exposed := then.Without(now)
	c := &Check{
		Range: p.Range, Verdict: Safe, Exposed: exposed.Ranges(),
		PortsNow: now.Count(), PortsThen: then.Count(),
	}
	if p.Bound != nil {
		c.Poisoned = new(p.Bound.And(then).Count())
	}
	reserve := SetOf(p.Today.Reserved...)
	for i := range p.Claims {
		hit := SetOf(p.Claims[i].Ports).And(exposed)
		for _, r := range hit.Ranges() {
			e := Exposure{Claim: p.Claims[i], Happens: happens(&p.Claims[i])}
			e.Ports = r
			reserve.Add(r)
			c.Exposes = append(c.Exposes, e)
		}
	}
	c.Reserve = reserve.Ranges()
	c.PortsReserved = Dealt(p.Range, c.Reserve).Count()
	for _, s := range p.Registry {
		if exposed.Overlaps(s.Ports) {
			c.Registered = append(c.Registered, s)
		}
	}
	c.Reasons = reservations(p, c, exposed)
	switch {
	case len(c.Exposes) > 0:
		c.Verdict = Unsafe
	case len(c.Reasons) > 0:
		c.Verdict = Reservations
	}
	return c
}

// lowestUsual is below what most services of a system are found.
const lowestUsual = 1024

// reservations are what speaks against a range without making it unsafe.
func reservations(p *Proposal, c *Check, exposed *PortSet) (reasons []string) {
	for _, u := range p.Unread {
		reasons = append(reasons, fmt.Sprintf("%s could not be read: %s", u.What, u.Why))
	}
	if SameParity(p.Range) && p.Range.Ports() > 1 {
		better := p.Range
		if better.High < 65535 {
			better.High++
		} else {
			better.High--
		}
		reasons = append(reasons, fmt.Sprintf(
			"both ends are of one parity: a call may pass over a port, and the kernel logs a warning; %s has not", better))
	}
	if p.Range.Low < lowestUsual {
		reasons = append(reasons, fmt.Sprintf(
			"it reaches below %d, where the services of a system live; here ip_unprivileged_port_start, %d, permits it",
			lowestUsual, p.Today.UnprivilegedStart))
	}
	switch {
	case c.PortsThen < c.PortsNow:
		reasons = append(reasons, fmt.Sprintf("it has %d ports less than today's", c.PortsNow-c.PortsThen))
	case c.PortsThen == c.PortsNow && p.Range == p.Today.Range:
		reasons = append(reasons, "it is today's range")
	case c.PortsThen == c.PortsNow:
		reasons = append(reasons, "it has no more ports than today's")
	}
	if p.Outside == nil {
		return reasons
	}
	if held := p.Outside.And(exposed); held.Count() > 0 {
		reasons = append(reasons, fmt.Sprintf(
			"connections hold %s, which today's range cannot have given: their programs bound these ports, a listener that has ended accepted them, or they are older than the range",
			shorten(held.String())))
	}
	return reasons
}

// shorten cuts a long list of ports for a sentence.
func shorten(list string) string {
	const enough = 60
	if len(list) <= enough {
		return list
	}
	return list[:enough] + "…"
}

// happens says what a connection on a claimed port does to who claims it.
func happens(c *Claim) string {
	switch c.Kind {
	case KindListening, KindBound:
		return "nothing while it is held; after a restart bind() may meet a connection: EADDRINUSE"
	case KindRecorded:
		return "when it is bound again, bind() may meet a connection: EADDRINUSE"
	case KindPublished:
		return "at the next start the port may be taken; where packets are rewritten, a connection from it loses its answers"
	case KindKubernetes:
		return "a NodePort takes the packets of a connection from the same port: it hangs, without an error"
	case KindMesos:
		return "a task may be offered a port that a connection holds: EADDRINUSE in the task"
	case KindSystemd:
		return "the unit may not start: EADDRINUSE"
	}
	return "bind() may meet a connection: EADDRINUSE"
}
