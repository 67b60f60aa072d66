package aggregate

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// shownHolders is how many holders are remembered with a refusal, one by one.
const shownHolders = 8

// Holder is somebody who holds ports of a pool, or a port that was asked for.
type Holder struct {
	// Owner is nil where the entry stands for the rest of several.
	Owner *OwnerInfo
	// Rest is how many entries it stands for, if Owner is nil; else 0.
	Rest     int
	Ports    int // leases and accepted sockets, if a port was asked for
	TimeWait int // of those
	Of       int // what its share is of: the pool's ports in use, or all who have the port
	// Lease is the only one that the entry stands for; nil if there are more.
	Lease *event.Lease
	// Accepted says that it stands for sockets that were accepted on the port.
	Accepted bool
}

// Share is the holder's part of all, and false if there is nothing to share.
func (h *Holder) Share() (float64, bool) {
	if h.Of <= 0 {
		return 0, false
	}
	return float64(h.Ports) / float64(h.Of), true
}

// foldHolders keeps the largest, and makes one entry of the rest.
func foldHolders(all []Holder) []Holder {
	slices.SortStableFunc(all, compareHolders)
	if len(all) <= shownHolders {
		return all
	}
	rest := Holder{Rest: len(all) - shownHolders, Of: all[0].Of}
	for _, h := range all[shownHolders:] {
		rest.Ports += h.Ports
		rest.TimeWait += h.TimeWait
	}
	return append(all[:shownHolders:shownHolders], rest)
}

// compareHolders puts first who has most; of single leases that which listens,
// then those that live, and the one that has waited longest last.
func compareHolders(a, b Holder) int {
	return cmp.Or(
		cmp.Compare(b.Ports, a.Ports), cmp.Compare(rankOf(a.Lease), rankOf(b.Lease)),
		compareOwners(a.Owner.ID, b.Owner.ID), cmp.Compare(bornOf(a.Lease), bornOf(b.Lease)))
}

func rankOf(el *event.Lease) int {
	switch {
	case el == nil || el.State == event.StateListen:
		return 0
	case el.State == event.StateTimeWait:
		return 2
	}
	return 1
}

func bornOf(el *event.Lease) event.Time {
	if el == nil {
		return 0
	}
	return el.ID.Born
}

// holdersOfPool are the owners of the pool's ports in use, and of those that have
// come back since.
func (l *Ledger) holdersOfPool(i uint32, back []PoolOwner) []Holder {
	rows := joined(l.portHoldersIn(i), back)
	of := 0
	for i := range rows {
		of += rows[i].Ports
	}
	all := make([]Holder, 0, len(rows))
	for _, o := range rows {
		if o.Ports > 0 {
			all = append(all, Holder{Owner: o.Owner, Ports: o.Ports, TimeWait: o.TimeWait, Of: of})
		}
	}
	return foldHolders(all)
}

func (l *Ledger) portHoldersIn(i uint32) []PoolOwner {
	if p := l.pools.at(i); p.request == RequestConnect {
		return l.stakeRows(p)
	}
	return l.portHoldersOf(i)
}

