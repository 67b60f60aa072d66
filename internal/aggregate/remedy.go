package aggregate

import (
	"cmp"
	"slices"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// RemedyID names something that gives ports back, or gives more of them.
type RemedyID string

// The remedies.
const (
	ReuseConnections    RemedyID = "reuse_connections"
	PeerClosesFirst     RemedyID = "peer_closes_first"
	TCPTWReuse          RemedyID = "tcp_tw_reuse"
	WidenRange          RemedyID = "widen_range"
	MoreSourceAddresses RemedyID = "more_source_addresses"
	MoreDestinations    RemedyID = "more_destinations"
	BindAddressNoPort   RemedyID = "bind_address_no_port"
	ReservePort         RemedyID = "reserve_port"
	CloseLeak           RemedyID = "close_leak"
	StopProcess         RemedyID = "stop_process"
	Wait                RemedyID = "wait"
)

// Known is an answer that may be missing.
type Known uint8

// The answers.
const (
	NotKnown Known = iota
	Yes
	No
)

func knownIf(b bool) Known {
	if b {
		return Yes
	}
	return No
}

// Condition is what a remedy needs.
type Condition string

// The conditions.
const (
	TimestampsOn     Condition = "timestamps_on"     // net.ipv4.tcp_timestamps
	TimestampsSeen   Condition = "timestamps_seen"   // by the connections that wait
	NothingBoundNew  Condition = "nothing_bound_new" // on the ports that a wider range exposes
	AddressesChosen  Condition = "addresses_chosen"  // the program, or the routes, choose between them
	PeerListens      Condition = "peer_listens"      // at a second address or port
	PeerKeepsAlive   Condition = "peer_keeps_alive"
	ProtocolPermits  Condition = "protocol_permits" // that the far end closes first
	DemandStops      Condition = "demand_stops"
	PortNotNeededNow Condition = "port_not_needed_now" // its present holder may go
)

// Needs is a condition, and whether it is met.
type Needs struct {
	Condition Condition
	Met       Known
}

// Setting is a sysctl of the pool's namespace, with the value that it has.
type Setting struct{ Key, Value, Before string }

// Remedy is one way out, with what it does by itself: effects never add up.
type Remedy struct {
	ID    RemedyID
	Helps []Request
	// In is how long it takes from the moment at which it is done.
	In time.Duration
	// Effect is nil where it cannot be computed.
	Effect *Effect
	Needs  []Needs
	// Settings are what is to be set in the namespace; none for other remedies.
	Settings []Setting
	// Ports is what the remedy speaks of: live connections that carry the load,
	// ports in TIME_WAIT, or ports to be reserved.
	Ports int
}

// Effect is what a pool is after a remedy has taken effect.
type Effect struct {
	Headroom, Capacity int
	// Sustainable is the rate that the pool bears for ever; 0 if not known.
	Sustainable float64
}

// UsedRatio is 1 - headroom ÷ capacity; 1 if there is no capacity.
func (e *Effect) UsedRatio() float64 {
	if e.Capacity <= 0 {
		return 1
	}
	return min(max(1-float64(e.Headroom)/float64(e.Capacity), 0), 1)
}

// risk orders remedies that take effect equally soon: what is undone at once and
// hurts nobody comes first.
var risk = map[RemedyID]int{
	TCPTWReuse: 1, WidenRange: 2, BindAddressNoPort: 3, MoreSourceAddresses: 4, MoreDestinations: 5, CloseLeak: 6,
	Wait: 7, ReuseConnections: 8, PeerClosesFirst: 9, ReservePort: 10, StopProcess: 11,
}

// soon is how long a remedy may take to count as one that helps at once.
const soon = 5 * time.Second

func compareRemedies(a, b Remedy) int {
	return cmp.Or(compareBool(a.In > soon, b.In > soon), cmp.Compare(risk[a.ID], risk[b.ID]))
}

// bench is what remedies are computed from.
type bench struct {
	*Ledger
	*parts
	key      PoolKey
	limits   *event.Limits
	capacity int
	headroom int
	life     time.Duration // mean; 0 if not known
	wait     time.Duration // how long a port is kept after that, on average
	ours     float64       // share of connections that are closed from here first; negative if not known
	at       event.Time
}

func (l *Ledger) benchOf(i uint32, at event.Time) *bench {
	ps := l.partsOf(i, at)
	c := ps.pool.course
	b := &bench{
		Ledger: l, parts: ps, key: l.keyOfPool(ps.pool), capacity: int(ps.pool.open(ps.span)),
		life: c.life.mean(), wait: c.expectedWait(), ours: -1, at: at,
		limits: &l.namespaces.at(ps.span.namespace).limits,
	}
	b.headroom = b.capacity - int(ps.pool.taken())
	if ours, known := c.endings.ratio(); known {
		b.ours = ours
	}
	return b
}

// sustains is the rate that so many ports bear, each held for so long after the
// life of its connection.
func (b *bench) sustains(capacity int, wait time.Duration) float64 {
	if b.life == 0 {
		return 0
	}
	return float64(capacity) / (b.life + wait).Seconds()
}

func (b *bench) connects() bool { return b.key.Request == RequestConnect }

// effect is what so many ports more, of so much more capacity, come to.
func (b *bench) effect(more, wider int, wait time.Duration) *Effect {
	capacity := b.capacity + wider
	return &Effect{
		Headroom: min(max(b.headroom+more, 0), max(capacity, 0)), Capacity: capacity, Sustainable: b.sustains(capacity, wait),
	}
}

// poolRemedies are those that need no particular owner to change.
func (b *bench) poolRemedies() []Remedy {
	var all []Remedy
	for _, make := range []func() (Remedy, bool){b.twReuse, b.widen, b.moreSources, b.moreDestinations, b.waiting} {
		if r, sensible := make(); sensible {
			all = append(all, r)
		}
	}
	return all
}

// remediesOf are those that one owner can apply.
func (b *bench) remediesOf(pt *part) []Remedy {
	var all []Remedy
	for _, make := range []func(*part) (Remedy, bool){b.noPort, b.reuse, b.peerFirst, b.closeLeak, b.reserve, b.stop} {
		if r, sensible := make(pt); sensible {
			all = append(all, r)
		}
	}
	return all
}

// ordered sorts remedies by what helps soonest at the least risk, without those
// that would change nothing for the pool.
func (b *bench) ordered(all []Remedy) []Remedy {
	all = slices.DeleteFunc(all, func(r Remedy) bool {
		return r.ID != ReservePort && r.Effect != nil && r.Effect.Headroom <= b.headroom && r.Effect.Sustainable <= b.sustains(b.capacity, b.wait)
	})
	slices.SortStableFunc(all, compareRemedies)
	return all
}
