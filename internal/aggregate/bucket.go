package aggregate

import "github.com/portwatch/portwatch/internal/event"

// bucket is a local port of one namespace and protocol on which something is,
// as the kernel's inet_bind_bucket. TCP ports of several VRFs share one: which
// device belongs to which VRF is not known.
type bucket struct {
	namespace uint32
	protocol  event.Protocol
	poisoned  bool // connect() skips the port, whatever the destination
	port      uint16
	leases    uint32
	binders   uint32 // of the leases, and groups of accepted sockets
	pins      uint32 // keeps the bucket as it is while a lease on it is booked anew
	seats     uint32 // the first seat plus one
	oldest    uint32 // ends of the list of leases: slot plus one
	newest    uint32
}

// bucketKey packs namespace (32 bits), protocol (8) and port (16).
type bucketKey uint64

func bucketKeyOf(ns uint32, p event.Protocol, port uint16) bucketKey {
	return bucketKey(uint64(ns)<<32 | uint64(p)<<16 | uint64(port))
}

type bucketTable struct {
	slab[bucket]
	seats slab[seat]
	byKey map[bucketKey]uint32
}

func (t *bucketTable) init() { t.byKey = make(map[bucketKey]uint32) }

// bucketFor finds or opens the bucket of a port.
func (l *Ledger) bucketFor(ns uint32, p event.Protocol, port uint16) uint32 {
	key := bucketKeyOf(ns, p, port)
	if i, ok := l.buckets.byKey[key]; ok {
		return i
	}
	i := l.buckets.put()
	*l.buckets.at(i) = bucket{namespace: ns, protocol: p, port: port}
	l.buckets.byKey[key] = i
	l.namespaces.at(ns).countTaken(p, port, 1)
	return i
}

// leaveBucket closes the bucket if nothing is on the port any more.
func (l *Ledger) leaveBucket(i uint32) {
	b := l.buckets.at(i)
	if b.seats == 0 && b.pins == 0 {
		delete(l.buckets.byKey, bucketKeyOf(b.namespace, b.protocol, b.port))
		l.namespaces.at(b.namespace).countTaken(b.protocol, b.port, -1)
		l.buckets.drop(i)
	}
}

// takePort books the lease with its port.
func (l *Ledger) takePort(slot uint32) {
	ls := l.leases.at(slot)
	if !ls.local.valid {
		return
	}
	a := l.accounts.at(ls.account)
	i := l.bucketFor(a.namespace, a.protocol, ls.local.port)
	b := l.buckets.at(i)
	ls.seat = l.seatFor(i, seatOf(ls, a)) + 1
	l.occupy(ls.seat-1, 1, waits(ls))
	b.link(l, slot)
	b.leases++
	if b.leases == 1 {
		l.namespaces.at(b.namespace).countPort(b.protocol, b.port, 1)
	}
	if ls.binder = l.binds(ls); ls.binder {
		b.binders++
	}
	l.settlePoison(b)
}

// givePort takes the lease off its port.
func (l *Ledger) givePort(slot uint32) {
	ls := l.leases.at(slot)
	if ls.seat == 0 {
		return
	}
	i := l.buckets.seats.at(ls.seat - 1).bucket
	b := l.buckets.at(i)
	l.occupy(ls.seat-1, -1, -waits(ls))
	l.leaveSeat(ls.seat - 1)
	ls.seat = 0
	b.unlink(l, ls)
	b.leases--
	if b.leases == 0 {
		l.namespaces.at(b.namespace).countPort(b.protocol, b.port, -1)
	}
	if ls.binder {
		b.binders--
	}
	l.settlePoison(b)
	l.leaveBucket(i)
}

// bucketOf is the bucket of a lease that has a port.
func (l *Ledger) bucketOf(ls *lease) *bucket {
	return l.buckets.at(l.buckets.seats.at(ls.seat - 1).bucket)
}

// link puts the lease at the end of the port's list: the oldest comes first.
func (b *bucket) link(l *Ledger, slot uint32) {
	ls := l.leases.at(slot)
	ls.older, ls.newer = b.newest, 0
	if b.newest != 0 {
		l.leases.at(b.newest - 1).newer = slot + 1
	} else {
		b.oldest = slot + 1
	}
	b.newest = slot + 1
}

func (b *bucket) unlink(l *Ledger, ls *lease) {
	if ls.newer != 0 {
		l.leases.at(ls.newer - 1).older = ls.older
	} else {
		b.newest = ls.older
	}
	if ls.older != 0 {
		l.leases.at(ls.older - 1).newer = ls.newer
	} else {
		b.oldest = ls.newer
	}
	ls.older, ls.newer = 0, 0
}

// binds reports whether the lease makes its port useless to connect(): it was
// not connect() that chose it. Where nobody knows who did, a connection counts
// as connect()'s, so that headroom is an upper bound there.
func (l *Ledger) binds(ls *lease) bool {
	if l.accounts.at(ls.account).protocol != event.TCP || ls.origin == event.OriginConnect {
		return false
	}
	return l.start.Poison != event.PoisonUnknown || ls.origin != event.OriginUnknown || !ls.remote.valid
}

// settlePoison follows the kernel's rule for the port: from the first bind on,
// connect() skips it until no binder is left, or on older kernels until nothing
// at all is.
func (l *Ledger) settlePoison(b *bucket) {
	lost := b.binders > 0
	if l.start.Poison == event.PoisonUntilEmpty {
		lost = lost || b.poisoned && b.seats != 0
	}
	if lost == b.poisoned || b.pins != 0 {
		return
	}
	if lost {
		l.weighPort(b, -1)
		b.poisoned = true
		l.poison(b, 1)
		return
	}
	b.poisoned = false
	l.poison(b, -1)
	l.weighPort(b, 1)
}

// weighPort counts the port's tuples in their pools, or no longer.
func (l *Ledger) weighPort(b *bucket, by int32) {
	for next := b.oldest; next != 0; {
		ls := l.leases.at(next - 1)
		l.weigh(ls, shadeOf(ls), by)
		next = ls.newer
	}
}
