package aggregate

import (
	"cmp"

	"github.com/portwatch/portwatch/internal/event"
)

// failureKey tells failures apart: alike ones add up.
type failureKey struct {
	account   uint32
	device    uint32
	local     endpoint
	remote    endpoint
	rng       event.PortRange
	errno     event.Errno
	operation event.Operation
	reason    event.Reason
	folded    bool
}

// failure is an entry of the log, a list by age.
type failure struct {
	key          failureKey
	count        uint64
	first, last  event.Time
	newer, older uint32 // numbers in the slab plus one; 0 ends the list
	sight        *Sight // who held what was asked for; nil if that is not known
}

// failureLog remembers the newest failures.
type failureLog struct {
	slab[failure]
	byKey          map[failureKey]uint32
	newest, oldest uint32 // as failure.newer
}

func (f *failureLog) init() { f.byKey = make(map[failureKey]uint32) }

func (l *Ledger) fail(ev *event.Event) {
	f := ev.Failure
	if f == nil {
		return
	}
	l.counters.Failures[reasonIndex(f.Reason)] += f.Count
	l.active = l.now
	if f.Reason.Exhaustion() {
		l.refused = l.now
	}
	acc, ok := l.accountFor(party{owner: &f.Owner, netns: f.NetNS, protocol: f.Protocol, family: f.Family})
	if !ok {
		return
	}
	a := l.accounts.at(acc)
	a.refusals[reasonIndex(f.Reason)] += f.Count
	a.used = l.now
	a.rate.failure(ev.Time, f.Count)
	home := l.refuse(acc, ev)
	l.look(l.remember(acc, ev.Time, f), home, f)
}

// remember adds the failure to the log as its newest entry, and returns its
// number.
func (l *Ledger) remember(acc uint32, at event.Time, f *event.Failure) uint32 {
	key := failureKey{
		account: acc, device: f.Device, local: endpointOf(f.Local), remote: endpointOf(f.Remote),
		rng: f.Range, errno: f.Errno, operation: f.Operation, reason: f.Reason, folded: f.Folded,
	}
	first, last := cmp.Or(f.First, at), cmp.Or(f.Last, at)
	i, known := l.failures.byKey[key]
	if known {
		l.failures.unlink(i)
	} else {
		l.makeRoomForFailure()
		i = l.failures.put()
		*l.failures.at(i) = failure{key: key, first: first}
		l.failures.byKey[key] = i
		l.accounts.at(acc).remembered++
	}
	entry := l.failures.at(i)
	entry.count += f.Count
	entry.first, entry.last = min(entry.first, first), max(entry.last, last)
	l.failures.link(i)
	return i
}

func (l *Ledger) makeRoomForFailure() {
	if l.failures.len() < l.opts.MaxFailures {
		return
	}
	i := l.failures.oldest - 1
	key := l.failures.at(i).key
	l.failures.unlink(i)
	delete(l.failures.byKey, key)
	l.accounts.at(key.account).remembered--
	l.failures.drop(i)
	l.counters.FailuresForgotten++
}

// link puts entry i in front.
func (f *failureLog) link(i uint32) {
	entry := f.at(i)
	entry.newer, entry.older = 0, f.newest
	if f.newest != 0 {
		f.at(f.newest - 1).newer = i + 1
	} else {
		f.oldest = i + 1
	}
	f.newest = i + 1
}

func (f *failureLog) unlink(i uint32) {
	entry := f.at(i)
	if entry.newer != 0 {
		f.at(entry.newer - 1).older = entry.older
	} else {
		f.newest = entry.older
	}
	if entry.older != 0 {
		f.at(entry.older - 1).newer = entry.newer
	} else {
		f.oldest = entry.newer
	}
}
