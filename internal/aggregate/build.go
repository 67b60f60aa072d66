package aggregate

import (
	"cmp"
	"slices"

	"github.com/portwatch/portwatch/internal/event"
)

// cached is the last snapshot, with what must not have changed for its slices
// to be true still.
type cached struct {
	snapshot *Snapshot
	version  uint64
}

// Snapshot is the picture at a moment of the boot clock; one before the newest
// event means the newest event. While nothing happens it shares the slices of
// the snapshot before, and costs next to nothing.
func (l *Ledger) Snapshot(at event.Time) *Snapshot {
	at = max(at, l.now)
	last := l.cache.snapshot
	if last != nil && l.cache.version == l.version && (last.At == at || l.settled(last)) {
		if last.At == at {
			return last
		}
		next := *last
		next.Meta = l.meta(at)
		next.Worst = last.Worst
		l.cache.snapshot = &next
		return &next
	}
	s := &Snapshot{Meta: l.meta(at)}
	s.Holdings = l.holdings(at)
	s.Owners = foldOwners(s.Holdings)
	s.Namespaces = l.namespaceRows(at)
	s.Failures, s.Refusals = l.failureRows(), l.counters.Failures
	s.Pools = l.poolRows(at)
	s.Worst = worstOf(s.Pools)
	l.cache = cached{snapshot: s, version: l.version}
	return s
}

// settled reports whether no recent count of the snapshot can change by the
// mere passing of time.
func (l *Ledger) settled(s *Snapshot) bool {
	return slotOf(l.active)+ringSlots <= slotOf(s.At)
}

func (l *Ledger) meta(at event.Time) Meta {
	m := Meta{
		At: at, From: l.from, Clock: l.clock, Start: l.start, Window: window(l.from, at),
		Complete: l.complete, Losses: slices.Clone(l.losses), Counters: l.counters,
		Leases: len(l.index), Refused: l.refused, UnattributedWaits: l.unknown.leases,
	}
	m.RecentEvents, _ = l.events.sum(at)
	m.AttributionAt, _ = l.lastUnknownExpiry()
	if i, ok := l.owners.byID[event.OwnerID{}]; ok {
		m.Unattributed = l.leasesOf(i)
	}
	return m
}

func (l *Ledger) leasesOf(owner uint32) int {
	total := 0
	for i := range l.accounts.next {
		if a := l.accounts.at(i); a.owner == owner {
			total += int(a.leases)
		}
	}
	return total
}

func (l *Ledger) usage(a *account, at event.Time) Usage {
	u := Usage{States: a.states, Allocations: a.allocations, Failures: a.refusals}
	u.RecentAllocations, u.RecentFailures = a.rate.sum(at)
	u.Second, u.Minute = a.rate.lastSecond(l.from, at), a.rate.lastMinute(l.from, at)
	return u
}

func (l *Ledger) holdings(at event.Time) []Holding {
	rows := make([]Holding, 0, l.accounts.len())
	for i := range l.accounts.next {
		a := l.accounts.at(i)
		if !a.live {
			continue
		}
		ns := l.namespaces.at(a.namespace)
		rows = append(rows, Holding{
			Usage: l.usage(a, at), Owner: l.publish(a.owner),
			NetNS: ns.inode, NetNSName: ns.name, Protocol: a.protocol, Family: a.family,
		})
	}
	// Two namespaces, one of them gone, may have had the same inode: the sort
	// must be stable to be total.
	slices.SortStableFunc(rows, func(a, b Holding) int {
		return cmp.Or(
			compareOwners(a.Owner.ID, b.Owner.ID), cmp.Compare(a.NetNS, b.NetNS),
			cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Family, b.Family))
	})
	return rows
}

// publish lends the owner's info to a snapshot: from now on it is copied
// before it is written.
func (l *Ledger) publish(i uint32) *OwnerInfo {
	o := l.owners.at(i)
	o.shared = true
	return o.info
}

func (l *Ledger) namespaceRows(at event.Time) []Namespace {
	rows := make([]Namespace, l.namespaces.next)
	for i := range l.namespaces.next {
		rows[i] = namespaceRow(l.namespaces.at(i))
	}
	for i := range l.accounts.next {
		a := l.accounts.at(i)
		if !a.live {
			continue
		}
		use := &rows[a.namespace].TCP
		if a.protocol == event.UDP {
			use = &rows[a.namespace].UDP
		}
		u := l.usage(a, at)
		use.add(&u)
	}
	kept := rows[:0]
	for i, row := range rows {
		if known, ok := l.namespaces.byInode[row.NetNS]; ok && int(known) == i {
			kept = append(kept, row)
		}
	}
	slices.SortFunc(kept, compareNamespaces)
	return kept
}

func namespaceRow(ns *namespace) Namespace {
	row := Namespace{
		NetNS: ns.inode, Cookie: ns.cookie, Name: ns.name,
		Poisoned: ns.poisoned, Accepted: ns.accepted[0], AcceptedWaits: ns.accepted[1],
		Bind0Attempts: ns.bind0,
	}
	row.TCP.DistinctPorts, row.TCP.InRange = ns.tcp.distinct, -1
	row.UDP.DistinctPorts, row.UDP.InRange = ns.udp.distinct, -1
	if ns.limited {
		limits := ns.limits
		row.Limits = &limits
		row.TCP.InRange, row.UDP.InRange = ns.tcp.inRange, ns.udp.inRange
		row.TCP.Taken, row.UDP.Taken = ns.tcp.taken, ns.udp.taken
	}
	return row
}

func (l *Ledger) failureRows() []Failure {
	rows := make([]Failure, 0, l.failures.len())
	for next := l.failures.newest; next != 0; {
		f := l.failures.at(next - 1)
		a := l.accounts.at(f.key.account)
		ns := l.namespaces.at(a.namespace)
		rows = append(rows, Failure{
			Operation: f.key.operation, Errno: f.key.errno, Reason: f.key.reason,
			NetNS: ns.inode, NetNSName: ns.name, Device: f.key.device,
			Protocol: a.protocol, Family: a.family, Range: f.key.rng,
			Local: f.key.local.addrPort(a.family), Remote: f.key.remote.addrPort(a.family),
			Owner: l.publish(a.owner), Count: f.count, First: f.first, Last: f.last, Folded: f.key.folded,
			Sight: l.current(f.sight),
		})
		next = f.older
	}
	// The log is in the order of arrival, which between sockets may differ
	// from time by a millisecond.
	slices.SortStableFunc(rows, func(a, b Failure) int { return cmp.Compare(b.Last, a.Last) })
	return rows
}