// holdersOfPort are those who kept a port from a request at an address at a
// moment: each lease by itself if there are few, else by owner.
func (l *Ledger) holdersOfPort(key bucketKey, want *place, at event.Time, wanted func(*lease) bool) []Holder {
	var single []*lease
	owners := map[uint32]Holder{}
	of := 0
	add := func(ls *lease) {
		if of++; of <= shownHolders {
			single = append(single, ls)
		}
		owner := l.accounts.at(ls.account).owner
		h := owners[owner]
		h.Ports, h.TimeWait = h.Ports+1, h.TimeWait+int(waits(ls))
		owners[owner] = h
	}
	var all []Holder
	if i, known := l.buckets.byKey[key]; known {
		b := l.buckets.at(i)
		for next := b.oldest; next != 0; {
			ls := l.leases.at(next - 1)
			next = ls.newer
			if ls.id.Born <= at && l.buckets.seats.at(ls.seat-1).blocks(want) && wanted(ls) {
				add(ls)
			}
		}
		all = l.acceptedOn(b, want)
	}
	l.heldUntil(key, at, func(ls *lease) {
		if p := seatOf(ls, l.accounts.at(ls.account)); p.blocks(want) && wanted(ls) {
			add(ls)
		}
	})
	if of <= shownHolders {
		for _, ls := range single {
			el := l.leaseOf(ls)
			all = append(all, Holder{Owner: l.publish(l.accounts.at(ls.account).owner), Ports: 1, TimeWait: int(waits(ls)), Lease: &el})
		}
	} else {
		for owner, h := range owners {
			h.Owner = l.publish(owner)
			all = append(all, h)
		}
	}
	return foldHolders(shareOf(all))
}

// acceptedOn are the sockets that were accepted on a port, by device.
func (l *Ledger) acceptedOn(b *bucket, want *place) []Holder {
	var all []Holder
	for next := b.seats; next != 0; {
		s := l.buckets.seats.at(next - 1)
		if s.kind == seatAccepted && s.leases > 0 && s.blocks(want) {
			all = append(all, Holder{Owner: l.listenerOf(b), Ports: int(s.leases), TimeWait: int(s.waiting), Accepted: true})
		}
		next = s.next
	}
	return all
}

// shareOf sets what the holders' shares are of: all that they have together.
func shareOf(all []Holder) []Holder {
	of := 0
	for i := range all {
		of += all[i].Ports
	}
	for i := range all {
		all[i].Of = of
	}
	return all
}

// listenerOf is the owner of the lease that listens on the port; the unknown
// one if there is none, or more than one owner.
func (l *Ledger) listenerOf(b *bucket) *OwnerInfo {
	var found *OwnerInfo
	for next := b.oldest; next != 0; {
		ls := l.leases.at(next - 1)
		next = ls.newer
		if ls.state != event.StateListen {
			continue
		}
		info := l.publish(l.accounts.at(ls.account).owner)
		if found != nil && found.ID != info.ID {
			return &OwnerInfo{}
		}
		found = info
	}
	if found == nil {
		return &OwnerInfo{}
	}
	return found
}

// poisonersIn are the owners because of whom connect() skips ports of a span.
func (l *Ledger) poisonersIn(sp *span) []Holder {
	if sp.lost == 0 {
		return nil
	}
	ports := map[event.OwnerID]Holder{}
	for b := range l.bucketsOf(sp.namespace, event.TCP) {
		if b.poisoned && sp.holds(b.port) {
			owner := l.poisonerOf(b)
			ports[owner.ID] = Holder{Owner: owner, Ports: ports[owner.ID].Ports + 1}
		}
	}
	return foldHolders(shareOf(slices.Collect(maps.Values(ports))))
}

// poisonerOf is the owner of the oldest lease that binds the port; without one,
// accepted sockets do, or a lease that is gone did.
func (l *Ledger) poisonerOf(b *bucket) *OwnerInfo { return l.publishOrUnknown(l.poisonerIndex(b)) }

func (l *Ledger) poisonerIndex(b *bucket) uint32 {
	for next := b.oldest; next != 0; {
		ls := l.leases.at(next - 1)
		if ls.binder {
			return l.accounts.at(ls.account).owner
		}
		next = ls.newer
	}
	if unknown, known := l.owners.byID[event.OwnerID{}]; known {
		return unknown
	}
	return nobody
}

// Left is how long a single lease in TIME_WAIT keeps its port from a moment on;
// false if it does not wait, or that is not known.
func (h *Holder) Left(at event.Time) (time.Duration, bool) {
	if h.Lease == nil || h.Lease.Expires == 0 {
		return 0, false
	}
	return time.Duration(h.Lease.Expires - min(at, h.Lease.Expires)), true
}
