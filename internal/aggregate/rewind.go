package aggregate

import "github.com/portwatch/portwatch/internal/event"

// cameBack is who had ports of a pool at a moment that have come back since: a
// refusal is told some milliseconds after it was. ports counts those that are free
// now. Who was given one of connect()'s meanwhile has one less than now.
func (l *Ledger) cameBack(i uint32, at event.Time) (rows []PoolOwner, ports, waiting int) {
	p := l.pools.at(i)
	byOwner := map[uint32]portCounts{}
	count := func(ls *lease, held, waits int) {
		owner := l.accounts.at(ls.account).owner
		had := byOwner[owner]
		byOwner[owner] = portCounts{had.held + held, had.waiting + waits}
	}
	l.leftPool(p, at, func(ls *lease, key bucketKey) bool {
		heir, taken := l.takenNow(p, key)
		switch {
		case !taken:
			ports++
		case heir == nil || heir.id.Born <= at:
			return false
		default:
			count(heir, -1, 0)
		}
		if ls.state == event.StateTimeWait && ls.changed <= at {
			waiting++
			count(ls, 0, 1)
		} else {
			count(ls, 1, 0)
		}
		return true
	})
	for owner, had := range byOwner {
		rows = append(rows, PoolOwner{Owner: l.publish(owner), Ports: had.held + had.waiting, TimeWait: had.waiting})
	}
	return rows, ports, waiting
}

// leftPool yields the leases that took ports of the pool at a moment and have ended
// since, until one of each port counts.
func (l *Ledger) leftPool(p *pool, at event.Time, counts func(*lease, bucketKey) bool) {
	sp := l.pools.spans.at(p.span)
	seen := map[uint16]bool{}
	for n := range l.departed.ring {
		d := &l.departed.ring[n]
		port := d.lease.local.port
		if seen[port] || d.bucket != bucketKeyOf(sp.namespace, protocolOf(p.request), port) || !d.existed(at, l.now) {
			continue
		}
		if sp.holds(port) && l.wasInPool(p, &d.lease) {
			seen[port] = counts(&d.lease, d.bucket)
		}
	}
}

// wasInPool reports whether a lease that has ended took a port of the pool.
func (l *Ledger) wasInPool(p *pool, ls *lease) bool {
	if p.request == RequestConnect {
		return l.inPool(p, ls)
	}
	seat := seatOf(ls, l.accounts.at(ls.account))
	return seat.blocks(&p.place)
}

// takenNow reports whether a port counts as taken in the pool, or is none of its
// ports; by is the lease that has one of connect()'s.
func (l *Ledger) takenNow(p *pool, key bucketKey) (by *lease, taken bool) {
	i, known := l.buckets.byKey[key]
	if !known {
		return nil, false
	}
	b := l.buckets.at(i)
	if p.request != RequestConnect {
		return nil, l.standingOf(b, p, 0) != portFree
	}
	if b.poisoned {
		return nil, true
	}
	for next := b.oldest; next != 0; {
		ls := l.leases.at(next - 1)
		if l.inPool(p, ls) {
			return ls, true
		}
		next = ls.newer
	}
	return nil, false
}

// joined adds up what the owners have in both.
func joined(rows, more []PoolOwner) []PoolOwner {
	place := make(map[event.OwnerID]int, len(rows))
	for i := range rows {
		place[rows[i].Owner.ID] = i
	}
	for _, o := range more {
		if i, known := place[o.Owner.ID]; known {
			rows[i].Ports += o.Ports
			rows[i].TimeWait += o.TimeWait
		} else {
			rows = append(rows, o)
		}
	}
	return rows
}
