package aggregate

import (
	"cmp"

	"github.com/portwatch/portwatch/internal/event"
)

func (l *Ledger) stakeRows(p *pool) []PoolOwner {
	n := 0
	for next := p.stakes; next != 0; next = l.pools.stakes.at(next - 1).next {
		n++
	}
	rows := make([]PoolOwner, 0, n)
	for next := p.stakes; next != 0; {
		s := l.pools.stakes.at(next - 1)
		rows = append(rows, PoolOwner{
			Owner: l.publish(l.accounts.at(s.key.account()).owner), Ports: int(s.inUse), TimeWait: int(s.waiting),
			Allocations: s.allocations, Refusals: s.refusals,
		})
		next = s.next
	}
	return rows
}

// withStakes adds to the holders of ports what they, and others, have asked of
// the pool.
func (l *Ledger) withStakes(p *pool, rows []PoolOwner) []PoolOwner {
	place := make(map[event.OwnerID]int, len(rows))
	for i := range rows {
		place[rows[i].Owner.ID] = i
	}
	for _, asked := range l.stakeRows(p) {
		i, holds := place[asked.Owner.ID]
		if !holds {
			rows = append(rows, asked)
			continue
		}
		rows[i].Allocations, rows[i].Refusals = asked.Allocations, asked.Refusals
	}
	return rows
}

// portCounts are an owner's ports of a pool of bind(0) or UDP.
type portCounts struct{ held, waiting int }

// portHolders finds who has the ports in use of each pool of bind(0) and UDP.
// Of several on one port the one that has it longest counts: a port is taken
// once.
func (l *Ledger) portHolders() map[uint32][]PoolOwner {
	counts := map[uint32][]portCounts{} // by pool, and owner plus one
	for i := range l.buckets.next {
		b := l.buckets.at(i)
		if b.port == 0 {
			continue
		}
		for next := *l.namespaces.at(b.namespace).bindPools(b.protocol); next != 0; {
			p := l.pools.at(next - 1)
			if p.course != nil && l.pools.spans.at(p.span).holds(b.port) {
				l.countHolder(b, next-1, counts)
			}
			next = p.next
		}
	}
	held := make(map[uint32][]PoolOwner, len(counts))
	for pool, byOwner := range counts {
		held[pool] = l.poolOwners(byOwner)
	}
	return held
}

// portHoldersOf finds the same of one pool.
func (l *Ledger) portHoldersOf(pool uint32) []PoolOwner {
	p := l.pools.at(pool)
	sp := l.pools.spans.at(p.span)
	counts := map[uint32][]portCounts{}
	for b := range l.bucketsOf(sp.namespace, protocolOf(p.request)) {
		if sp.holds(b.port) {
			l.countHolder(b, pool, counts)
		}
	}
	return l.poolOwners(counts[pool])
}

func (l *Ledger) poolOwners(byOwner []portCounts) []PoolOwner {
	var rows []PoolOwner
	for owner, n := range byOwner {
		if ports := n.held + n.waiting; ports > 0 {
			rows = append(rows, PoolOwner{Owner: l.publishOrUnknown(uint32(owner) - 1), Ports: ports, TimeWait: n.waiting})
		}
	}
	return rows
}

// protocolOf is the transport protocol of a request.
func protocolOf(r Request) event.Protocol {
	if r == RequestUDP {
		return event.UDP
	}
	return event.TCP
}

func (l *Ledger) countHolder(b *bucket, pool uint32, counts map[uint32][]portCounts) {
	stands := l.standingOf(b, l.pools.at(pool), 0)
	if stands == portFree {
		return
	}
	byOwner := counts[pool]
	if byOwner == nil {
		byOwner = make([]portCounts, l.owners.next+1)
		counts[pool] = byOwner
	}
	n := &byOwner[l.holderOf(b, pool)+1] // nobody is the first
	if stands == portWaiting {
		n.waiting++
	} else {
		n.held++
	}
}

// nobody stands for the owner of accepted sockets whose listener is gone.
const nobody = ^uint32(0)

// holderOf is the owner of the oldest lease on the port that the pool's request
// meets.
func (l *Ledger) holderOf(b *bucket, pool uint32) uint32 {
	p := l.pools.at(pool)
	for next := b.oldest; next != 0; {
		ls := l.leases.at(next - 1)
		if l.buckets.seats.at(ls.seat - 1).blocks(&p.place) {
			return l.accounts.at(ls.account).owner
		}
		next = ls.newer
	}
	if unknown, ok := l.owners.byID[event.OwnerID{}]; ok {
		return unknown
	}
	return nobody
}

func (l *Ledger) publishOrUnknown(owner uint32) *OwnerInfo {
	if owner == nobody {
		return &OwnerInfo{}
	}
	return l.publish(owner)
}

func comparePoolOwners(a, b PoolOwner) int {
	return cmp.Or(
		cmp.Compare(b.Ports, a.Ports), cmp.Compare(b.Refusals, a.Refusals),
		cmp.Compare(b.Allocations, a.Allocations), compareOwners(a.Owner.ID, b.Owner.ID))
}
