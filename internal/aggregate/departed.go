package aggregate

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// A refusal is told some milliseconds after it was: who held the port may have
// given it back meanwhile, and somebody else may have it.
const (
	// departedCount is how many leases are remembered after their end.
	departedCount = 1024
	// departedFor is how long they are: refusals that are only counted are told
	// once a second.
	departedFor = event.Time(2 * time.Second)
)

// departure is a lease that ended a moment ago.
type departure struct {
	bucket bucketKey
	lease  lease
	ended  event.Time
}

// departures are the last ones, in a ring. What it has forgotten is answered with
// "not known".
type departures struct {
	ring [departedCount]departure
	next int
}

// depart remembers a lease that ends now.
func (l *Ledger) depart(ls *lease) {
	a := l.accounts.at(ls.account)
	l.departed.ring[l.departed.next] = departure{bucketKeyOf(a.namespace, a.protocol, ls.local.port), *ls, l.now}
	l.departed.next = (l.departed.next + 1) % departedCount
}

// existed reports whether the lease did at a moment, not long before now.
func (d *departure) existed(at, now event.Time) bool {
	return d.lease.id.Born <= at && at < d.ended && d.ended+departedFor >= now
}

// heldUntil yields the leases on a port that existed at a moment and have ended
// since.
func (l *Ledger) heldUntil(key bucketKey, at event.Time, yield func(*lease)) {
	for i := range l.departed.ring {
		d := &l.departed.ring[i]
		if d.bucket == key && d.existed(at, l.now) {
			yield(&d.lease)
		}
	}
}
