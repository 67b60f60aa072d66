package aggregate

import "github.com/portwatch/portwatch/internal/event"

// allocate books a port that the kernel gave. A lease that is already known
// stays one lease and is not a second allocation.
func (l *Ledger) allocate(ev *event.Event) {
	if slot, ok := l.index[ev.Lease.ID]; ok {
		l.revise(slot, &ev.Lease, ev.Time)
		return
	}
	acc, ok := l.accountOf(&ev.Lease)
	if !ok {
		return
	}
	a := l.accounts.at(acc)
	a.allocations++
	a.used = l.now
	a.rate.allocation(ev.Time)
	l.counters.Allocations++
	l.active = l.now
	l.insert(acc, &ev.Lease, ev.Time)
}

// changeState books a state event, which is only sure to carry the lease's
// identity and state. One for a lease that is not known is counted: its owner
// and far end would be guesses.
func (l *Ledger) changeState(ev *event.Event) {
	slot, ok := l.index[ev.Lease.ID]
	if !ok {
		l.counters.UnknownStates++
		return
	}
	ls := l.leases.at(slot)
	if ev.Time < ls.changed {
		return
	}
	l.uncount(ls)
	ls.state, ls.changed = ev.Lease.State, ev.Time
	if ls.state != event.StateTimeWait {
		ls.substate, ls.expires = event.SubstateUnknown, 0
	}
	l.count(ls)
	if local := endpointOf(ev.Lease.Local); local.valid && local != ls.local {
		l.movePort(ls, local)
	}
	// A state event with a local address carries both ends, and a socket that
	// is bound and nothing else has no far end.
	if ev.Lease.Local.Addr().IsValid() || ev.Lease.State == event.StateBound {
		ls.remote = endpointOf(ev.Lease.Remote)
	}
}

// timeWait books that the socket is gone and its port waits. The event carries
// the whole lease, so one that was not known is known from here on.
func (l *Ledger) timeWait(ev *event.Event) {
	whole := ev.Lease
	whole.State = event.StateTimeWait
	if slot, ok := l.index[whole.ID]; ok {
		l.revise(slot, &whole, ev.Time)
		return
	}
	if acc, ok := l.accountOf(&whole); ok {
		l.insert(acc, &whole, ev.Time)
	}
}

// release ends a lease. It is the socket's last word: no time is compared.
func (l *Ledger) release(id event.LeaseID, cause event.Cause) {
	l.bury(id)
	slot, ok := l.index[id]
	if !ok {
		l.counters.UnknownReleases++
		return
	}
	l.remove(slot, cause)
}

func (l *Ledger) accountOf(el *event.Lease) (uint32, bool) {
	return l.accountFor(party{owner: &el.Owner, netns: el.NetNS, protocol: el.Protocol, family: el.Family})
}

// insert keeps a new lease, if there is room, and reports whether it did.
func (l *Ledger) insert(acc uint32, el *event.Lease, at event.Time) bool {
	if len(l.index) >= l.opts.MaxLeases {
		l.counters.LeasesRefused++
		l.complete, l.resync.disturbed = false, true
		return false
	}
	slot := l.leases.put()
	l.index[el.ID] = slot
	ls := l.leases.at(slot)
	ls.fill(el)
	ls.id, ls.changed, ls.account, ls.live = el.ID, at, acc, true
	ls.confidence = el.Owner.Confidence
	l.accounts.at(acc).leases++
	l.count(ls)
	l.takePort(ls)
	return true
}

// revise makes a known lease what el says, unless something newer is known.
func (l *Ledger) revise(slot uint32, el *event.Lease, at event.Time) bool {
	ls := l.leases.at(slot)
	if at < ls.changed {
		return false
	}
	acc := l.betterAccount(ls, el)
	l.uncount(ls)
	moved := acc != ls.account || !ls.local.valid || ls.local.port != el.Local.Port()
	if moved {
		l.givePort(ls)
	}
	l.accounts.at(ls.account).leases--
	ls.fill(el)
	ls.account, ls.changed = acc, at
	l.accounts.at(acc).leases++
	if moved {
		l.takePort(ls)
	}
	l.count(ls)
	return true
}

// betterAccount is the account that the lease belongs to now that el was told:
// el's owner counts if it is at least as well known as the one before.
func (l *Ledger) betterAccount(ls *lease, el *event.Lease) uint32 {
	if el.Owner.Confidence < ls.confidence {
		return ls.account
	}
	ls.confidence = el.Owner.Confidence
	a := l.accounts.at(ls.account)
	same := a.protocol == el.Protocol && a.family == el.Family && l.namespaces.at(a.namespace).inode == el.NetNS
	if same && l.owners.at(a.owner).info.ID == el.Owner.ID() {
		return ls.account
	}
	if acc, ok := l.accountOf(el); ok {
		return acc
	}
	return ls.account
}

func (l *Ledger) remove(slot uint32, cause event.Cause) {
	ls := l.leases.at(slot)
	l.uncount(ls)
	l.givePort(ls)
	a := l.accounts.at(ls.account)
	a.leases--
	a.used = l.now
	l.counters.Releases[causeIndex(cause)]++
	delete(l.index, ls.id)
	l.leases.drop(slot)
}

// count books the lease's state with its account.
func (l *Ledger) count(ls *lease) {
	a := l.accounts.at(ls.account)
	a.states[stateIndex(ls.state)]++
	if a.anonymous && ls.state == event.StateTimeWait {
		l.unknown.add(ls.expires)
	}
}

func (l *Ledger) uncount(ls *lease) {
	a := l.accounts.at(ls.account)
	a.states[stateIndex(ls.state)]--
	if a.anonymous && ls.state == event.StateTimeWait {
		l.unknown.remove(ls.expires)
	}
}
