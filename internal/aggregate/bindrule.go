package aggregate

import (
	"net/netip"

	"github.com/portwatch/portwatch/internal/event"
)

// BindRequest is a bind() that somebody might make on a port by number.
type BindRequest struct {
	Protocol  event.Protocol
	Local     netip.AddrPort // port never 0; an IPv6 address asks as an IPv6 socket
	ReuseAddr bool           // with SO_REUSEADDR
	ReusePort bool           // with SO_REUSEPORT
	UID       uint32         // who asks
	// Privileged says whether who asks may have ports below
	// ip_unprivileged_port_start, and AddressLocal whether the address may be
	// bound in the namespace.
	Privileged, AddressLocal Answer
	UnprivilegedStart        int
}

// Answer is yes, no, or not known: the zero value.
type Answer uint8

// The answers.
const (
	AnswerUnknown Answer = iota
	AnswerNo
	AnswerYes
)

// AnswerOf is the answer that is known.
func AnswerOf(yes bool) Answer {
	if yes {
		return AnswerYes
	}
	return AnswerNo
}

// BindVerdict says what bind() would say. It is computed, never tried.
type BindVerdict struct {
	Fails  Answer
	Errno  event.Errno  // of a bind() that fails; 0 else
	Reason event.Reason // of a bind() that fails; 0 else
	// InTheWay are the sockets that refuse the port, by their index.
	InTheWay []int
}

// JudgeBind says what the kernel would answer to the request. sockets are those
// of the request's namespace, protocol and port; complete is false where some may
// not have been seen. What decides and is not known makes the verdict unknown.
func JudgeBind(r *BindRequest, sockets []event.Sighting, complete bool) BindVerdict {
	ports := r.judgePort(sockets)
	if !complete && ports.Fails == AnswerNo {
		ports.Fails = AnswerUnknown
	}
	order := []BindVerdict{r.judgeAddress(), r.judgePrivilege(), ports}
	if !r.Local.Addr().Is4() { // inet6_bind asks in another order
		order[0], order[1] = order[1], order[0]
	}
	v := BindVerdict{Fails: AnswerNo}
	for _, found := range order {
		switch {
		case found.Fails == AnswerUnknown:
			v.Fails = AnswerUnknown
		case found.Fails == AnswerYes && v.Fails == AnswerUnknown:
			return BindVerdict{Fails: AnswerYes, InTheWay: ports.InTheWay} // by which error, nobody knows
		case found.Fails == AnswerYes:
			v = found
			v.InTheWay = ports.InTheWay
			return v
		}
	}
	v.InTheWay = ports.InTheWay
	return v
}

func (r *BindRequest) judgeAddress() BindVerdict {
	switch r.AddressLocal {
	case AnswerYes:
		return BindVerdict{Fails: AnswerNo}
	case AnswerNo:
		return BindVerdict{Fails: AnswerYes, Errno: event.EADDRNOTAVAIL, Reason: event.ReasonAddressNotLocal}
	}
	return BindVerdict{}
}

func (r *BindRequest) judgePrivilege() BindVerdict {
	switch {
	case int(r.Local.Port()) >= r.UnprivilegedStart || r.Privileged == AnswerYes:
		return BindVerdict{Fails: AnswerNo}
	case r.Privileged == AnswerNo:
		return BindVerdict{Fails: AnswerYes, Errno: event.EACCES, Reason: event.ReasonPrivileged}
	}
	return BindVerdict{}
}

// judgePort asks the sockets on the port.
func (r *BindRequest) judgePort(sockets []event.Sighting) BindVerdict {
	v := BindVerdict{Fails: AnswerNo}
	if r.Protocol == event.TCP && r.passesBucket(sockets) {
		return v
	}
	want := placeOf(endpointOf(r.Local), familyOfAddr(r.Local.Addr()), 0, false)
	shares := false // a UDP socket lets the request share its port
	for i := range sockets {
		refuses := r.refusedAt(&sockets[i], &want)
		if refuses != AnswerNo {
			v.InTheWay = append(v.InTheWay, i)
		}
		v.Fails = worseOf(v.Fails, refuses)
		shares = shares || r.mayShareUDP(&sockets[i], &want)
	}
	if shares && v.Fails != AnswerNo {
		// The first of the two that the kernel meets decides; in which order it
		// meets them, the list does not tell.
		v.Fails = AnswerUnknown
	}
	if v.Fails == AnswerYes {
		v.Errno, v.Reason = event.EADDRINUSE, event.ReasonPortHeld
	}
	return v
}

