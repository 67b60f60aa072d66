package aggregate

import (
	"cmp"
	"slices"

	"github.com/portwatch/portwatch/internal/event"
)

const (
	// blamedPools is how many pools are looked into, the tightest first.
	blamedPools = 8
	// blamedShare is the part of a pool from which on its owner is a culprit,
	// unless nobody has so much: then the largest is.
	blamedShare = 0.1
	// blamedOwners is how many culprits a pool has at most.
	blamedOwners = 5
	// blamedPorts is how many held ports that were asked for are looked into.
	blamedPorts = 4
)

// Blame is who holds the ports, who was refused, and what helps.
type Blame struct {
	*Snapshot
	// Allocations and Attempts are those of all that was watched.
	Allocations, Attempts uint64
	// Peak is the tightest pool at its worst moment; nil without a pool.
	Peak     *Peak
	Culprits []Culprit // of the tightest pool first
	Victims  []Victim  // who wanted ports of a pool first, then by the first refusal
	// Refused are the failures that are spoken of, newest first.
	Refused []Failure
	// Tight are the pools that were looked into.
	Tight []Pool
}

// Culprit is an owner who holds ports that others want.
type Culprit struct {
	// Pool is nil where somebody asked for a port by its number: then Holder
	// says which, and NetNSName in which namespace; "" if it has no name.
	Pool      *Pool
	NetNSName string
	Holder
	Poisoned              int // ports that connect() skips because of the owner
	Allocations, Attempts uint64
	Since                 event.Time // when the owner was first seen in the pool
	Diagnoses             []Diagnosis
	Evidence              []Fact
	// Remedies of the pool, which need no particular owner, stand with its
	// first culprit.
	Remedies []Remedy
}

// Victim is an owner who was refused.
type Victim struct {
	Owner *OwnerInfo
	// Pool is nil for what was refused not for want of ports.
	Pool        *PoolKey
	Failures    uint64
	Errnos      []ErrnoCount // by number; unknown ones as 0
	First, Last event.Time
}

// ErrnoCount is how often an error was returned.
type ErrnoCount struct {
	Errno event.Errno
	Count uint64
}

// Blame says who holds the ports. The selection chooses what is shown, by
// failures and pools; whoever is shown, the holders and numbers are those of all.
func (l *Ledger) Blame(at event.Time, sel Selection) *Blame {
	s := l.Snapshot(at)
	b := &Blame{Snapshot: s, Refused: s.Failures}
	if sel.Failure != nil {
		b.Refused = filter(s.Failures, sel.Failure)
	}
	for i := range s.Namespaces {
		n := &s.Namespaces[i]
		b.Allocations += n.TCP.Allocations + n.UDP.Allocations
		b.Attempts += n.TCP.Allocations + n.UDP.Allocations + n.TCP.Failures.Exhaustion() + n.UDP.Failures.Exhaustion()
	}
	b.Tight = tightest(s.Pools, sel.Pool, b.Refused)
	for i := range b.Tight {
		b.Culprits = append(b.Culprits, l.culpritsOf(&b.Tight[i], s.At)...)
	}
	b.Culprits = append(b.Culprits, l.culpritsOfPorts(b.Refused)...)
	b.Victims = victims(b.Refused)
	if len(b.Tight) > 0 {
		b.Peak = l.peakOf(&b.Tight[0], s.At)
	}
	return b
}

// poisonedMuch is the part of a range that is poisoned from which on a pool is
// looked into though it is not tight: its capacity has shrunk.
const poisonedMuch = 0.1

// tightest are the pools that are looked into: those of the refusals, those past
// a warning, and of each namespace one of which much is poisoned; if there are
// none, the tightest of all that have ports in use.
func tightest(pools []Pool, chosen func(*Pool) bool, refused []Failure) []Pool {
	asked := poolsOf(refused)
	shrunk := map[uint32]bool{} // namespaces of which such a pool is among the tight
	mine := func(p *Pool) bool { return chosen == nil || chosen(p) }
	var tight []Pool
	for i := range pools {
		p := &pools[i]
		urgent := p.urgent() || p.shrunk() && !shrunk[p.NetNS]
		if asked[unnamed(&p.PoolKey)] || urgent && mine(p) {
			tight = append(tight, *p)
			shrunk[p.NetNS] = shrunk[p.NetNS] || p.shrunk()
		}
	}
	if len(tight) == 0 {
		return calmest(pools, mine)
	}
	return tight[:min(len(tight), blamedPools)]
}

// calmest is the tightest pool that has ports in use, where none is tight.
func calmest(pools []Pool, mine func(*Pool) bool) []Pool {
	for i := range pools {
		if p := &pools[i]; mine(p) && (p.InUse > 0 || p.Poisoned > 0) {
			return []Pool{*p}
		}
	}
	return nil
}

// Shown is the snapshot with what is spoken of only.
func (b *Blame) Shown() *Snapshot {
	shown := *b.Snapshot
	shown.Pools = b.Tight
	shown.refuse(b.Refused)
	return &shown
}

// poolsOf are the pools in which something was refused.
func poolsOf(refused []Failure) map[PoolKey]bool {
	asked := map[PoolKey]bool{}
	for i := range refused {
		if s := refused[i].Sight; s != nil && s.Pool != nil {
			asked[unnamed(s.Pool)] = true
		}
	}
	return asked
}

func (p *Pool) urgent() bool {
	level := p.Level()
	return level == "critical" || level == "warning"
}

