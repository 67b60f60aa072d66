package aggregate

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// sightEvery spaces the looks at who holds what is refused, per pool and per
// remembered failure: a program may ask a million times a second.
const sightEvery = event.Time(time.Second)

// Sight is who held what was asked for, at a moment at which it was refused.
type Sight struct {
	At event.Time
	// Complete is false if not all sockets were known by then: who is not among
	// the holders may hold the rest.
	Complete bool
	// Pool is that that had no headroom; nil if a port was asked for.
	Pool *PoolKey
	// Of the pool, at that moment. Poisoned means nothing unless PoisonKnown.
	Capacity, Poisoned, InUse, TimeWait, Headroom int
	PoisonKnown                                   bool
	// Holders are ranked: the first eight, and the rest as one.
	Holders []Holder
	// Poisoners are those because of whom connect() skips ports of the pool,
	// ranked in the same way.
	Poisoners []Holder
}

// HeldBy reports whether one of the holders, or of the poisoners, is wanted; those
// that stand for several owners are not asked. False without a sight.
func (s *Sight) HeldBy(wanted func(*OwnerInfo) bool) bool {
	if s == nil {
		return false
	}
	for _, all := range [][]Holder{s.Holders, s.Poisoners} {
		for i := range all {
			if all[i].Owner != nil && wanted(all[i].Owner) {
				return true
			}
		}
	}
	return false
}

// look remembers who holds what a failure of the log was about. home is the
// pool that had no headroom, plus one.
func (l *Ledger) look(i, home uint32, f *event.Failure) {
	entry := l.failures.at(i)
	if entry.sight != nil && l.now < entry.sight.At+sightEvery {
		return
	}
	switch {
	case f.Folded:
	case home != 0:
		entry.sight = l.sightOfPool(home-1, f.Last)
	case f.Reason == event.ReasonPortHeld || f.Reason == event.ReasonTupleTaken:
		entry.sight = l.sightOfPort(f)
	}
}

// sightOfPool is shared by all failures of a second in the pool; nil while its
// range is not known. What had ended by the time that the refusal at the moment was
// told is counted as it was then.
func (l *Ledger) sightOfPool(i uint32, at event.Time) *Sight {
	p := l.pools.at(i)
	sp := l.pools.spans.at(p.span)
	if p.course == nil || sp.effective.IsZero() {
		return nil
	}
	if last := p.course.sight; last != nil && l.now < last.At+sightEvery {
		return last
	}
	key := l.keyOfPool(p)
	back, ports, waiting := l.cameBack(i, at)
	s := &Sight{
		At: l.now, Complete: l.complete, Pool: &key, Capacity: int(p.open(sp)),
		InUse: int(p.counts.inUse) + ports, TimeWait: int(p.counts.timeWait) + waiting,
		Headroom: max(0, int(p.open(sp)-p.taken())-ports), Holders: l.holdersOfPool(i, back),
		PoisonKnown: l.start.Poison != event.PoisonUnknown,
	}
	if p.request == RequestConnect {
		s.Poisoned, s.Poisoners = int(sp.lost), l.poisonersIn(sp)
	}
	p.course.sight = s
	l.settle(p)
	l.lookAtPeak(i)
	return s
}

// sightOfPort looks at one port; without holders if nobody is known to have it.
func (l *Ledger) sightOfPort(f *event.Failure) *Sight {
	s := &Sight{At: l.now, Complete: l.complete, Holders: []Holder{}}
	ns, known := l.namespaces.byInode[f.NetNS]
	if !known || !f.Local.IsValid() {
		return s
	}
	remote := endpointOf(f.Remote)
	want := placeOf(endpointOf(f.Local), f.Family, f.Device, false)
	asker := f.Owner.ID()
	at := f.Last
	if at == 0 {
		at = l.now
	}
	s.Holders = l.holdersOfPort(bucketKeyOf(ns, f.Protocol, f.Local.Port()), &want, at, func(ls *lease) bool {
		switch {
		case f.Reason == event.ReasonTupleTaken:
			return ls.remote == remote
		case f.Operation == event.OperationListen && ls.state == event.StateBound:
			// The socket that was to listen has the port itself.
			return l.owners.at(l.accounts.at(ls.account).owner).info.ID != asker
		}
		return true
	})
	return s
}

// current is the sight with what is known of its owners by now.
func (l *Ledger) current(s *Sight) *Sight {
	if s == nil {
		return nil
	}
	now := *s
	now.Holders, now.Poisoners = l.renamed(s.Holders), l.renamed(s.Poisoners)
	return &now
}

func (l *Ledger) renamed(holders []Holder) []Holder {
	if holders == nil {
		return nil
	}
	named := make([]Holder, len(holders))
	for i, h := range holders {
		named[i] = h
		if h.Owner == nil {
			continue
		}
		if owner, known := l.owners.byID[h.Owner.ID]; known {
			named[i].Owner = l.publish(owner)
		}
	}
	return named
}
