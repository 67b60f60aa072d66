package aggregate

import "github.com/portwatch/portwatch/internal/event"

// Request is what a pool's ports are asked for by.
type Request uint8

// The requests.
const (
	RequestConnect Request = iota + 1 // connect() on a TCP socket without a port
	RequestBind0                      // bind() to port 0, or listen(), of TCP
	RequestUDP                        // bind() to port 0, connect() or a send, of UDP
)

var requestWords = [...]string{RequestConnect: "connect", RequestBind0: "bind0", RequestUDP: "udp"}

// String is the request's word; "" for none.
func (r Request) String() string {
	if int(r) < len(requestWords) {
		return requestWords[r]
	}
	return ""
}

// pool is the ports that one kind of request draws from. A connect pool hangs
// on its flow, the others on their namespace.
type pool struct {
	place   // from where: a request's local address and device
	request Request
	live    bool // the slot is in use
	span    uint32
	flow    uint32 // plus one; connect pools only
	next    uint32 // of the same flow or namespace, plus one
	stakes  uint32 // the first, plus one
	leases  uint32 // that drew from here
	counts  poolCounts
	settled uint64 // the event up to which the lowest headroom is known
	used    event.Time
	course  *course // nil while the pool is too small to have one
}

// poolCounts are the sums over what is taken of a pool.
type poolCounts struct {
	inUse, timeWait, reusable, synSent int32
	// Of the ports that connect() prefers.
	preferred, preferredReusable int32
}

// shade is what of a lease's state its pool counts.
type shade struct{ waiting, reusable, synSent bool }

func shadeOf(ls *lease) shade {
	return shade{
		waiting: ls.state == event.StateTimeWait, reusable: ls.ripe, synSent: ls.state == event.StateSynSent,
	}
}

// waits is 1 for a lease in TIME_WAIT, else 0.
func waits(ls *lease) int32 {
	if ls.state == event.StateTimeWait {
		return 1
	}
	return 0
}

func (c *poolCounts) add(s shade, preferred bool, by int32) {
	c.inUse += by
	if preferred {
		c.preferred += by
	}
	if s.waiting {
		c.timeWait += by
	}
	if s.synSent {
		c.synSent += by
	}
	if s.reusable {
		c.reusable += by
		if preferred {
			c.preferredReusable += by
		}
	}
}

// stand counts a port of a pool of bind(0) or UDP.
func (c *poolCounts) stand(s standing, by int32) {
	if s != portFree {
		c.inUse += by
	}
	if s == portWaiting {
		c.timeWait += by
	}
}

// flow is a tuple but for its local port: what connect() compares.
type flow struct {
	key    flowKey
	pools  uint32 // the first, plus one
	leases uint32
}

type flowKey struct {
	namespace uint32
	port      uint16 // remote
	local     [16]byte
	remote    [16]byte
}

type poolTable struct {
	slab[pool]
	flows   slab[flow]
	byFlow  map[flowKey]uint32
	spans   slab[span]
	stakes  slab[stake]
	byStake map[stakeKey]uint32
	courses int
	slot    uint32     // of history, in which every course is
	retired event.Time // when courses were last taken back
	forgot  event.Time // when stakes were last forgotten before their time
	ripens  ripening
}

func (t *poolTable) init() {
	t.byFlow, t.byStake = make(map[flowKey]uint32), make(map[stakeKey]uint32)
}

// countable reports whether the lease's tuple counts in connect pools: connect()
// chose the port. Every other connection sits on a poisoned port.
func (l *Ledger) countable(ls *lease) bool {
	return !ls.binder && ls.remote.valid && ls.seat != 0 && l.accounts.at(ls.account).protocol == event.TCP
}

// weigh counts the lease's tuple in every pool that cannot give it again.
func (l *Ledger) weigh(ls *lease, s shade, by int32) {
	if ls.flow == 0 {
		return
	}
	port := ls.local.port
	for next := l.pools.flows.at(ls.flow - 1).pools; next != 0; {
		p := l.pools.at(next - 1)
		sp := l.pools.spans.at(p.span)
		if p.collides(ls.device) && sp.holds(port) {
			l.settle(p)
			p.counts.add(s, sp.prefers(port), by)
			l.stakeOf(next-1, ls).add(s, by)
		}
		next = p.next
	}
}

// collides reports whether the pool's sockets meet a tuple on the device: that
// of a socket which is bound to no device, or to theirs.
func (p *pool) collides(device uint32) bool { return device == 0 || device == p.device }

// taken is what is missing from the pool's ports.
func (p *pool) taken() int32 { return p.counts.inUse - p.counts.reusable }

// open is the number of ports that the pool's request could be given if nobody
// had any.
func (p *pool) open(sp *span) int32 {
	if p.request == RequestConnect {
		return sp.open()
	}
	return sp.ports
}

// unsettled marks a pool that is being counted anew: what its headroom is
// meanwhile means nothing.
const unsettled = ^uint64(0)

// settle notes how low the headroom has been since the pool last changed. It
// comes before each change.
func (l *Ledger) settle(p *pool) {
	if p.course == nil || p.settled == unsettled {
		return
	}
	sp := l.pools.spans.at(p.span)
	if !sp.effective.IsZero() {
		least := sp.ports
		if p.request == RequestConnect {
			least = sp.trough.since(p.settled)
		}
		p.course.current.note(least, p.taken())
	}
	p.settled = l.version
}

