package aggregate

import (
	"slices"

	"github.com/portwatch/portwatch/internal/event"
)

// namespace is what is known of one network namespace. Its inode may be used
// again once it is gone: then a new namespace has it.
type namespace struct {
	inode    uint32
	cookie   uint64
	name     string
	limited  bool // limits are known
	gone     bool
	limits   event.Limits
	tcp, udp portCount
	accounts uint32
	poisoned int    // ports of the range
	accepted [2]int // sockets, and those of them in TIME_WAIT
	bind0    uint64 // requests for any TCP port, given or refused

	spans              uint32 // the first, plus one
	tcpPools, udpPools uint32 // of bind(0) and UDP: the first, plus one
}

type portCount struct {
	distinct int
	inRange  int // of those, in the range and not reserved
	// taken are the ports of the range on which anything is, accepted sockets
	// without a lease included.
	taken int
}

// of is the count of a protocol.
func (n *namespace) of(p event.Protocol) *portCount {
	if p == event.UDP {
		return &n.udp
	}
	return &n.tcp
}

// countTaken books that a bucket opens or closes.
func (n *namespace) countTaken(p event.Protocol, port uint16, by int) {
	if n.inRange(port) {
		n.of(p).taken += by
	}
}

type namespaceTable struct {
	slab[namespace]
	byInode map[uint32]uint32
}

func (t *namespaceTable) init() { t.byInode = make(map[uint32]uint32) }

func (n *namespace) countPort(p event.Protocol, port uint16, by int) {
	n.of(p).distinct += by
	n.countInRange(p, port, by)
}

func (n *namespace) countInRange(p event.Protocol, port uint16, by int) {
	if n.inRange(port) {
		n.of(p).inRange += by
	}
}

// bindPools is the head of the list of pools at whose ports bind() looks.
func (n *namespace) bindPools(p event.Protocol) *uint32 {
	if p == event.UDP {
		return &n.udpPools
	}
	return &n.tcpPools
}

// inRange reports whether the kernel may give the port by itself.
func (n *namespace) inRange(port uint16) bool {
	return n.limits.Range.Contains(port) && !reserved(n.limits.Reserved, port)
}

func reserved(ranges []event.PortRange, port uint16) bool {
	_, found := slices.BinarySearchFunc(ranges, port, func(r event.PortRange, p uint16) int {
		switch {
		case r.High < p:
			return -1
		case r.Low > p:
			return 1
		}
		return 0
	})
	return found
}

// namespaceFor finds or adds a namespace, and reports false at the bound.
func (l *Ledger) namespaceFor(inode uint32) (uint32, bool) {
	if i, ok := l.namespaces.byInode[inode]; ok {
		return i, true
	}
	if l.namespaces.len() >= l.opts.MaxNamespaces {
		l.counters.NamespacesRefused++
		l.complete, l.resync.disturbed = false, true
		return 0, false
	}
	i := l.namespaces.put()
	l.namespaces.at(i).inode = inode
	l.namespaces.byInode[inode] = i
	return i, true
}

func (l *Ledger) setLimits(limits *event.Limits) {
	if limits == nil {
		return
	}
	i, ok := l.namespaceFor(limits.NetNS)
	if !ok {
		return
	}
	ns := l.namespaces.at(i)
	ns.limits, ns.limited = *limits, true
	l.recount(i)
	if l.start.Mode == event.ModeDiag {
		l.listBinds(i)
	}
}

// listBinds lists the pools of bind(0) and UDP at any address, where no request
// would: the mode sees none.
func (l *Ledger) listBinds(ns uint32) {
	for _, proto := range [...]event.Protocol{event.TCP, event.UDP} {
		if i := l.bindPool(ns, proto, anywhere(event.IPv4, 0), event.PortRange{}); i != 0 {
			l.grantCourse(i - 1)
		}
	}
}

// setNamespace books that a namespace appeared, was named or is gone. Another
// cookie on a known inode means that the former one is gone.
func (l *Ledger) setNamespace(n *event.Namespace) {
	if n == nil {
		return
	}
	if i, ok := l.namespaces.byInode[n.NetNS]; ok {
		known := l.namespaces.at(i).cookie
		if n.Gone || (known != 0 && n.Cookie != 0 && known != n.Cookie) {
			l.endNamespace(i)
		}
	}
	if n.Gone {
		return
	}
	i, ok := l.namespaceFor(n.NetNS)
	if !ok {
		return
	}
	ns := l.namespaces.at(i)
	if n.Cookie != 0 {
		ns.cookie = n.Cookie
	}
	if n.Name != "" {
		ns.name = n.Name
	}
}

// endNamespace ends every lease in the namespace. The record stays, unseen,
// while remembered failures speak of it.
func (l *Ledger) endNamespace(i uint32) {
	if l.leasesIn(i) > 0 {
		for slot := range l.leases.next {
			ls := l.leases.at(slot)
			if ls.live && l.accounts.at(ls.account).namespace == i {
				l.bury(ls.id)
				l.remove(slot, event.CauseNetNS)
			}
		}
	}
	l.endPools(i)
	ns := l.namespaces.at(i)
	ns.gone = true
	delete(l.namespaces.byInode, ns.inode)
	if ns.accounts == 0 {
		l.namespaces.drop(i)
	}
}

func (l *Ledger) leasesIn(ns uint32) int {
	total := 0
	for i := range l.accounts.next {
		if a := l.accounts.at(i); a.namespace == ns {
			total += int(a.leases)
		}
	}
	return total
}
