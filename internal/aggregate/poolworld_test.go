package aggregate

import (
	"math/rand/v2"
	"net/netip"

	"github.com/portwatch/portwatch/internal/event"
)

// world invents events that a kernel could tell: ports of a small range, taken
// and given back in every way, in two namespaces.
type world struct {
	time   float64
	cookie uint64
	own    event.PortRange // of the sockets that have one
	live   map[event.LeaseID]event.Lease
	order  []event.LeaseID
}

var (
	worldLocals = []netip.Addr{
		netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fd00::1"), netip.IPv6Loopback(),
	}
	worldRemotes = []netip.AddrPort{
		netip.MustParseAddrPort("10.0.0.5:443"), netip.MustParseAddrPort("127.0.0.1:80"),
		netip.MustParseAddrPort("[fd00::5]:443"), netip.MustParseAddrPort("[::1]:80"),
	}
)

const (
	worldLow  = 40000
	worldHigh = 40015
)

func (w *world) next(rng *rand.Rand) event.Event {
	w.time += rng.Float64() * 0.5
	if rng.IntN(100) == 0 {
		w.time += 30 * rng.Float64()
	}
	switch n := rng.IntN(100); {
	case len(w.order) == 0 || n < 35:
		return w.allocate(rng)
	case n < 50:
		return w.change(rng)
	case n < 65:
		return w.wait(rng)
	case n < 88:
		return w.end(rng)
	case n < 91:
		return w.settings(rng)
	case n < 94:
		return w.accepted(rng)
	case n < 96:
		return w.refused(rng)
	case n < 98:
		return w.corrected(rng)
	}
	return tick(w.time)
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// port is mostly within the range.
func (w *world) port(rng *rand.Rand) uint16 {
	return uint16(worldLow - 2 + rng.IntN(worldHigh-worldLow+5))
}

func (w *world) socket(rng *rand.Rand) event.Lease {
	w.cookie++
	i := rng.IntN(len(worldLocals))
	el := event.Lease{
		ID: event.LeaseID{Cookie: w.cookie, Born: sec(w.time)}, NetNS: uint32(1 + rng.IntN(2)),
		Protocol: event.TCP, Family: event.IPv4, Owner: process(uint32(1 + rng.IntN(5))),
		Local: netip.AddrPortFrom(worldLocals[i], w.port(rng)), State: event.StateEstablished,
	}
	if el.Local.Addr().Is6() {
		el.Family, el.V6Only = event.IPv6, rng.IntN(3) == 0
	}
	if rng.IntN(6) == 0 {
		el.Device = uint32(1 + rng.IntN(2))
	}
	if rng.IntN(5) == 0 {
		el.Range = w.own
	}
	el.Remote = worldRemotes[i]
	return el
}

func (w *world) allocate(rng *rand.Rand) event.Event {
	el := w.socket(rng)
	if rng.IntN(4) == 0 {
		el.Owner = event.Owner{}
	}
	switch rng.IntN(6) {
	case 0, 1, 2:
		el.Origin = event.OriginConnect
		if rng.IntN(3) == 0 {
			el.State = event.StateSynSent
		}
	case 3:
		el.Origin, el.State = pick(rng, []event.Origin{event.OriginBind, event.OriginBind0}), event.StateBound
	case 4:
		el.Origin, el.State = event.OriginListen, event.StateListen
	case 5:
		el.Protocol, el.Origin = event.UDP, pick(rng, []event.Origin{event.OriginBind0, event.OriginAutobind})
		el.State = event.StateConnected
	}
	if el.State == event.StateBound || el.State == event.StateListen {
		el.Remote = netip.AddrPort{}
		if rng.IntN(2) == 0 {
			el.Local = netip.AddrPortFrom(anywhere(el.Family, 0).unspecified(), el.Local.Port())
		}
	}
	w.keep(el)
	return allocate(w.time, el)
}

func (p place) unspecified() netip.Addr {
	if p.kind == seatIPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func (w *world) keep(el event.Lease) {
	if _, known := w.live[el.ID]; !known {
		w.order = append(w.order, el.ID)
	}
	w.live[el.ID] = el
}

func (w *world) any(rng *rand.Rand) event.Lease { return w.live[pick(rng, w.order)] }

// change is a state event, at times with addresses: a bound socket connects, a
// UDP socket moves.
func (w *world) change(rng *rand.Rand) event.Event {
	el := w.any(rng)
	ev := event.Event{Kind: event.KindState, Time: sec(w.time), Lease: event.Lease{ID: el.ID, NetNS: el.NetNS}}
	switch {
	case el.State == event.StateTimeWait:
		return tick(w.time)
	case el.State == event.StateBound, el.Protocol == event.UDP:
		other := w.socket(rng)
		if el.Family != other.Family {
			return tick(w.time)
		}
		el.Local, el.Remote = netip.AddrPortFrom(other.Local.Addr(), el.Local.Port()), other.Remote
		if el.Protocol == event.TCP {
			el.State = event.StateSynSent
		}
		ev.Lease.Local, ev.Lease.Remote = el.Local, el.Remote
	default:
		el.State = pick(rng, []event.State{event.StateEstablished, event.StateFinWait1, event.StateCloseWait})
	}
	ev.Lease.State = el.State
	w.keep(el)
	return ev
}

// wait turns a connection into a TIME_WAIT, or one into its other sub-state.
func (w *world) wait(rng *rand.Rand) event.Event {
	el := w.any(rng)
	if el.Protocol != event.TCP || !el.Remote.IsValid() {
		return tick(w.time)
	}
	el.State, el.Expires = event.StateTimeWait, sec(w.time+60)
	el.Substate = pick(rng, []event.Substate{event.SubstateFinWait2, event.SubstateTimeWait})
	el.Entered, el.TimestampsSeen = 0, rng.IntN(4) > 0
	if el.Substate == event.SubstateTimeWait {
		el.Entered = sec(w.time - rng.Float64())
	}
	w.keep(el)
	return timeWait(w.time, el)
}

func (w *world) end(rng *rand.Rand) event.Event {
	i := rng.IntN(len(w.order))
	el := w.live[w.order[i]]
	delete(w.live, el.ID)
	w.order = append(w.order[:i], w.order[i+1:]...)
	return event.Event{
		Kind: event.KindRelease, Time: sec(w.time), Lease: event.Lease{ID: el.ID}, From: el.State,
		Cause: pick(rng, []event.Cause{event.CauseClosed, event.CauseExpired, event.CauseReset}),
	}
}

func (w *world) settings(rng *rand.Rand) event.Event {
	delay := 200 + rng.IntN(1500)
	l := event.Limits{
		NetNS: uint32(1 + rng.IntN(2)), Range: event.PortRange{Low: worldLow + uint16(rng.IntN(3)), High: worldHigh - uint16(rng.IntN(3))},
		TWReuse: rng.IntN(3), TWReuseDelayMillis: &delay,
	}
	if rng.IntN(2) == 0 {
		l.Reserved = []event.PortRange{{Low: worldLow + 3, High: worldLow + 4}, {Low: worldHigh, High: worldHigh}}
	}
	return limits(w.time, l)
}

func (w *world) accepted(rng *rand.Rand) event.Event {
	return event.Event{Kind: event.KindAccepted, Time: sec(w.time), Accepted: &event.Accepted{
		NetNS: uint32(1 + rng.IntN(2)), Device: uint32(rng.IntN(2) * 2), Port: w.port(rng),
		Live: rng.IntN(3), TimeWait: rng.IntN(2),
	}}
}

func (w *world) refused(rng *rand.Rand) event.Event {
	el := w.socket(rng)
	f := &event.Failure{
		Operation: event.OperationConnect, Errno: event.EADDRNOTAVAIL, Reason: event.ReasonPoolExhausted,
		NetNS: el.NetNS, Device: el.Device, Protocol: event.TCP, Family: el.Family, Range: el.Range, Owner: el.Owner,
		Local: netip.AddrPortFrom(el.Local.Addr(), 0), Remote: el.Remote, Count: 1 + rng.Uint64N(3),
	}
	if rng.IntN(2) == 0 {
		f.Operation, f.Reason, f.Remote = event.OperationBind, event.ReasonRangeExhausted, netip.AddrPort{}
		f.Protocol = pick(rng, []event.Protocol{event.TCP, event.UDP})
	}
	return event.Event{Kind: event.KindFailure, Time: sec(w.time), Failure: f}
}

// corrected is an audit's word: a lease stands elsewhere, or belongs to somebody
// else, or is gone.
func (w *world) corrected(rng *rand.Rand) event.Event {
	el := w.any(rng)
	switch rng.IntN(3) {
	case 0:
		el.Owner = process(uint32(1 + rng.IntN(5)))
	case 1:
		el.Origin = pick(rng, []event.Origin{event.OriginConnect, event.OriginUnknown})
	default:
		ev := w.end(rng)
		return gone(w.time, event.Lease{ID: ev.Lease.ID})
	}
	w.keep(el)
	return holds(w.time, el)
}
