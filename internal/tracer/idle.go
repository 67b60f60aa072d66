package tracer

import (
	"time"
	"unsafe"

	"github.com/portwatch/portwatch/internal/event"
)

// idleWatch tells which connections carry no data, and which do again. The walker
// owns it: what each look finds is compared with what was told.
type idleWatch struct {
	tick tick
	// found is since when the sockets of this look are idle, by cookie.
	found map[uint64]event.Time
	told  map[event.LeaseID]event.Time
	next  map[event.LeaseID]event.Time // becomes told
}

// idleJitter is how far a moment may lie from the one that was told without being
// news: it is measured in jiffies from now back.
const idleJitter = event.Time(time.Second)

func newIdleWatch(t tick) *idleWatch {
	return &idleWatch{tick: t, found: map[uint64]event.Time{}, told: map[event.LeaseID]event.Time{}, next: map[event.LeaseID]event.Time{}}
}

// lookForIdle reads the sockets of the namespace that the thread is in. Without the
// length of a jiffy nothing can be said, and nothing is.
func (w *walker) lookForIdle() error {
	if w.idle.tick == 0 {
		return nil
	}
	now := bootNow()
	return readRows(w.probes.walks.idle, int(unsafe.Sizeof(bpfPwIdle{})), func(raw []byte) {
		if row, ok := copyRecord[bpfPwIdle](raw); ok {
			w.idle.found[row.Cookie] = now - event.Time(int64(row.Jiffies)*w.idle.tick.jiffyNanos())
		}
	})
}

// judge tells of a lease if what was told of it is no longer so. Nothing is known
// of a namespace that the walk did not get through.
func (i *idleWatch) judge(lease *bpfPwLease, walked bool, tell func(event.Event)) {
	id := event.LeaseID{Cookie: lease.Cookie, Born: event.Time(lease.Born)}
	since, idle := i.found[lease.Cookie]
	was, told := i.told[id]
	switch {
	case !idle && !told:
		return
	case !walked, idle && told && since <= was+idleJitter:
		i.keep(id, was)
		return
	}
	i.keep(id, since)
	tell(event.Event{
		Kind: event.KindIdle, Time: bootNow(), IdleSince: since,
		Lease: event.Lease{ID: id, NetNS: lease.Netns, State: event.State(lease.Word.State)},
	})
}

// keep remembers what was told.
func (i *idleWatch) keep(id event.LeaseID, since event.Time) {
	if since != 0 {
		i.next[id] = since
	}
}

// end closes a look, and says so if it was one at everything.
func (i *idleWatch) end(everything bool, tell func(event.Event)) {
	i.told, i.next = i.next, i.told
	clear(i.next)
	clear(i.found)
	if everything && i.tick != 0 {
		tell(event.Event{Kind: event.KindIdle, Time: bootNow()})
	}
}
