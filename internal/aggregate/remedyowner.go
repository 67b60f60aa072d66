package aggregate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// noPort is IP_BIND_ADDRESS_NO_PORT for a program that binds to an address before
// it connects: its ports are chosen by connect() then, per destination.
func (b *bench) noPort(pt *part) (Remedy, bool) {
	r := Remedy{ID: BindAddressNoPort, Helps: []Request{RequestConnect}, Ports: pt.early}
	if b.connects() {
		r.Effect = b.effect(pt.loosed-pt.crowding, pt.loosed, b.wait)
	} else if pt.early > 0 {
		r.Effect = b.connecting(pt)
	}
	return r, pt.early > 0
}

// connecting is the pool that the owner's requests would draw from, if connect()
// chose its ports instead of bind(0): that towards its busiest far end.
func (b *bench) connecting(pt *part) *Effect {
	capacity := int(b.span.ports)
	for port := range b.bucketsOf(b.span.namespace, event.TCP) {
		if port.poisoned && b.span.holds(port.port) && !b.clearedBy(port, pt.owner.ID, boundEarly) {
			capacity--
		}
	}
	most := 0
	for key, n := range pt.tuples {
		key.namespace = b.span.namespace
		if f, known := b.pools.byFlow[key]; known {
			n += int(b.pools.flows.at(f).leases)
		}
		most = max(most, n)
	}
	return &Effect{Headroom: max(capacity-most, 0), Capacity: capacity, Sustainable: b.sustains(capacity, b.wait)}
}

// afterwards is how long a port is kept when its connection has been closed from
// here.
const afterwards = time.Minute

// reuse keeps connections open and uses them again: nothing waits any more.
func (b *bench) reuse(pt *part) (Remedy, bool) {
	e := b.effect(pt.waiting-pt.reusable, 0, 0)
	e.Sustainable = 0 // requests need no further port
	return Remedy{
		ID: ReuseConnections, Helps: []Request{RequestConnect}, In: afterwards, Effect: e,
		Needs: []Needs{{PeerKeepsAlive, NotKnown}}, Ports: pt.live,
	}, b.connects() && pt.churns()
}

// peerFirst lets the far end close, which then has the TIME_WAIT.
func (b *bench) peerFirst(pt *part) (Remedy, bool) {
	return Remedy{
		ID: PeerClosesFirst, Helps: []Request{RequestConnect}, In: afterwards,
		Effect: b.effect(pt.waiting-pt.reusable, 0, 0), Needs: []Needs{{ProtocolPermits, NotKnown}}, Ports: pt.waiting,
	}, b.connects() && pt.churns()
}

// closeLeak closes what the owner keeps. What the peer has closed already comes
// back at once, the rest waits first.
func (b *bench) closeLeak(pt *part) (Remedy, bool) {
	return Remedy{
		ID: CloseLeak, Helps: []Request{b.key.Request}, In: b.closing(pt), Effect: b.effect(pt.live, 0, b.wait), Ports: pt.live,
	}, pt.leaks(b.at)
}

// closing is how long the ports of what the owner has open are kept when it is
// closed.
func (b *bench) closing(pt *part) time.Duration {
	if b.key.Request == RequestUDP || pt.deserted+pt.single == pt.live && pt.waiting == 0 {
		return 0
	}
	return afterwards
}

// reserve keeps fixed ports out of the range: nobody is given them by chance.
func (b *bench) reserve(pt *part) (Remedy, bool) {
	ports := slices.Clone(pt.fixed)
	slices.Sort(ports)
	return Remedy{
		ID: ReservePort, Helps: []Request{}, Effect: b.effect(0, 0, b.wait), Ports: len(ports),
		Settings: []Setting{reserving(b.limits, ports)},
	}, len(ports) > 0
}

// reserving is today's list of reserved ports with some more.
func reserving(limits *event.Limits, ports []uint16) Setting {
	all := slices.Clone(limits.Reserved)
	for _, port := range ports {
		all = append(all, event.PortRange{Low: port, High: port})
	}
	slices.SortFunc(all, func(a, b event.PortRange) int { return int(a.Low) - int(b.Low) })
	joined := all[:0]
	for _, r := range all {
		if n := len(joined); n > 0 && int(joined[n-1].High)+1 >= int(r.Low) {
			joined[n-1].High = max(joined[n-1].High, r.High)
			continue
		}
		joined = append(joined, r)
	}
	return Setting{keyReserved, portList(joined), portList(limits.Reserved)}
}

// portList is a list as the sysctl has it.
func portList(ranges []event.PortRange) string {
	words := make([]string, len(ranges))
	for i, r := range ranges {
		words[i] = fmt.Sprintf("%d-%d", r.Low, r.High)
		if r.Low == r.High {
			words[i] = fmt.Sprint(r.Low)
		}
	}
	return strings.Join(words, ",")
}

// stop ends the process: what it had open waits for a minute, nothing comes back
// at once.
func (b *bench) stop(pt *part) (Remedy, bool) {
	more := pt.ports - pt.reusable + pt.alone
	return Remedy{
		ID: StopProcess, Helps: []Request{b.key.Request}, In: b.closing(pt),
		Effect: b.effect(more, pt.alone, b.wait), Ports: pt.live,
	}, pt.owner.ID.Kind == event.OwnerProcess && !pt.owner.Exited && pt.live+pt.alone > 0
}
