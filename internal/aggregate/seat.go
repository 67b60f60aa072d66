package aggregate

import "github.com/portwatch/portwatch/internal/event"

// seatKind says to which local addresses a seat belongs.
type seatKind uint8

const (
	seatIPv4     seatKind = iota + 1 // one address, or 0.0.0.0
	seatIPv6                         // one address, or ::
	seatAccepted                     // accepted sockets, whose addresses are not known
)

// seat is one local address of a port, as the kernel's inet_bind2_bucket: what
// bind() compares, so that a lease of an address that is there already changes
// nothing.
type seat struct {
	place
	bucket  uint32
	next    uint32 // on the same port, plus one
	leases  int32
	waiting int32 // of them in TIME_WAIT
	// children is the address of accepted sockets: the zero value until a
	// listener was seen, and if mixed, which listeners at several addresses, or
	// at any, have left.
	children place
	mixed    bool
}

// blocks is place.blocks, for accepted sockets at the address that they have.
func (s *seat) blocks(want *place) bool {
	if s.kind == seatAccepted && s.children.kind != 0 {
		return s.children.blocks(want)
	}
	return s.place.blocks(want)
}

// place is what tells the seats of a port apart.
type place struct {
	addr   [16]byte
	device uint32
	kind   seatKind
	wild   bool
	v6Only bool
}

func seatOf(ls *lease, a *account) place {
	return placeOf(ls.local, a.family, ls.device, ls.v6Only)
}

func placeOf(local endpoint, f event.Family, device uint32, v6Only bool) place {
	p := place{addr: local.addr, device: device, kind: seatIPv4}
	if f == event.IPv6 {
		p.kind, p.v6Only = seatIPv6, v6Only
	}
	p.wild = local.addrPort(f).Addr().IsUnspecified()
	return p
}

// blocks reports whether a seat at p refuses its port to a plain socket that
// asks for one at want: the addresses overlap, and the devices do
// (inet_rcv_saddr_equal and inet_bind_conflict of the kernel; there is no
// sharing by SO_REUSEADDR or SO_REUSEPORT where the kernel chooses the port).
func (p *place) blocks(want *place) bool {
	if p.device != 0 && want.device != 0 && p.device != want.device {
		return false
	}
	switch p.kind {
	case seatAccepted:
		return true
	case want.kind:
		return p.wild || want.wild || p.addr == want.addr
	case seatIPv6: // an IPv4 socket asks
		return !p.v6Only && (p.wild || want.wild)
	}
	return want.wild && !want.v6Only
}

// standing is how a port stands to a request. The larger one decides.
type standing uint8

const (
	portFree    standing = iota
	portWaiting          // only TIME_WAITs hold it
	portHeld
)

func (s *seat) standing() standing {
	switch s.leases {
	case 0:
		return portFree
	case s.waiting:
		return portWaiting
	}
	return portHeld
}

// seatFor finds or adds the seat on a port.
func (l *Ledger) seatFor(bucket uint32, want place) uint32 {
	b := l.buckets.at(bucket)
	for next := b.seats; next != 0; {
		s := l.buckets.seats.at(next - 1)
		if s.place == want {
			return next - 1
		}
		next = s.next
	}
	i := l.buckets.seats.put()
	*l.buckets.seats.at(i) = seat{place: want, bucket: bucket, next: b.seats}
	b.seats = i + 1
	return i
}

// leaveSeat removes a seat that nobody has.
func (l *Ledger) leaveSeat(i uint32) {
	s := l.buckets.seats.at(i)
	if s.leases > 0 {
		return
	}
	b := l.buckets.at(s.bucket)
	link := &b.seats
	for *link != i+1 {
		link = &l.buckets.seats.at(*link - 1).next
	}
	*link = s.next
	l.buckets.seats.drop(i)
}

// occupy changes how many have the seat, and what follows for the pools of
// bind(0) and of UDP.
func (l *Ledger) occupy(i uint32, leases, waiting int32) {
	s := l.buckets.seats.at(i)
	before := s.standing()
	s.leases += leases
	s.waiting += waiting
	after := s.standing()
	if before == after {
		return
	}
	b := l.buckets.at(s.bucket)
	for next := *l.namespaces.at(b.namespace).bindPools(b.protocol); next != 0; {
		p := l.pools.at(next - 1)
		if s.blocks(&p.place) && l.pools.spans.at(p.span).holds(b.port) {
			others := l.standingOf(b, p, i+1)
			l.settle(p)
			p.counts.stand(max(before, others), -1)
			p.counts.stand(max(after, others), 1)
		}
		next = p.next
	}
}

// standingOf is how the port stands to the pool's request, apart from one seat
// (its number plus one).
func (l *Ledger) standingOf(b *bucket, p *pool, but uint32) standing {
	worst := portFree
	for next := b.seats; next != 0; {
		s := l.buckets.seats.at(next - 1)
		if next != but && s.blocks(&p.place) {
			worst = max(worst, s.standing())
		}
		next = s.next
	}
	return worst
}

// recountAccepted books so many accepted sockets at the address that is known by
// now.
func (l *Ledger) recountAccepted(b *bucket, i uint32, leases, waiting int32) {
	s := l.buckets.seats.at(i)
	l.occupy(i, -s.leases, -s.waiting)
	l.lookForListeners(b, s)
	l.occupy(i, leases, waiting)
}

// meetListener looks again where a port's accepted sockets are: a lease of it
// listens now. They may have been counted before that was told.
func (l *Ledger) meetListener(ls *lease) {
	b := l.bucketOf(ls)
	for next := b.seats; next != 0; {
		i := next - 1
		s := l.buckets.seats.at(i)
		next = s.next
		if s.kind == seatAccepted && s.device == ls.device {
			l.recountAccepted(b, i, s.leases, s.waiting)
		}
	}
}

// lookForListeners finds out where a port's accepted sockets are, at the address
// of the listener that is there.
func (l *Ledger) lookForListeners(b *bucket, s *seat) {
	for next := b.oldest; next != 0 && !s.mixed; {
		ls := l.leases.at(next - 1)
		next = ls.newer
		if ls.state != event.StateListen || ls.device != s.device {
			continue
		}
		at := l.buckets.seats.at(ls.seat - 1).place
		if at.wild || s.children.kind != 0 && s.children != at {
			s.children, s.mixed = place{}, true
			return
		}
		s.children = at
	}
}

// setAccepted books how many accepted sockets a listen port has.
func (l *Ledger) setAccepted(a *event.Accepted) {
	if a == nil {
		return
	}
	ns, ok := l.namespaceFor(a.NetNS)
	if !ok {
		return
	}
	live, waiting := int32(max(a.Live, 0)), int32(max(a.TimeWait, 0))
	i, known := l.buckets.byKey[bucketKeyOf(ns, event.TCP, a.Port)]
	if live+waiting == 0 && !known {
		return
	}
	if !known {
		i = l.bucketFor(ns, event.TCP, a.Port)
	}
	b := l.buckets.at(i)
	seat := l.seatFor(i, place{kind: seatAccepted, device: a.Device})
	s := l.buckets.seats.at(seat)
	had, counted := s.leases, &l.namespaces.at(ns).accepted
	counted[0] += int(live + waiting - had)
	counted[1] += int(waiting - s.waiting)
	if had == 0 {
		s.children, s.mixed = place{}, false
	}
	l.recountAccepted(b, seat, live+waiting, waiting)
	switch {
	case had == 0 && s.leases > 0:
		b.binders++
	case had > 0 && s.leases == 0:
		b.binders--
	}
	l.leaveSeat(seat)
	l.settlePoison(b)
	l.leaveBucket(i)
}
