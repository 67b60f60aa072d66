package aggregate

import "github.com/portwatch/portwatch/internal/event"

// Leases yields every lease that exists, in no order that means anything. The
// ledger must not change meanwhile.
func (l *Ledger) Leases(yield func(event.Lease) bool) {
	for slot := range l.leases.next {
		if l.leases.at(slot).live && !yield(l.leaseAt(slot)) {
			return
		}
	}
}

// Lease is a lease that exists, false if none has that ID.
func (l *Ledger) Lease(id event.LeaseID) (event.Lease, bool) {
	slot, ok := l.index[id]
	if !ok {
		return event.Lease{}, false
	}
	return l.leaseAt(slot), true
}

// AcceptedPorts yields the last count of accepted sockets of each port that has
// any.
func (l *Ledger) AcceptedPorts(yield func(event.Accepted) bool) {
	for i := range l.buckets.seats.next {
		s := l.buckets.seats.at(i)
		if s.kind != seatAccepted {
			continue
		}
		b := l.buckets.at(s.bucket)
		a := event.Accepted{
			NetNS: l.namespaces.at(b.namespace).inode, Device: s.device, Port: b.port,
			Live: int(s.leases - s.waiting), TimeWait: int(s.waiting),
		}
		if !yield(a) {
			return
		}
	}
}

// Mode is how the stream's source watches; 0 before its first event.
func (l *Ledger) Mode() event.Mode { return l.start.Mode }
