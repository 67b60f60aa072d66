package aggregate

import "github.com/portwatch/portwatch/internal/event"

// portTable counts the leases on each port of each namespace and protocol, for
// the number of distinct ports.
type portTable struct {
	leases map[portKey]uint32
}

// portKey packs namespace (32 bits), protocol (8) and port (16).
type portKey uint64

func portKeyOf(ns uint32, p event.Protocol, port uint16) portKey {
	return portKey(uint64(ns)<<32 | uint64(p)<<16 | uint64(port))
}

func (t *portTable) init() { t.leases = make(map[portKey]uint32) }

func (l *Ledger) takePort(ls *lease) {
	if !ls.local.valid {
		return
	}
	a := l.accounts.at(ls.account)
	key := portKeyOf(a.namespace, a.protocol, ls.local.port)
	n := l.ports.leases[key] + 1
	l.ports.leases[key] = n
	if n == 1 {
		l.namespaces.at(a.namespace).countPort(a.protocol, ls.local.port, 1)
	}
}

func (l *Ledger) givePort(ls *lease) {
	if !ls.local.valid {
		return
	}
	a := l.accounts.at(ls.account)
	key := portKeyOf(a.namespace, a.protocol, ls.local.port)
	if n := l.ports.leases[key]; n > 1 {
		l.ports.leases[key] = n - 1
		return
	}
	delete(l.ports.leases, key)
	l.namespaces.at(a.namespace).countPort(a.protocol, ls.local.port, -1)
}

func (l *Ledger) movePort(ls *lease, local endpoint) {
	if local.port == ls.local.port && ls.local.valid {
		ls.local = local
		return
	}
	l.givePort(ls)
	ls.local = local
	l.takePort(ls)
}

// recountRange counts the ports in use within the namespace's range anew,
// after the range or the reserved ports have changed.
func (l *Ledger) recountRange(i uint32) {
	ns := l.namespaces.at(i)
	ns.tcp.inRange, ns.udp.inRange = 0, 0
	for port := int(ns.limits.Range.Low); port <= int(ns.limits.Range.High); port++ {
		if !ns.inRange(uint16(port)) {
			continue
		}
		if l.ports.leases[portKeyOf(i, event.TCP, uint16(port))] > 0 {
			ns.tcp.inRange++
		}
		if l.ports.leases[portKeyOf(i, event.UDP, uint16(port))] > 0 {
			ns.udp.inRange++
		}
	}
}
