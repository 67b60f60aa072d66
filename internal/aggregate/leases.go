package aggregate

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

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
	if l.insert(acc, &ev.Lease, ev.Time) {
		ls := l.leases.at(l.index[ev.Lease.ID])
		ls.witnessed = true
		l.drew(ls, ev)
	}
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
	ls.changed = ev.Time
	to := condition{state: ev.Lease.State}
	if to.state == event.StateTimeWait {
		to = ls.condition
	}
	at := ls.position
	if local := endpointOf(ev.Lease.Local); local.valid {
		at.local = local
	}
	// A state event with a local address carries both ends, and a socket that
	// is bound and nothing else has no far end.
	if ev.Lease.Local.Addr().IsValid() || to.state == event.StateBound {
		at.remote = endpointOf(ev.Lease.Remote)
	}
	// An IPv6 socket may turn to IPv4, and back.
	acc := l.accountOfFamily(ls.account, ev.Lease.Family)
	if at == ls.position && acc == ls.account {
		l.restate(slot, to)
	} else {
		l.move(slot, at, to, acc)
	}
}

// timeWait books that the socket is gone and its port waits. The event carries
// the whole lease, so one that was not known is known from here on.
func (l *Ledger) timeWait(ev *event.Event) {
	whole := ev.Lease
	whole.State = event.StateTimeWait
	if slot, ok := l.index[whole.ID]; ok {
		l.endLife(l.leases.at(slot), ev.Time, true)
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
	ls.position, ls.condition = positionOf(el), conditionOf(el)
	ls.id, ls.changed, ls.account, ls.live = el.ID, at, acc, true
	ls.confidence, ls.cgroup = el.Owner.Confidence, el.Owner.CgroupID
	l.accounts.at(acc).leases++
	l.count(ls)
	l.join(slot)
	return true
}

// revise makes a known lease what el says, unless something newer is known; then
// only an owner who is known better counts.
func (l *Ledger) revise(slot uint32, el *event.Lease, at event.Time) bool {
	ls := l.leases.at(slot)
	if at < ls.changed && el.Owner.Confidence <= ls.confidence {
		return false
	}
	acc := l.betterAccount(ls, el)
	if at < ls.changed {
		l.move(slot, ls.position, ls.condition, acc)
		return false
	}
	ls.changed = at
	where, how := positionOf(el), conditionOf(el)
	if acc == ls.account && where == ls.position {
		l.restate(slot, how)
	} else {
		l.move(slot, where, how, acc)
	}
	return true
}

// move books a lease anew, elsewhere. Its port stays in use meanwhile: a bound
// port that an older kernel would only forget when it is empty must not be
// forgotten here.
func (l *Ledger) move(slot uint32, where position, how condition, acc uint32) {
	ls := l.leases.at(slot)
	held := ls.seat
	if held != 0 {
		held = l.buckets.seats.at(held-1).bucket + 1
		l.buckets.at(held-1).pins++
	}
	l.uncount(ls)
	if ls.state != event.StateTimeWait && how.state == event.StateTimeWait {
		l.fall(ls)
	}
	l.part(slot)
	l.accounts.at(ls.account).leases--
	l.accounts.at(acc).leases++
	ls.position, ls.condition, ls.account = where, how, acc
	l.count(ls)
	l.join(slot)
	if held != 0 {
		b := l.buckets.at(held - 1)
		b.pins--
		l.settlePoison(b)
		l.leaveBucket(held - 1)
	}
}

// betterAccount is the account that the lease belongs to now that el was told:
// el's owner counts if it is at least as well known as the one before.
func (l *Ledger) betterAccount(ls *lease, el *event.Lease) uint32 {
	if el.Owner.Confidence < ls.confidence {
		return ls.account
	}
	ls.confidence, ls.cgroup = el.Owner.Confidence, el.Owner.CgroupID
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
	l.depart(ls)
	l.endHold(ls, cause)
	if ls.state != event.StateTimeWait {
		l.fall(ls)
	}
	l.uncount(ls)
	l.part(slot)
	l.leaveHome(ls)
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

// endLife books that a lease's socket is gone, with the pool that it drew from.
// Ours says that its port goes on in TIME_WAIT: we closed first.
func (l *Ledger) endLife(ls *lease, at event.Time, ours bool) {
	if !ls.witnessed || ls.home == 0 || ls.state == event.StateTimeWait {
		return
	}
	p := l.pools.at(ls.home - 1)
	if p.course == nil {
		return
	}
	p.course.life.add(time.Duration(at - min(at, ls.id.Born)))
	if p.request == RequestConnect && ls.state != event.StateSynSent {
		p.course.endings.add(ours)
	}
}

// endHold books that a lease is over, unless nobody saw when.
func (l *Ledger) endHold(ls *lease, cause event.Cause) {
	if cause == event.CauseLost || cause == event.CauseNetNS || !ls.witnessed || ls.home == 0 {
		return
	}
	l.endLife(ls, l.now, false)
	if c := l.pools.at(ls.home - 1).course; c != nil {
		c.hold.add(time.Duration(l.now - min(l.now, ls.id.Born)))
	}
}
