package aggregate

import (
	"fmt"
	"strconv"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// The sysctls that remedies set.
const (
	keyRange    = "net.ipv4.ip_local_port_range"
	keyReserved = "net.ipv4.ip_local_reserved_ports"
	keyTWReuse  = "net.ipv4.tcp_tw_reuse"
)

// The range that is proposed where a wider one helps. It begins above the ports
// below 10,240, among which most services are, and its bounds differ in parity.
const (
	proposedLow  = 10240
	proposedHigh = 65535
)

// usualDelay is the delay of tcp_tw_reuse where the kernel has no setting for it:
// the next whole second.
const usualDelay = time.Second

// twReuse lets connect() take over TIME_WAITs. It does nothing for bind(), for
// mini-sockets in sub-state fin_wait2 and for connections without timestamps.
func (b *bench) twReuse() (Remedy, bool) {
	if !b.connects() || b.limits.TWReuse == 1 || b.limits.TWReuse == 2 && b.loops() {
		return Remedy{}, false
	}
	delay := usualDelay
	if b.limits.TWReuseDelayMillis != nil {
		delay = time.Duration(*b.limits.TWReuseDelayMillis) * time.Millisecond
	}
	waiting, seasoned := 0, 0
	for _, pt := range b.byOwner {
		waiting, seasoned = waiting+pt.waiting, seasoned+pt.seasoned
	}
	seen := NotKnown
	if waiting > 0 && seasoned == waiting {
		seen = Yes
	}
	var effect *Effect
	if seasoned > 0 { // else nothing is known of their timestamps
		effect = b.effect(seasoned, 0, min(time.Duration(float64(delay)*max(b.ours, 0)), b.wait))
	}
	return Remedy{
		ID: TCPTWReuse, Helps: []Request{RequestConnect}, In: delay, Effect: effect,
		Needs:    []Needs{{TimestampsOn, knownIf(b.limits.Timestamps != 0)}, {TimestampsSeen, seen}},
		Settings: []Setting{{keyTWReuse, "1", strconv.Itoa(b.limits.TWReuse)}}, Ports: seasoned,
	}, waiting > 0 && b.limits.Timestamps != 0
}

// loops reports whether tcp_tw_reuse=2 covers the pool.
func (b *bench) loops() bool {
	return b.key.Device == loopback || b.key.Local.IsLoopback() || b.key.Remote.Addr().IsLoopback()
}

// widen gives the namespace a wider range. Sockets with a range of their own keep
// it.
func (b *bench) widen() (Remedy, bool) {
	now := b.limits.Range
	wider := event.PortRange{Low: min(now.Low, proposedLow), High: max(now.High, proposedHigh)}
	if b.key.Own || wider == now {
		return Remedy{}, false
	}
	ports, taken := b.within(wider)
	return Remedy{
		ID: WidenRange, Helps: []Request{RequestConnect, RequestBind0, RequestUDP},
		Effect:   b.effect(ports-taken-b.headroom, ports-b.capacity, b.wait),
		Needs:    []Needs{{NothingBoundNew, NotKnown}},
		Settings: []Setting{{keyRange, spaced(wider), spaced(now)}}, Ports: ports - b.capacity,
	}, true
}

func spaced(r event.PortRange) string { return fmt.Sprintf("%d %d", r.Low, r.High) }

// within is the capacity of the pool if its namespace had another range, and how
// much of it would be taken by what is there now.
func (b *bench) within(r event.PortRange) (capacity, taken int) {
	wider := span{namespace: b.span.namespace, effective: r, reserved: b.limits.Reserved}
	capacity = r.Ports()
	for _, hole := range wider.reserved {
		capacity -= event.PortRange{Low: max(hole.Low, r.Low), High: min(hole.High, r.High)}.Ports()
	}
	for port := range b.bucketsOf(wider.namespace, protocolOf(b.key.Request)) {
		switch {
		case !wider.holds(port.port):
		case !b.connects():
			if b.standingOf(port, b.pool, 0) != portFree {
				taken++
			}
		case port.poisoned:
			capacity--
		default:
			taken += b.tuplesOn(port)
		}
	}
	return capacity, taken
}

// tuplesOn is how many of the pool's tuples a port has, without those that may be
// taken over.
func (b *bench) tuplesOn(port *bucket) int {
	n := 0
	for next := port.oldest; next != 0; {
		ls := b.leases.at(next - 1)
		if ls.flow == b.pool.flow && b.pool.collides(ls.device) && !ls.ripe {
			n++
		}
		next = ls.newer
	}
	return n
}

// moreSources is one more local address to connect from.
func (b *bench) moreSources() (Remedy, bool) {
	another := b.anotherPool(MoreSourceAddresses, AddressesChosen)
	return another, b.connects()
}

// moreDestinations is one more address or port of the far end.
func (b *bench) moreDestinations() (Remedy, bool) {
	another := b.anotherPool(MoreDestinations, PeerListens)
	return another, b.connects()
}

// anotherPool is a second pool beside this one: it has all ports that are not
// poisoned.
func (b *bench) anotherPool(id RemedyID, needs Condition) Remedy {
	return Remedy{
		ID: id, Helps: []Request{RequestConnect}, Effect: b.effect(b.capacity, b.capacity, b.wait),
		Needs: []Needs{{needs, NotKnown}}, Ports: b.capacity,
	}
}

// waiting is to ask for nothing for a minute.
func (b *bench) waiting() (Remedy, bool) {
	return Remedy{
		ID: Wait, Helps: []Request{b.key.Request}, In: time.Minute, Effect: b.effect(b.back, 0, b.wait),
		Needs: []Needs{{DemandStops, NotKnown}}, Ports: b.back,
	}, b.back > 0
}