// refusedAt reports whether one socket refuses the request its port
// (inet_bind_conflict and udp_lib_lport_inuse of the kernel).
func (r *BindRequest) refusedAt(s *event.Sighting, want *place) Answer {
	overlap := overlapOf(s, want)
	if overlap == AnswerNo {
		return AnswerNo
	}
	refuses := r.unlessShared(s)
	if refuses == AnswerYes {
		return overlap // which may not be known
	}
	return refuses
}

// unlessShared reports whether a socket at an address that overlaps refuses.
func (r *BindRequest) unlessShared(s *event.Sighting) Answer {
	k := &s.Sharing
	listens := r.Protocol == event.TCP && s.Lease.State == event.StateListen
	if r.ReuseAddr && !listens {
		if !k.Known {
			return AnswerUnknown
		}
		if k.ReuseAddr {
			return AnswerNo
		}
	}
	if r.ReusePort {
		if !k.Known {
			return AnswerUnknown
		}
		waits := r.Protocol == event.TCP && s.Lease.State == event.StateTimeWait
		if k.ReusePort && (waits || k.UID == r.UID) {
			return AnswerNo
		}
	}
	return AnswerYes
}

// mayShareUDP reports whether a UDP socket that overlaps lets the request have
// its port by SO_REUSEPORT: at the first such the kernel looks no further.
func (r *BindRequest) mayShareUDP(s *event.Sighting, want *place) bool {
	k := &s.Sharing
	return r.Protocol == event.UDP && r.ReusePort && k.Known && k.ReusePort && k.UID == r.UID &&
		(!r.ReuseAddr || !k.ReuseAddr) && overlapOf(s, want) != AnswerNo
}

// overlapOf reports whether a socket's address is in the way of a request's. A
// socket of another VRF never is. Whether an IPv6 socket that is connected stands
// for IPv4 too is not listed by sock_diag.
func overlapOf(s *event.Sighting, want *place) Answer {
	if s.Bucket.Known && s.Bucket.Domain != 0 {
		return AnswerNo
	}
	l := &s.Lease
	p := placeOf(endpointOf(l.Local), l.Family, l.Device, l.V6Only)
	if !p.blocks(want) {
		return AnswerNo
	}
	if want.kind == seatIPv4 && p.kind == seatIPv6 && !s.Sharing.Known && l.Remote.IsValid() {
		return AnswerUnknown
	}
	return AnswerYes
}

// passesBucket reports whether the port's bucket lets the request pass without a
// look at its sockets (inet_csk_get_port and sk_reuseport_match of the kernel).
func (r *BindRequest) passesBucket(sockets []event.Sighting) bool {
	for i := range sockets {
		b := &sockets[i].Bucket
		if b.Known && b.Domain == 0 { // all sockets of a port have one bucket
			return r.ReuseAddr && b.ReuseAddr || r.ReusePort && b.UID == r.UID && r.inReach(b)
		}
	}
	return false
}

func (r *BindRequest) inReach(b *event.Bucket) bool {
	switch b.ReusePort {
	case event.ReachEverywhere:
		return true
	case event.ReachAddress:
	default:
		return false
	}
	at, want := b.At, r.Local.Addr()
	if at.Is4In6() { // an IPv6 socket's, which no other IPv6 address matches
		if want.Is6() {
			return false
		}
		at = at.Unmap()
	}
	switch {
	case at.Is4() == want.Is4():
		return at.IsUnspecified() || at == want
	case at.Is4(): // an IPv6 socket asks
		return want.IsUnspecified() && at.IsUnspecified()
	}
	return at.IsUnspecified() && !b.AtV6Only
}

func familyOfAddr(a netip.Addr) event.Family {
	if a.Is4() {
		return event.IPv4
	}
	return event.IPv6
}
