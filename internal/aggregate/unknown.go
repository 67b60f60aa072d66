package aggregate

import "github.com/portwatch/portwatch/internal/event"

// unknownTimeWait follows the TIME_WAITs without an owner: those of before the
// start, whose end completes attribution. The latest expiry is kept and
// recomputed only when the lease that had it is gone.
type unknownTimeWait struct {
	leases  int
	undated int // of those, without a known expiry
	latest  event.Time
	stale   bool // latest may be too late
}

func (u *unknownTimeWait) add(expires event.Time) {
	u.leases++
	if expires == 0 {
		u.undated++
		return
	}
	u.latest = max(u.latest, expires)
}

func (u *unknownTimeWait) remove(expires event.Time) {
	u.leases--
	switch expires {
	case 0:
		u.undated--
	case u.latest:
		u.stale = true
	}
	if u.leases == 0 {
		u.latest, u.stale = 0, false
	}
}

// lastUnknownExpiry is when the last TIME_WAIT without an owner gives its port
// back, and false if there is none or one of them has no known expiry.
func (l *Ledger) lastUnknownExpiry() (event.Time, bool) {
	u := &l.unknown
	if u.leases == 0 || u.undated > 0 {
		return 0, false
	}
	if u.stale {
		u.latest, u.stale = l.latestUnknownExpiry(), false
	}
	return u.latest, true
}

func (l *Ledger) latestUnknownExpiry() event.Time {
	latest := event.Time(0)
	for i := range l.leases.next {
		ls := l.leases.at(i)
		if ls.live && ls.state == event.StateTimeWait && l.accounts.at(ls.account).anonymous {
			latest = max(latest, ls.expires)
		}
	}
	return latest
}
