package aggregate

import "github.com/portwatch/portwatch/internal/event"

// setIdle books whether a connection carries data, or that all have been looked
// at. Once idle for long enough it is idle until something else is told.
func (l *Ledger) setIdle(ev *event.Event) {
	if ev.Lease.ID == (event.LeaseID{}) {
		l.idleSeen = ev.Time
		return
	}
	if slot, ok := l.index[ev.Lease.ID]; ok {
		l.leases.at(slot).idle = ev.IdleSince
	}
}
