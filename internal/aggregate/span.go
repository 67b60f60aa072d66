package aggregate

import "github.com/portwatch/portwatch/internal/event"

// span is the ports that one kind of request may be given in a namespace: its
// range, or a socket's own range within it, without the reserved ports.
type span struct {
	namespace uint32
	next      uint32 // of the same namespace, plus one
	pools     uint32 // that draw from it
	own       event.PortRange
	effective event.PortRange // zero while the namespace's limits are not known
	reserved  []event.PortRange

	ports, preferred int32 // preferred: of the parity of the lowest port
	lost             int32 // poisoned ones
	lostPreferred    int32
	// trough follows ports - lost, for the lowest headroom.
	trough trough
}

// spanFor finds or adds a span, and reports false at the bound.
func (l *Ledger) spanFor(ns uint32, own event.PortRange) (uint32, bool) {
	n := l.namespaces.at(ns)
	count := 0
	for next := n.spans; next != 0; count++ {
		s := l.pools.spans.at(next - 1)
		if s.own == own {
			return next - 1, true
		}
		next = s.next
	}
	if count >= maxSpans {
		return 0, false
	}
	i := l.pools.spans.put()
	s := l.pools.spans.at(i)
	s.namespace, s.own, s.next = ns, own, n.spans
	n.spans = i + 1
	s.measure(n)
	for b := range l.bucketsOf(ns, event.TCP) {
		if b.poisoned {
			s.lose(b.port, 1)
		}
	}
	s.trough.reset(s.open())
	return i, true
}

// measure counts the ports anew, poisoned ones apart. A bound of the socket's
// own range that lies outside the namespace's is ignored, as the kernel does
// (inet_sk_get_local_port_range).
func (s *span) measure(n *namespace) {
	s.effective, s.reserved = n.limits.Range, n.limits.Reserved
	if low := s.own.Low; s.effective.Low <= low && low <= s.effective.High {
		s.effective.Low = low
	}
	if high := s.own.High; s.effective.Low <= high && high <= s.effective.High {
		s.effective.High = high
	}
	s.ports, s.preferred, s.lost, s.lostPreferred = 0, 0, 0, 0
	for port := int(s.effective.Low); port <= int(s.effective.High) && !s.effective.IsZero(); port++ {
		if !s.holds(uint16(port)) {
			continue
		}
		s.ports++
		if s.prefers(uint16(port)) {
			s.preferred++
		}
	}
}

func (s *span) holds(port uint16) bool {
	return s.effective.Contains(port) && !reserved(s.reserved, port)
}

// prefers reports whether connect() tries the port in its first pass.
func (s *span) prefers(port uint16) bool { return (port^s.effective.Low)&1 == 0 }

// open is the number of ports that are not poisoned.
func (s *span) open() int32 { return s.ports - s.lost }

func (s *span) lose(port uint16, by int32) {
	if !s.holds(port) {
		return
	}
	s.lost += by
	if s.prefers(port) {
		s.lostPreferred += by
	}
}

// poison books that the port is lost for connect(), or no longer.
func (l *Ledger) poison(b *bucket, by int32) {
	n := l.namespaces.at(b.namespace)
	if n.inRange(b.port) {
		n.poisoned += int(by)
	}
	for next := n.spans; next != 0; {
		s := l.pools.spans.at(next - 1)
		s.lose(b.port, by)
		s.trough.push(s.open(), l.version)
		next = s.next
	}
}

// trough answers how low a number has been since any earlier event, without
// telling everybody who may ask of every change. Its entries rise from the
// oldest to the newest: a value that was undercut later never matters again.
type trough struct{ dips []dip }

type dip struct {
	value int32
	until uint64 // the event that ended it; 0: it still holds
}

func (t *trough) reset(value int32) { t.dips = append(t.dips[:0], dip{value: value}) }

// push books the value from event number at on.
func (t *trough) push(value int32, at uint64) {
	n := len(t.dips)
	for n > 0 && t.dips[n-1].value >= value {
		n--
	}
	t.dips = t.dips[:n]
	if n > 0 && t.dips[n-1].until == 0 {
		t.dips[n-1].until = at
	}
	t.dips = append(t.dips, dip{value: value})
}

// since is the least value that held after event number at.
func (t *trough) since(at uint64) int32 {
	for i := range t.dips {
		if t.dips[i].until == 0 || t.dips[i].until > at {
			return t.dips[i].value
		}
	}
	return 0
}
