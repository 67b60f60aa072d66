package aggregate

import "github.com/portwatch/portwatch/internal/event"

// join books a lease with its port, its tuple and the pool that it drew from.
func (l *Ledger) join(slot uint32) {
	ls := l.leases.at(slot)
	l.ripen(slot, ls)
	l.takePort(slot)
	if ls.state == event.StateListen && ls.seat != 0 {
		l.meetListener(ls)
	}
	switch {
	case l.countable(ls):
		l.enterFlow(ls)
	case ls.home == 0:
		l.enterBindPool(ls)
	}
}

// part undoes join. Whatever the lease holds counts no more, but it keeps a home
// among the pools of bind(0) and UDP: a socket that connects later drew from
// there all the same.
func (l *Ledger) part(slot uint32) {
	ls := l.leases.at(slot)
	if ls.flow != 0 {
		if !l.bucketOf(ls).poisoned {
			l.weigh(ls, shadeOf(ls), -1)
		}
		l.leaveHome(ls)
		f := ls.flow - 1
		ls.flow = 0
		l.pools.flows.at(f).leases--
		l.leaveFlowPools(f)
	}
	l.givePort(slot)
}

// restate books a state of a lease that stays where it is.
func (l *Ledger) restate(slot uint32, to condition) {
	ls := l.leases.at(slot)
	l.uncount(ls)
	shade, waited := shadeOf(ls), waits(ls)
	ls.condition = to
	if waits(ls) > waited {
		l.fall(ls)
	}
	l.ripen(slot, ls)
	l.count(ls)
	if ls.seat == 0 {
		return
	}
	if now := waits(ls); now != waited {
		l.occupy(ls.seat-1, 0, now-waited)
	}
	if ls.state == event.StateListen {
		l.meetListener(ls)
	}
	if now := shadeOf(ls); ls.flow != 0 && now != shade && !l.bucketOf(ls).poisoned {
		l.weigh(ls, shade, -1)
		l.weigh(ls, now, 1)
	}
}

// enterFlow books a tuple that connect() chose, and the pool it came from.
func (l *Ledger) enterFlow(ls *lease) {
	a := l.accounts.at(ls.account)
	f := l.flowFor(flowKey{a.namespace, ls.remote.port, ls.local.addr, ls.remote.addr})
	l.leaveHome(ls) // an audit may know better by which request it was given
	ls.home = l.connectPool(f, seatOf(ls, a), ls.rng)
	ls.flow = f + 1
	l.pools.flows.at(f).leases++
	l.enterHome(ls)
	if !l.bucketOf(ls).poisoned {
		l.weigh(ls, shadeOf(ls), 1)
	}
}

// enterBindPool finds the pool of a port that bind(0), listen() or a UDP socket
// was given. An autobind asks with the address that the socket had before:
// none, as far as anybody can tell.
func (l *Ledger) enterBindPool(ls *lease) {
	a := l.accounts.at(ls.account)
	at := seatOf(ls, a)
	switch ls.origin {
	case event.OriginBind0, event.OriginListen:
	case event.OriginAutobind:
		at = anywhere(a.family, ls.device)
	default:
		return
	}
	ls.home = l.bindPool(a.namespace, a.protocol, at, ls.rng)
	l.enterHome(ls)
}

// anywhere is the wildcard address of a family.
func anywhere(f event.Family, device uint32) place {
	if f == event.IPv6 {
		return place{device: device, kind: seatIPv6, wild: true}
	}
	p := place{device: device, kind: seatIPv4, wild: true}
	p.addr[10], p.addr[11] = 0xff, 0xff
	return p
}

func (l *Ledger) enterHome(ls *lease) {
	if ls.home != 0 {
		l.pools.at(ls.home-1).leases++
	}
}

func (l *Ledger) leaveHome(ls *lease) {
	if ls.home != 0 {
		p := l.pools.at(ls.home - 1)
		p.leases--
		p.used = l.now
		ls.home = 0
	}
}

func (l *Ledger) flowFor(key flowKey) uint32 {
	if i, ok := l.pools.byFlow[key]; ok {
		return i
	}
	i := l.pools.flows.put()
	l.pools.flows.at(i).key = key
	l.pools.byFlow[key] = i
	return i
}

// leaveFlowPools ends the pools of a flow without leases that have no course:
// nothing of them is to be remembered.
func (l *Ledger) leaveFlowPools(f uint32) {
	fl := l.pools.flows.at(f)
	if fl.leases > 0 {
		return
	}
	fl.leases++ // closing its last pool must not close the flow as well
	for next := fl.pools; next != 0; {
		i := next - 1
		p := l.pools.at(i)
		next = p.next
		if p.course == nil {
			l.closePool(i)
		}
	}
	fl.leases--
	l.leaveFlow(f)
}

// connectPool finds or opens the pool of a flow for sockets on a device and with
// a range of their own: its number plus one, 0 if there is no room for their
// range.
func (l *Ledger) connectPool(f uint32, at place, own event.PortRange) uint32 {
	fl := l.pools.flows.at(f)
	for next := fl.pools; next != 0; {
		p := l.pools.at(next - 1)
		if p.device == at.device && l.pools.spans.at(p.span).own == own {
			return next
		}
		next = p.next
	}
	sp, ok := l.spanFor(fl.key.namespace, own)
	if !ok {
		l.counters.PoolsRefused++
		return 0
	}
	at.v6Only = false
	i := l.openPool(sp, pool{place: at, request: RequestConnect, flow: f + 1, next: fl.pools})
	alone := fl.pools == 0
	fl.pools = i + 1
	if !alone {
		l.survey(i)
	}
	l.grantCourse(i)
	return i + 1
}

// bindPool finds or opens the pool of bind(0) or of UDP at a local address: its
// number plus one, 0 at the bound.
func (l *Ledger) bindPool(ns uint32, proto event.Protocol, at place, own event.PortRange) uint32 {
	at.v6Only = false // a plain socket is asked about
	head := l.namespaces.at(ns).bindPools(proto)
	count := 0
	for next := *head; next != 0; count++ {
		p := l.pools.at(next - 1)
		if p.place == at && l.pools.spans.at(p.span).own == own {
			return next
		}
		next = p.next
	}
	if count >= maxBindPools {
		l.counters.PoolsRefused++
		return 0
	}
	sp, ok := l.spanFor(ns, own)
	if !ok {
		l.counters.PoolsRefused++
		return 0
	}
	request := RequestBind0
	if proto == event.UDP {
		request = RequestUDP
	}
	i := l.openPool(sp, pool{place: at, request: request, next: *head})
	*head = i + 1
	l.survey(i)
	l.grantCourse(i)
	return i + 1
}

// survey counts what was there before the pool was opened.
func (l *Ledger) survey(i uint32) {
	p := l.pools.at(i)
	sp := l.pools.spans.at(p.span)
	for b := range l.bucketsOf(sp.namespace, protocolOf(p.request)) {
		if !sp.holds(b.port) {
			continue
		}
		if p.request != RequestConnect {
			p.counts.stand(l.standingOf(b, p, 0), 1)
			continue
		}
		for next := b.oldest; next != 0 && !b.poisoned; {
			ls := l.leases.at(next - 1)
			if ls.flow == p.flow && p.collides(ls.device) {
				p.counts.add(shadeOf(ls), sp.prefers(b.port), 1)
				l.stakeOf(i, ls).add(shadeOf(ls), 1)
			}
			next = ls.newer
		}
	}
}