// shrunk reports whether much of the pool's range is poisoned.
func (p *Pool) shrunk() bool {
	return p.Poisoned > 0 && float64(p.Poisoned) >= poisonedMuch*float64(p.Capacity+p.Poisoned)
}

// unnamed is the key without what may be learned later.
func unnamed(k *PoolKey) PoolKey {
	bare := *k
	bare.NetNSName, bare.NetNSCookie, bare.Range = "", 0, event.PortRange{}
	if k.Own {
		bare.Range = k.Range
	}
	return bare
}

func (l *Ledger) peakOf(p *Pool, at event.Time) *Peak {
	if peak := l.pools.at(p.number).course.peak; peak != nil && peak.Pool.UsedHigh >= p.UsedHigh {
		return peak
	}
	return &Peak{At: at, Pool: *p}
}

// culpritsOf are the owners of the largest parts of a pool.
func (l *Ledger) culpritsOf(p *Pool, at event.Time) []Culprit {
	b := l.benchOf(p.number, at)
	whole := float64(p.InUse + p.Poisoned)
	var all []Culprit
	for _, pt := range b.ranked() {
		part := float64(pt.ports + pt.poisoned)
		if part == 0 || len(all) == blamedOwners || len(all) > 0 && part < blamedShare*whole {
			break
		}
		remedies := b.remediesOf(pt)
		if len(all) == 0 {
			remedies = append(remedies, b.poolRemedies()...)
		}
		all = append(all, Culprit{
			Pool: p, Holder: Holder{Owner: pt.owner, Ports: pt.ports, TimeWait: pt.waiting, Of: p.InUse}, Poisoned: pt.poisoned,
			Allocations: pt.allocations, Attempts: pt.allocations + pt.refusals, Since: pt.since,
			Diagnoses: pt.diagnose(at), Evidence: pt.evidence(at), Remedies: b.ordered(remedies),
		})
	}
	return all
}

// culpritsOfPorts are those who have ports that were asked for by number.
func (l *Ledger) culpritsOfPorts(refused []Failure) []Culprit {
	var all []Culprit
	seen := map[event.LeaseID]bool{}
	for i := range refused {
		f := &refused[i]
		if f.Sight == nil || f.Sight.Pool != nil || len(f.Sight.Holders) == 0 {
			continue
		}
		h := f.Sight.Holders[0]
		if h.Lease == nil || seen[h.Lease.ID] || h.Owner.ID == f.Owner.ID {
			continue // nobody stands in his own way for others to mend
		}
		seen[h.Lease.ID] = true
		all = append(all, Culprit{NetNSName: f.NetNSName, Holder: h, Since: h.Lease.ID.Born, Diagnoses: []Diagnosis{}, Remedies: l.portRemedies(f, &h)})
		if len(all) == blamedPorts {
			break
		}
	}
	return all
}

// portRemedies give a port back to who wants it.
func (l *Ledger) portRemedies(f *Failure, h *Holder) []Remedy {
	var all []Remedy
	if ns, known := l.namespaces.byInode[f.NetNS]; known {
		n := l.namespaces.at(ns)
		if port := f.Local.Port(); n.limited && n.inRange(port) && h.Lease.Origin != event.OriginBind {
			all = append(all, Remedy{
				ID: ReservePort, Helps: []Request{}, Ports: 1, Needs: []Needs{{PortNotNeededNow, NotKnown}},
				Settings: []Setting{reserving(&n.limits, []uint16{port})},
			})
		}
	}
	switch left, waits := h.Left(l.now); {
	case waits:
		all = append(all, Remedy{ID: Wait, Helps: []Request{}, In: left, Ports: 1})
	case h.Owner.ID.Kind == event.OwnerProcess && !h.Owner.Exited:
		in := afterwards
		if !h.Lease.Remote.IsValid() {
			in = 0
		}
		all = append(all, Remedy{ID: StopProcess, Helps: []Request{}, In: in, Ports: 1})
	}
	slices.SortStableFunc(all, compareRemedies)
	return all
}

// victims adds the failures up by owner and pool.
func victims(refused []Failure) []Victim {
	type key struct {
		owner event.OwnerID
		pool  PoolKey
	}
	place := map[key]int{}
	var all []Victim
	for i := range refused {
		f := &refused[i]
		k := key{owner: f.Owner.ID}
		var pool *PoolKey
		if f.Sight != nil && f.Sight.Pool != nil {
			pool, k.pool = f.Sight.Pool, unnamed(f.Sight.Pool)
		}
		at, known := place[k]
		if !known {
			at = len(all)
			place[k] = at
			all = append(all, Victim{Owner: f.Owner, Pool: pool, First: f.First})
		}
		all[at].add(f)
	}
	slices.SortStableFunc(all, func(a, b Victim) int {
		return cmp.Or(compareBool(a.Pool == nil, b.Pool == nil), cmp.Compare(a.First, b.First), compareOwners(a.Owner.ID, b.Owner.ID))
	})
	return all
}

func (v *Victim) add(f *Failure) {
	v.Failures += f.Count
	v.First, v.Last = min(v.First, f.First), max(v.Last, f.Last)
	i, known := slices.BinarySearchFunc(v.Errnos, f.Errno, func(e ErrnoCount, want event.Errno) int { return cmp.Compare(e.Errno, want) })
	if !known {
		v.Errnos = slices.Insert(v.Errnos, i, ErrnoCount{Errno: f.Errno})
	}
	v.Errnos[i].Count += f.Count
}
