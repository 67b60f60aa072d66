package aggregate

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// Explanation is the answer in plain sentences: what bind() says, because of
// whom, and what would help.
func (a *PortAnswer) Explanation() string {
	sentences := []string{a.verdict()}
	for _, more := range []string{a.way(), a.unseen(), a.ends(), a.exposure()} {
		if more != "" {
			sentences = append(sentences, more)
		}
	}
	return strings.Join(sentences, " ")
}

// asked are the plain bind()s that were asked about.
func (a *PortAnswer) asked() []*Bind {
	var all []*Bind
	for i := range a.Binds {
		b := &a.Binds[i]
		addr := b.Local.Addr()
		if !b.ReuseAddr && !b.ReusePort && (addr == a.Addr || !a.Addr.IsValid() && addr.IsUnspecified()) {
			all = append(all, b)
		}
	}
	return all
}

// decisive is the bind() that gives the answer: the first that fails, or is not
// known, or the first.
func (a *PortAnswer) decisive() *Bind {
	asked := a.asked()
	for _, b := range asked {
		if b.Fails == a.WouldFail {
			return b
		}
	}
	return asked[0]
}

// verdict is the first sentence.
func (a *PortAnswer) verdict() string {
	b := a.decisive()
	where := fmt.Sprintf("bind() to %s", addressWord(b))
	switch {
	case b.Fails == AnswerYes && b.Reason == event.ReasonPrivileged:
		return fmt.Sprintf("%s fails with EACCES: ports below %d take CAP_NET_BIND_SERVICE.", where, b.UnprivilegedStart)
	case b.Fails == AnswerYes && b.Reason == event.ReasonAddressNotLocal:
		return fmt.Sprintf("%s fails with EADDRNOTAVAIL: the namespace has no such address.", where)
	case b.Fails == AnswerYes && b.Errno == 0:
		return fmt.Sprintf("%s fails: %s; and whether the port may be had by this user at all is not known.", where, a.whoHolds())
	case b.Fails == AnswerYes:
		return fmt.Sprintf("%s fails with %s: %s.", where, b.Errno, a.whoHolds())
	case b.Fails == AnswerUnknown:
		return fmt.Sprintf("Whether %s works is not known.", where)
	case a.Sockets == 0:
		return fmt.Sprintf("%s works: nothing holds the port.", where)
	case a.Sockets == 1:
		return fmt.Sprintf("%s works: the one socket on the port is not in the way.", where)
	}
	return fmt.Sprintf("%s works: of the %s on the port none is in the way.", where, plural(a.Sockets, "socket", "sockets"))
}

func addressWord(b *Bind) string {
	word := b.Local.String()
	if b.Protocol == event.UDP {
		word += " (UDP)"
	}
	return word
}

// whoHolds names the first that is in the way, and counts the rest.
func (a *PortAnswer) whoHolds() string {
	if len(a.Holders) == 0 {
		return "the port is held"
	}
	h := &a.Holders[0]
	more := -h.Sockets
	for i := range a.Holders {
		if a.Holders[i].InTheWay == AnswerYes {
			more += a.Holders[i].Sockets
		}
	}
	word := h.Does()
	if more > 0 {
		word += fmt.Sprintf(", and %s in the way", plural(more, "more socket is", "more sockets are"))
	}
	return word
}

// Does says who holds the port and how.
func (h *PortHolder) Does() string {
	who, l := holderName(h.Owner), &h.Lease
	if h.Processes > 1 {
		who += fmt.Sprintf(" (and %s)", plural(h.Processes-1, "more process", "more processes"))
	}
	switch {
	case h.Sockets > 1:
		return h.doTogether()
	case l.State == event.StateTimeWait:
		return h.waits()
	case l.State == event.StateListen:
		return fmt.Sprintf("%s listens on %s", who, l.Local)
	case l.State == event.StateBound || l.State == event.StateUnconnected:
		return fmt.Sprintf("%s has bound %s", who, l.Local)
	case l.Origin == event.OriginAccept:
		return fmt.Sprintf("%s has a connection from %s that was accepted on it, %s", who, l.Remote, l.State)
	case l.Remote.IsValid():
		return fmt.Sprintf("%s uses the port for its connection to %s, %s", who, l.Remote, l.State)
	}
	return fmt.Sprintf("%s has a socket at %s, %s", who, l.Local, l.State)
}

func (h *PortHolder) doTogether() string {
	switch who := holderName(h.Owner); {
	case h.Lease.State == event.StateTimeWait:
		return fmt.Sprintf("%d closed connections wait in TIME_WAIT", h.Sockets)
	case h.Lease.Origin == event.OriginAccept:
		return fmt.Sprintf("%s has %d connections that were accepted on it", who, h.Sockets)
	default:
		return fmt.Sprintf("%s has %d sockets on it, %s", who, h.Sockets, h.Lease.State)
	}
}

