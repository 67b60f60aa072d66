package aggregate

import "github.com/portwatch/portwatch/internal/event"

// resync is the protocol by which the kernel's tables correct the ledger.
type resync struct {
	open   bool
	number uint32     // of the resync; a lease remembers the last that told it
	begun  event.Time // t0: a lease older than this must be told, or is gone
	// disturbed is true if something was lost since the begin: what the walk
	// had passed by then may be wrong again.
	disturbed bool
	// tombs are the leases that ended since the begin: a row that the walk
	// read before must not bring them back.
	tombs map[event.LeaseID]struct{}
}

func (r *resync) init() { r.tombs = make(map[event.LeaseID]struct{}) }

func (l *Ledger) correct(ev *event.Event) {
	switch ev.Correction {
	case event.CorrectionBegin:
		l.beginResync(ev.Time)
	case event.CorrectionHolds:
		l.hold(ev)
	case event.CorrectionGone:
		l.vanish(ev)
	case event.CorrectionEnd:
		l.endResync()
	}
}

// beginResync opens a resync, or starts the open one anew.
func (l *Ledger) beginResync(t0 event.Time) {
	r := &l.resync
	r.open, r.begun, r.disturbed = true, t0, false
	r.number++
	clear(r.tombs)
}

// hold books a lease that exists, as it stood at the event's time: an event
// after that beats it, a lease that ended since stays ended.
func (l *Ledger) hold(ev *event.Event) {
	r := &l.resync
	if _, dead := r.tombs[ev.Lease.ID]; dead {
		return
	}
	slot, known := l.index[ev.Lease.ID]
	if !known {
		acc, ok := l.accountOf(&ev.Lease)
		if !ok || !l.insert(acc, &ev.Lease, ev.Time) {
			return
		}
		l.counters.Inserted++
		slot = l.index[ev.Lease.ID]
	} else if state := l.leases.at(slot).state; l.revise(slot, &ev.Lease, ev.Time) && state != ev.Lease.State {
		l.counters.Revised++
	}
	if r.open {
		l.leases.at(slot).told = r.number
	}
}

// vanish removes a lease without a socket, unless an event spoke of it since.
func (l *Ledger) vanish(ev *event.Event) {
	slot, ok := l.index[ev.Lease.ID]
	if ok && l.leases.at(slot).changed > ev.Time {
		return
	}
	l.bury(ev.Lease.ID)
	if ok {
		l.remove(slot, event.CauseLost)
	}
}

// endResync ends every lease that is older than the begin and was not told.
func (l *Ledger) endResync() {
	r := &l.resync
	if !r.open {
		return
	}
	for slot := range l.leases.next {
		ls := l.leases.at(slot)
		if ls.live && ls.told != r.number && ls.changed < r.begun {
			l.remove(slot, event.CauseLost)
		}
	}
	r.open = false
	clear(r.tombs)
	l.complete = !r.disturbed
}

// bury remembers, while a resync is open, that a lease has ended. There are as
// many tombs as leases at most: one more and the resync cannot be trusted.
func (l *Ledger) bury(id event.LeaseID) {
	r := &l.resync
	if !r.open {
		return
	}
	if len(r.tombs) >= l.opts.MaxLeases {
		r.disturbed = true
		l.counters.TombsRefused++
		return
	}
	r.tombs[id] = struct{}{}
}
