package aggregate

import "github.com/portwatch/portwatch/internal/event"

// stake is the part of an account in a pool.
type stake struct {
	key          stakeKey
	next, before uint32 // of the same pool, plus one
	inUse        int32
	waiting      int32
	allocations  uint64
	refusals     uint64
	asking
	live bool
}

// asking is how an account has asked a pool for ports over time.
type asking struct {
	since    event.Time // when it was first seen there
	fell     event.Time // when a live lease of it last ended; 0 for never
	risen    uint32     // allocations since then
	second   uint32     // of the newest request
	inSecond uint32     // requests within that second
	peak     uint32     // the most within a second
}

// ask counts requests within their second. One that comes a little late counts
// for the newest.
func (a *asking) ask(t event.Time, n uint64) {
	if s := second(t); s > a.second {
		a.second, a.inSecond = s, 0
	}
	a.inSecond += uint32(n)
	a.peak = max(a.peak, a.inSecond)
}

func (a *asking) allocation(t event.Time) {
	a.risen++
	a.ask(t, 1)
}

// fall books that a live lease of a pool's owner has ended.
func (l *Ledger) fall(ls *lease) {
	if ls.home == 0 {
		return
	}
	if i, ok := l.pools.byStake[stakeKeyOf(ls.home-1, ls.account)]; ok {
		s := l.pools.stakes.at(i)
		s.fell, s.risen = l.now, 0
	}
}

// stakeKey packs pool (high half) and account.
type stakeKey uint64

func stakeKeyOf(pool, account uint32) stakeKey { return stakeKey(uint64(pool)<<32 | uint64(account)) }

func (k stakeKey) pool() uint32    { return uint32(k >> 32) }
func (k stakeKey) account() uint32 { return uint32(k) }

func (s *stake) add(sh shade, by int32) {
	s.inUse += by
	if sh.waiting {
		s.waiting += by
	}
}

// stakeOf finds or opens the stake of a lease's owner in a pool.
func (l *Ledger) stakeOf(pool uint32, ls *lease) *stake { return l.stakeFor(pool, ls.account) }

func (l *Ledger) stakeFor(pool, account uint32) *stake {
	key := stakeKeyOf(pool, account)
	if i, ok := l.pools.byStake[key]; ok {
		return l.pools.stakes.at(i)
	}
	if l.pools.stakes.len() >= l.opts.MaxLeases {
		l.forgetStakes()
	}
	i := l.pools.stakes.put()
	p := l.pools.at(pool)
	s := l.pools.stakes.at(i)
	*s = stake{key: key, next: p.stakes, asking: asking{since: l.now}, live: true}
	if p.stakes != 0 {
		l.pools.stakes.at(p.stakes - 1).before = i + 1
	}
	p.stakes = i + 1
	l.pools.byStake[key] = i
	l.accounts.at(account).stakes++
	return s
}

// forgetStakes forgets the stakes that hold nothing, before their time; at most
// once per second of event time. Those that hold something are bounded by the
// leases.
func (l *Ledger) forgetStakes() {
	if l.pools.forgot != 0 && second(l.pools.forgot) == second(l.now) {
		return
	}
	l.pools.forgot = l.now
	before := l.pools.stakes.len()
	l.sweepStakes(func(event.Time) bool { return true })
	l.counters.StakesForgotten += uint64(before - l.pools.stakes.len())
}

func (l *Ledger) dropStake(i uint32) {
	s := l.pools.stakes.at(i)
	if s.before != 0 {
		l.pools.stakes.at(s.before - 1).next = s.next
	} else {
		l.pools.at(s.key.pool()).stakes = s.next
	}
	if s.next != 0 {
		l.pools.stakes.at(s.next - 1).before = s.before
	}
	l.accounts.at(s.key.account()).stakes--
	delete(l.pools.byStake, s.key)
	l.pools.stakes.drop(i)
}

// clearStakes empties what the pool's owners hold, before it is counted anew.
func (l *Ledger) clearStakes(p *pool) {
	for next := p.stakes; next != 0; {
		s := l.pools.stakes.at(next - 1)
		s.inUse, s.waiting = 0, 0
		next = s.next
	}
}
