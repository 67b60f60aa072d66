package aggregate

import (
	"cmp"
	"slices"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// part is an owner's part of a pool, found by looking at every lease: only for
// the pools that somebody asks about.
type part struct {
	owner *OwnerInfo
	asking
	allocations, refusals uint64

	ports    int        // of the pool's in use
	waiting  int        // of those, in TIME_WAIT
	reusable int        // of those, what connect() may take over now
	seasoned int        // of those in TIME_WAIT, what it may take over once tcp_tw_reuse and its delay permit
	live     int        // the others
	deserted int        // of the live ones, in CLOSE_WAIT: the peer has closed
	single   int        // of the live ones, bound or listening: nothing waits after them
	idle     int        // of the live ones, without data for event.IdleAfter
	looked   event.Time // when that was looked at; 0 if never
	lives    []time.Duration

	poisoned int // ports of the range that connect() skips because of the owner
	alone    int // of those, what comes back once the owner has closed everything
	loosed   int // of those, what IP_BIND_ADDRESS_NO_PORT would give back to the pool
	crowding int // of the leases behind those, what would count in the pool then
	early    int // ports taken with bind(0) by sockets that then connected
	fixed    []uint16
	tuples   map[flowKey]int // the connections of those, by where from and to
}

// parts is what the leases say about a pool.
type parts struct {
	pool    *pool
	span    *span
	byOwner map[uint32]*part
	back    int // ports that come back within a minute if nobody asks
}

// partsOf looks at all leases that keep a port from the pool's request.
func (l *Ledger) partsOf(i uint32, at event.Time) *parts {
	p := l.pools.at(i)
	ps := &parts{pool: p, span: l.pools.spans.at(p.span), byOwner: map[uint32]*part{}}
	for next := p.stakes; next != 0; {
		s := l.pools.stakes.at(next - 1)
		ps.of(l, l.accounts.at(s.key.account()).owner).join(s)
		next = s.next
	}
	for b := range l.bucketsOf(ps.span.namespace, protocolOf(p.request)) {
		switch {
		case !ps.span.holds(b.port):
		case p.request != RequestConnect:
			l.countPort(ps, b, i, at)
		case b.poisoned:
			l.countPoisoned(ps, b)
		default:
			l.countTuples(ps, b, at)
		}
	}
	return ps
}

func (ps *parts) of(l *Ledger, owner uint32) *part {
	if known := ps.byOwner[owner]; known != nil {
		return known
	}
	pt := &part{owner: l.publishOrUnknown(owner), looked: l.idleSeen}
	ps.byOwner[owner] = pt
	return pt
}

// join adds what was asked; an owner has an account for each family.
func (pt *part) join(s *stake) {
	if pt.since == 0 || s.since < pt.since {
		pt.since = s.since
	}
	pt.fell, pt.risen = max(pt.fell, s.fell), pt.risen+s.risen
	pt.peak = max(pt.peak, s.peak)
	pt.allocations += s.allocations
	pt.refusals += s.refusals
}

// countTuples counts the pool's tuples on a port.
func (l *Ledger) countTuples(ps *parts, b *bucket, at event.Time) {
	for next := b.oldest; next != 0; {
		ls := l.leases.at(next - 1)
		next = ls.newer
		if ls.flow != ps.pool.flow || !ps.pool.collides(ls.device) {
			continue
		}
		ps.of(l, l.accounts.at(ls.account).owner).count(ls)
		if ls.state == event.StateTimeWait && !ls.ripe && soonOver(ls, at) {
			ps.back++
		}
	}
}

// soonOver reports whether a TIME_WAIT ends within a minute.
func soonOver(ls *lease, at event.Time) bool {
	return ls.expires != 0 && ls.expires <= at+event.Time(time.Minute)
}

// count adds a lease that takes a port of the pool.
func (pt *part) count(ls *lease) {
	pt.ports++
	if ls.state != event.StateTimeWait {
		pt.live++
		if ls.idle != 0 {
			pt.idle++
		}
		switch ls.state {
		case event.StateCloseWait:
			pt.deserted++
		case event.StateBound, event.StateListen:
			pt.single++
		}
		return
	}
	pt.waiting++
	if ls.ripe {
		pt.reusable++
	}
	if ls.substate == event.SubstateTimeWait && ls.entered != 0 {
		pt.seasoned++
	}
	if ls.witnessed && ls.changed > ls.id.Born {
		pt.lives = append(pt.lives, time.Duration(ls.changed-ls.id.Born))
	}
}

// countPort counts a port of a pool of bind(0) or UDP, for the owner of the
// oldest lease that is in the way.
func (l *Ledger) countPort(ps *parts, b *bucket, pool uint32, at event.Time) {
	stands := l.standingOf(b, ps.pool, 0)
	if stands == portFree {
		return
	}
	pt := ps.of(l, l.holderOf(b, pool))
	before := pt.ports
	returns := stands == portWaiting
	for next := b.oldest; next != 0; {
		ls := l.leases.at(next - 1)
		next = ls.newer
		if !l.buckets.seats.at(ls.seat - 1).blocks(&ps.pool.place) {
			continue
		}
		if pt.ports == before { // the oldest stands for the port
			pt.count(ls)
			pt.mark(ls)
		}
		returns = returns && soonOver(ls, at)
	}
	if pt.ports == before { // accepted sockets only
		pt.ports++
		pt.live++
		returns = false
	}
	if returns && l.acceptedOn(b, &ps.pool.place) == nil {
		ps.back++
	}
}

// mark notes by which request a lease took a port that lies in the range.
func (pt *part) mark(ls *lease) {
	switch {
	case ls.origin == event.OriginBind0 && ls.remote.valid:
		pt.early++
		if pt.tuples == nil {
			pt.tuples = map[flowKey]int{}
		}
		pt.tuples[flowKey{port: ls.remote.port, local: ls.local.addr, remote: ls.remote.addr}]++
	case ls.origin == event.OriginBind && (len(pt.fixed) == 0 || pt.fixed[len(pt.fixed)-1] != ls.local.port):
		pt.fixed = append(pt.fixed, ls.local.port)
	}
}

// countPoisoned counts a port that connect() skips for the owner of the oldest
// lease that binds it.
func (l *Ledger) countPoisoned(ps *parts, b *bucket) {
	pt := ps.of(l, l.poisonerIndex(b))
	pt.poisoned++
	tuples := 0
	for next := b.oldest; next != 0; {
		ls := l.leases.at(next - 1)
		next = ls.newer
		if ls.binder {
			ps.of(l, l.accounts.at(ls.account).owner).mark(ls)
			if ls.remote.valid && l.inPool(ps.pool, ls) {
				tuples++
			}
		}
	}
	if l.clearedBy(b, pt.owner.ID, func(*lease) bool { return true }) {
		pt.alone++
	}
	if l.clearedBy(b, pt.owner.ID, boundEarly) {
		pt.loosed++
		pt.crowding += tuples
	}
}

// boundEarly reports whether a lease was taken with bind(0) by a socket that then
// connected.
func boundEarly(ls *lease) bool { return ls.origin == event.OriginBind0 && ls.remote.valid }

// clearedBy reports whether the port would not be poisoned without the leases of
// one owner that are given up.
func (l *Ledger) clearedBy(b *bucket, owner event.OwnerID, given func(*lease) bool) bool {
	binders := uint32(0)
	for next := b.oldest; next != 0; {
		ls := l.leases.at(next - 1)
		next = ls.newer
		gone := l.owners.at(l.accounts.at(ls.account).owner).info.ID == owner && given(ls)
		if !gone && (ls.binder || l.start.Poison == event.PoisonUntilEmpty) {
			return false
		}
		if ls.binder {
			binders++
		}
	}
	return binders > 0 && binders == b.binders
}

// inPool reports whether the lease's tuple is one of the pool's.
func (l *Ledger) inPool(p *pool, ls *lease) bool {
	key := &l.pools.flows.at(p.flow - 1).key
	return key.port == ls.remote.port && key.remote == ls.remote.addr && key.local == ls.local.addr && p.collides(ls.device)
}

// ranked are the parts, the largest first.
func (ps *parts) ranked() []*part {
	var all []*part
	for _, pt := range ps.byOwner {
		all = append(all, pt)
	}
	slices.SortFunc(all, func(a, b *part) int {
		return cmp.Or(cmp.Compare(b.ports+b.poisoned, a.ports+a.poisoned), cmp.Compare(b.refusals, a.refusals),
			compareOwners(a.owner.ID, b.owner.ID))
	})
	return all
}

// lifeP50 is the median life of the sockets whose ports wait, and false if none
// was seen from its beginning.
func (pt *part) lifeP50() (time.Duration, bool) {
	if len(pt.lives) == 0 {
		return 0, false
	}
	slices.Sort(pt.lives)
	return pt.lives[(len(pt.lives)-1)/2], true
}