func (h *PortHolder) waits() string {
	said := fmt.Sprintf("a closed connection to %s waits in TIME_WAIT", h.Lease.Remote)
	if h.Expires {
		said += " for another " + seconds(h)
	}
	return said
}

func seconds(h *PortHolder) string {
	return fmt.Sprintf("%.0f s", math.Ceil(h.ExpiresIn.Seconds()))
}

// holderName is what a sentence calls an owner.
func holderName(o *OwnerInfo) string {
	switch o.ID.Kind {
	case event.OwnerProcess:
		return fmt.Sprintf("%s[%d]", o.Comm, o.ID.PID)
	case event.OwnerKernel:
		return "the kernel"
	case event.OwnerCgroup:
		return "a socket of " + firstWord(o.Container, o.Unit, o.Cgroup, o.ID.String()) + " that no process has open"
	}
	return "a socket that no process was found to have open"
}

func firstWord(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// way says which flags would help against what is in the way.
func (a *PortAnswer) way() string {
	plain := a.decisive()
	if plain.Fails != AnswerYes || plain.Reason != event.ReasonPortHeld {
		return ""
	}
	helps, unknown := a.helps(plain.Local)
	switch {
	case len(helps) > 0:
		return fmt.Sprintf("With %s it works.", strings.Join(helps, " or "))
	case len(unknown) > 0:
		return fmt.Sprintf("Whether %s helps is not known without BPF.", strings.Join(unknown, " or "))
	}
	return "Neither SO_REUSEADDR nor SO_REUSEPORT helps."
}

// helps are the flags with which bind() to the address works, and those of which
// that is not known.
func (a *PortAnswer) helps(local netip.AddrPort) (helps, unknown []string) {
	for i := range a.Binds {
		b := &a.Binds[i]
		flag := "SO_REUSEADDR"
		if b.ReusePort {
			flag = "SO_REUSEPORT"
		}
		switch {
		case b.Local != local || !b.ReuseAddr && !b.ReusePort:
		case b.Fails == AnswerNo:
			helps = append(helps, flag)
		case b.Fails == AnswerUnknown:
			unknown = append(unknown, flag)
		}
	}
	return helps, unknown
}

// unseen says why lsof shows nothing, if it shows nothing.
func (a *PortAnswer) unseen() string {
	waits := false
	for i := range a.Holders {
		h := &a.Holders[i]
		if h.InTheWay != AnswerYes {
			continue
		}
		if h.Owner.ID.Kind == event.OwnerProcess {
			return ""
		}
		waits = waits || h.TimeWait > 0
	}
	if !waits {
		return ""
	}
	return "No process has it open, so lsof shows nothing."
}

// ends says when the last TIME_WAIT ends, if nothing else is in the way.
func (a *PortAnswer) ends() string {
	var last *PortHolder
	count := 0
	for i := range a.Holders {
		h := &a.Holders[i]
		if h.InTheWay == AnswerNo {
			continue
		}
		if h.TimeWait != h.Sockets || !h.Expires {
			return ""
		}
		if count += h.Sockets; last == nil || h.ExpiresIn > last.ExpiresIn {
			last = h
		}
	}
	if count < 2 {
		return "" // one alone has been told
	}
	return fmt.Sprintf("The last of them ends in %s.", seconds(last))
}

// exposure says that a connection may take the port by itself.
func (a *PortAnswer) exposure() string {
	if !a.Exposed() {
		return ""
	}
	return fmt.Sprintf("%d lies in the range %s and is not reserved: any connection may be given it.", a.Port, a.limits.Range)
}

// PortsSummary is the answer to several questions in one sentence.
func PortsSummary(answers []PortAnswer) string {
	if len(answers) == 1 {
		return answers[0].verdict()
	}
	var fails, unknown, works []string
	for i := range answers {
		a := &answers[i]
		switch word := a.String(); a.WouldFail {
		case AnswerYes:
			fails = append(fails, word)
		case AnswerNo:
			works = append(works, word)
		default:
			unknown = append(unknown, word)
		}
	}
	var parts []string
	for _, p := range []struct {
		words []string
		what  string
	}{{fails, "fails on"}, {works, "works on"}, {unknown, "is not known to work on"}} {
		if len(p.words) > 0 {
			parts = append(parts, p.what+" "+joinWords(p.words))
		}
	}
	return "bind() " + strings.Join(parts, ", and ") + "."
}

// joinWords is "a, b and c".
func joinWords(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
