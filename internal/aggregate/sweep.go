package aggregate

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// sweep forgets accounts, owners and ended namespaces that nothing points at
// and that were quiet for at least keep.
func (l *Ledger) sweep(keep time.Duration) {
	l.swept = l.now
	l.version++ // a cached snapshot may name who is forgotten now
	quiet := func(used event.Time) bool { return used+event.Time(keep) <= l.now }
	l.sweepPools()
	l.sweepStakes(quiet)
	l.sweepAccounts(quiet)
	for i := range l.owners.next {
		o := l.owners.at(i)
		if o.info != nil && o.accounts == 0 && quiet(o.used) {
			delete(l.owners.byID, o.info.ID)
			l.owners.drop(i)
		}
	}
	for i := range l.namespaces.next {
		if ns := l.namespaces.at(i); ns.gone && ns.accounts == 0 {
			l.namespaces.drop(i)
		}
	}
}

// sweepAccounts closes accounts before their owners are looked at: an owner
// with an account stays.
func (l *Ledger) sweepAccounts(quiet func(event.Time) bool) {
	for i := range l.accounts.next {
		a := l.accounts.at(i)
		if a.live && a.leases == 0 && a.remembered == 0 && a.stakes == 0 && quiet(a.used) {
			l.closeAccount(i)
		}
	}
}

// sweepPools closes the pools that nobody has drawn from for as long as their
// history goes back.
func (l *Ledger) sweepPools() {
	for i := range l.pools.next {
		p := l.pools.at(i)
		if !p.live || p.leases > 0 || p.used+event.Time(Retention) > l.now {
			continue
		}
		if p.flow == 0 || l.pools.flows.at(p.flow-1).leases == 0 {
			l.closePool(i)
		}
	}
}

// sweepStakes forgets parts of pools that nobody holds any more.
func (l *Ledger) sweepStakes(quiet func(event.Time) bool) {
	for i := range l.pools.stakes.next {
		s := l.pools.stakes.at(i)
		if s.live && s.inUse == 0 && quiet(l.accounts.at(s.key.account()).used) {
			l.dropStake(i)
		}
	}
}
