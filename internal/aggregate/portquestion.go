package aggregate

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// PortQuestion is a port that somebody asks about.
type PortQuestion struct {
	Protocol event.Protocol
	Port     uint16
	Addr     netip.Addr // to be bound; invalid for none: the wildcards are meant
}

// String is the question as it may be asked: "36601", "127.0.0.1:8080",
// "53/udp".
func (q *PortQuestion) String() string {
	word := strconv.Itoa(int(q.Port))
	if q.Addr.IsValid() {
		word = netip.AddrPortFrom(q.Addr, q.Port).String()
	}
	if q.Protocol == event.UDP {
		word += "/udp"
	}
	return word
}

// PortWorld is what questions about ports are answered from: one look, and the
// namespace that is asked about.
type PortWorld struct {
	NetNS  uint32
	Limits event.Limits
	// Sockets are the sockets on the ports, in every namespace, and Talkers
	// those that have a far end which a TIME_WAIT among them has.
	Sockets, Talkers []event.Sighting
	// Complete is false where sockets of the namespace may not have been seen.
	Complete bool
	// Asker would bind, by UID; the rest as in BindRequest.
	UID        uint32
	Privileged Answer
	Local      func(netip.Addr) Answer
	// FoldFrom is how many sockets alike are told as one entry.
	FoldFrom int
	// IPv6 says whether there is an IPv6 wildcard to bind.
	IPv6 bool
	// Owner and NameOf tell what is known of an owner and of a namespace.
	Owner  func(*event.Owner) *OwnerInfo
	NameOf func(netns uint32) string
}

// PortAnswer is the answer to a PortQuestion.
type PortAnswer struct {
	PortQuestion
	NetNS     uint32
	NetNSName string // "" if unknown
	Holders   []PortHolder
	// Elsewhere are holders in other namespaces: they are in nobody's way.
	Elsewhere []PortHolder
	// Binds are what bind() would say: for each address plain, with
	// SO_REUSEADDR, with SO_REUSEPORT.
	Binds []Bind
	// WouldFail speaks of a plain socket on the asked address, else on either
	// wildcard.
	WouldFail         Answer
	InRange, Reserved bool
	// Sockets is how many hold the port here.
	Sockets int
	limits  event.Limits
}

// Bind is a verdict with the request that it is on.
type Bind struct {
	BindRequest
	BindVerdict
}

// PortHolder is a socket on a port, or several alike.
type PortHolder struct {
	Owner *OwnerInfo
	// Sockets is how many these are, TimeWait how many of them wait.
	Sockets, TimeWait int
	// Lease is that of the one socket. Of several it has what they share:
	// namespace, protocol, state, origin.
	Lease event.Lease
	// Processes hold the socket; 0 if that was not counted.
	Processes int
	// Share is the part of the port's sockets in the namespace.
	Share float64
	// InTheWay says whether it refuses the plain bind() that was asked about.
	InTheWay Answer
	// ExpiresIn is when its TIME_WAIT ends, of several the last; Expires is
	// false where that is not known, or nothing waits.
	ExpiresIn time.Duration
	Expires   bool
	// SameFarEnd are live processes that talk to the same far end as a
	// TIME_WAIT without an owner: evidence, no owners.
	SameFarEnd []*OwnerInfo
	NetNSName  string
}

// Answer answers a question.
func (w *PortWorld) Answer(q PortQuestion) PortAnswer {
	a := PortAnswer{PortQuestion: q, NetNS: w.NetNS, NetNSName: w.NameOf(w.NetNS), limits: w.Limits}
	a.InRange = w.Limits.Range.Contains(q.Port)
	for _, r := range w.Limits.Reserved {
		a.Reserved = a.Reserved || r.Contains(q.Port)
	}
	var here, elsewhere []event.Sighting
	for i := range w.Sockets {
		switch l := &w.Sockets[i].Lease; {
		case l.Protocol != q.Protocol || l.Local.Port() != q.Port:
		case l.NetNS == w.NetNS:
			here = append(here, w.Sockets[i])
		default:
			elsewhere = append(elsewhere, w.Sockets[i])
		}
	}
	settleOrigins(here)
	settleOrigins(elsewhere)
	a.Sockets = len(here)
	inTheWay := w.judge(&a, here)
	a.Holders = w.holders(here, inTheWay)
	a.Elsewhere = w.holders(elsewhere, make([]Answer, len(elsewhere)))
	for i := range a.Elsewhere {
		a.Elsewhere[i].InTheWay = AnswerNo
	}
	return a
}

// judge fills the verdicts in, and answers which sockets are in the way of the
// plain bind() that was asked about.
func (w *PortWorld) judge(a *PortAnswer, here []event.Sighting) []Answer {
	inTheWay := make([]Answer, len(here))
	for i := range inTheWay {
		inTheWay[i] = AnswerNo
	}
	addrs, asked := w.bindAddrs(a.Addr)
	a.WouldFail = AnswerNo
	for n, addr := range addrs {
		for _, flags := range [...]struct{ addr, port bool }{{}, {addr: true}, {port: true}} {
			b := Bind{BindRequest: BindRequest{
				Protocol: a.Protocol, Local: netip.AddrPortFrom(addr, a.Port), ReuseAddr: flags.addr, ReusePort: flags.port,
				UID: w.UID, Privileged: w.Privileged, AddressLocal: w.Local(addr), UnprivilegedStart: w.Limits.UnprivilegedStart,
			}}
			b.BindVerdict = JudgeBind(&b.BindRequest, here, w.Complete)
			a.Binds = append(a.Binds, b)
			if n >= asked || flags.addr || flags.port {
				continue
			}
			a.WouldFail = worseOf(a.WouldFail, b.Fails)
			for _, i := range b.InTheWay {
				inTheWay[i] = worseOf(inTheWay[i], b.refusedBy(&here[i]))
			}
		}
	}
	return inTheWay
}

// refusedBy reports whether one socket is in the way.
func (b *Bind) refusedBy(s *event.Sighting) Answer {
	return b.judgePort([]event.Sighting{*s}).Fails
}

// worseOf is yes if one is, else not known if one is not, else no.
func worseOf(a, b Answer) Answer {
	switch {
	case a == AnswerYes || b == AnswerYes:
		return AnswerYes
	case a == AnswerUnknown || b == AnswerUnknown:
		return AnswerUnknown
	}
	return AnswerNo
}

// bindAddrs are the addresses to judge; the first so many were asked about.
func (w *PortWorld) bindAddrs(addr netip.Addr) (addrs []netip.Addr, asked int) {
	v4, v6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	switch {
	case addr.IsValid() && addr.IsUnspecified():
		return []netip.Addr{addr}, 1
	case addr.IsValid() && addr.Is4():
		return []netip.Addr{addr, v4}, 1
	case addr.IsValid():
		return []netip.Addr{addr, v6}, 1
	case w.IPv6:
		return []netip.Addr{v4, v6}, 2
	}
	return []netip.Addr{v4}, 1
}

// BindWorks reports whether the bind() that was asked about would work.
func (a *PortAnswer) BindWorks() bool { return a.WouldFail == AnswerNo }

// Exposed reports whether a connection may be given the port: it is in the range
// and not reserved.
func (a *PortAnswer) Exposed() bool { return a.InRange && !a.Reserved }