// openPool makes a pool, without its counts.
func (l *Ledger) openPool(span uint32, want pool) uint32 {
	i := l.pools.put()
	p := l.pools.at(i)
	*p = want
	p.live, p.span, p.settled, p.used = true, span, l.version, l.now
	l.pools.spans.at(span).pools++
	return i
}

// closePool forgets a pool that nobody draws from.
func (l *Ledger) closePool(i uint32) {
	p := l.pools.at(i)
	for p.stakes != 0 {
		l.dropStake(p.stakes - 1)
	}
	if p.course != nil {
		l.pools.courses--
	}
	link := l.poolsBeside(p)
	for *link != i+1 {
		link = &l.pools.at(*link - 1).next
	}
	*link = p.next
	l.leaveSpan(p.span)
	flow := p.flow
	l.pools.drop(i)
	if flow != 0 {
		l.leaveFlow(flow - 1)
	}
}

// poolsBeside is the head of the list that the pool is in.
func (l *Ledger) poolsBeside(p *pool) *uint32 {
	if p.flow != 0 {
		return &l.pools.flows.at(p.flow - 1).pools
	}
	return l.namespaces.at(l.pools.spans.at(p.span).namespace).bindPools(protocolOf(p.request))
}

func (l *Ledger) leaveSpan(i uint32) {
	s := l.pools.spans.at(i)
	s.pools--
	if s.pools > 0 {
		return
	}
	link := &l.namespaces.at(s.namespace).spans
	for *link != i+1 {
		link = &l.pools.spans.at(*link - 1).next
	}
	*link = s.next
	l.pools.spans.drop(i)
}

func (l *Ledger) leaveFlow(i uint32) {
	f := l.pools.flows.at(i)
	if f.pools == 0 && f.leases == 0 {
		delete(l.pools.byFlow, f.key)
		l.pools.flows.drop(i)
	}
}

// endPools closes everything that hangs on a namespace which has ended: its
// leases are gone, accepted sockets and pools may be left.
func (l *Ledger) endPools(ns uint32) {
	for i := range l.pools.next {
		if p := l.pools.at(i); p.live && l.pools.spans.at(p.span).namespace == ns {
			l.closePool(i)
		}
	}
	for b := range l.bucketsOf(ns, 0) {
		key := bucketKeyOf(b.namespace, b.protocol, b.port)
		for b.seats != 0 {
			i := b.seats - 1
			b.seats = l.buckets.seats.at(i).next
			l.buckets.seats.drop(i)
		}
		i := l.buckets.byKey[key]
		l.leaveBucket(i)
	}
}

// recount counts anew what depends on a namespace's limits.
func (l *Ledger) recount(ns uint32) {
	n := l.namespaces.at(ns)
	for i := range l.pools.next {
		if p := l.pools.at(i); p.live && l.pools.spans.at(p.span).namespace == ns {
			l.settle(p)
			p.settled, p.counts = unsettled, poolCounts{}
			l.clearStakes(p)
		}
	}
	for next := n.spans; next != 0; {
		s := l.pools.spans.at(next - 1)
		s.measure(n)
		next = s.next
	}
	n.tcp.inRange, n.udp.inRange, n.tcp.taken, n.udp.taken, n.poisoned = 0, 0, 0, 0, 0
	for b := range l.bucketsOf(ns, 0) {
		n.countTaken(b.protocol, b.port, 1)
		if b.leases > 0 {
			n.countInRange(b.protocol, b.port, 1)
		}
		if b.poisoned {
			l.poison(b, 1)
		}
		l.recountPort(n, b)
	}
	for next := n.spans; next != 0; {
		s := l.pools.spans.at(next - 1)
		s.trough.reset(s.open())
		next = s.next
	}
	for i := range l.pools.next {
		if p := l.pools.at(i); p.live && p.settled == unsettled {
			p.settled = l.version
			l.settle(p)
		}
	}
}

// recountPort counts what is on a port in all pools that were emptied.
func (l *Ledger) recountPort(n *namespace, b *bucket) {
	for next := b.oldest; next != 0; {
		ls := l.leases.at(next - 1)
		l.ripen(next-1, ls)
		if !b.poisoned {
			l.weigh(ls, shadeOf(ls), 1)
		}
		next = ls.newer
	}
	for next := *n.bindPools(b.protocol); next != 0; {
		p := l.pools.at(next - 1)
		if l.pools.spans.at(p.span).holds(b.port) {
			p.counts.stand(l.standingOf(b, p, 0), 1)
		}
		next = p.next
	}
}

// bucketsOf yields the open buckets of a namespace, of one protocol or (0) of
// all, in the order of their slots.
func (l *Ledger) bucketsOf(ns uint32, p event.Protocol) func(func(*bucket) bool) {
	return func(yield func(*bucket) bool) {
		for i := range l.buckets.next {
			b := l.buckets.at(i)
			if b.port == 0 || b.namespace != ns || p != 0 && b.protocol != p {
				continue
			}
			if !yield(b) {
				return
			}
		}
	}
}
