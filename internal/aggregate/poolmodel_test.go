package aggregate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

// The model says what a pool is by looking at all leases, each time anew, and
// by the kernel's own comparison of addresses. What the ledger keeps up to date
// event by event must come to the same.

// figures are what the model and the ledger both say of a pool.
type figures struct {
	Capacity, Poisoned, InUse, TimeWait, Reusable, SynSent, Headroom, Low int
	Cliff                                                                 Cliff
	Owned                                                                 int // sum of the owners' ports
}

func figuresOf(p *Pool) figures {
	f := figures{
		Capacity: p.Capacity, Poisoned: p.Poisoned, InUse: p.InUse, TimeWait: p.TimeWait, Reusable: p.Reusable,
		SynSent: p.SynSent, Headroom: p.Headroom(), Low: p.HeadroomLow, Cliff: p.Cliff,
	}
	for _, o := range p.Owners {
		f.Owned += o.Ports
	}
	return f
}

func poolName(p *Pool) string {
	return fmt.Sprintf("%v netns %d device %d %v %v>%v own range %t", p.Request, p.NetNS, p.Device, p.Family, p.Local, p.Remote, p.Own)
}

type poolModel struct {
	rule     event.Poison
	onePass  bool
	limits   map[uint32]event.Limits
	accepted map[event.Accepted]origins
	poisoned map[modelPort]bool
	leases   map[modelPort][]event.Lease
	now      event.Time
	series   map[string][]sample
	attempts map[string]uint64
}

// origins are the listeners that accepted sockets may come from: one, or several.
type origins struct {
	one     *event.Lease
	several bool
}

type modelPort struct {
	netns uint32
	port  uint16
}

type sample struct {
	at       event.Time
	headroom int
}

// observe takes over the ledger's leases and works out which ports are poisoned.
func (m *poolModel) observe(l *Ledger, ev *event.Event) {
	m.now = l.now
	if ev.Kind == event.KindLimits {
		m.limits[ev.Limits.NetNS] = *ev.Limits
	}
	clear(m.leases)
	occupied, bound := map[modelPort]bool{}, map[modelPort]bool{}
	for i := range l.leases.next {
		if !l.leases.at(i).live {
			continue
		}
		el := l.leaseAt(i)
		at := modelPort{el.NetNS, el.Local.Port()}
		m.leases[at] = append(m.leases[at], el)
		if el.Protocol == event.TCP {
			occupied[at] = true
			bound[at] = bound[at] || el.Origin != event.OriginConnect
		}
	}
	if ev.Kind == event.KindAccepted {
		m.accept(*ev.Accepted)
	}
	for a := range m.accepted {
		m.listen(a)
		occupied[modelPort{a.NetNS, a.Port}], bound[modelPort{a.NetNS, a.Port}] = true, true
	}
	for at := range m.poisoned {
		if !occupied[at] || m.rule == event.PoisonWhileBound {
			delete(m.poisoned, at)
		}
	}
	for at, is := range bound {
		if is {
			m.poisoned[at] = true
		}
	}
}

func (m *poolModel) accept(a event.Accepted) {
	var from origins
	for old, before := range m.accepted {
		if old.NetNS == a.NetNS && old.Device == a.Device && old.Port == a.Port {
			delete(m.accepted, old)
			from = before
		}
	}
	if a.Live+a.TimeWait > 0 {
		m.accepted[a] = from
	}
}

// listen sees which listeners may have left a port's accepted sockets.
func (m *poolModel) listen(a event.Accepted) {
	from := m.accepted[a]
	for _, el := range m.leases[modelPort{a.NetNS, a.Port}] {
		if el.State != event.StateListen || el.Device != a.Device || el.Protocol != event.TCP {
			continue
		}
		other := from.one != nil && (from.one.Local != el.Local || from.one.V6Only != el.V6Only)
		from.several = from.several || other || el.Local.Addr().IsUnspecified()
		from.one = &el
	}
	m.accepted[a] = from
}

// ports are those of a pool's range that the kernel may give.
func (m *poolModel) ports(p *Pool) []uint16 {
	var all []uint16
	for port := int(p.Range.Low); port <= int(p.Range.High); port++ {
		taken := slices.ContainsFunc(m.limits[p.NetNS].Reserved, func(r event.PortRange) bool { return r.Contains(uint16(port)) })
		if !taken {
			all = append(all, uint16(port))
		}
	}
	return all
}

func (m *poolModel) figures(p *Pool) figures {
	if p.Request == RequestConnect {
		return m.connect(p)
	}
	return m.bind(p)
}

func (m *poolModel) connect(p *Pool) figures {
	var f figures
	preferred := 0
	for _, port := range m.ports(p) {
		if m.poisoned[modelPort{p.NetNS, port}] {
			f.Poisoned++
			continue
		}
		f.Capacity++
		low := (port-p.Range.Low)%2 == 0
		if low {
			preferred++
		}
		for _, el := range m.leases[modelPort{p.NetNS, port}] {
			if el.Protocol != event.TCP || el.Local.Addr() != p.Local || el.Remote != p.Remote || el.Device != 0 && el.Device != p.Device {
				continue
			}
			f.InUse++
			if el.State == event.StateTimeWait {
				f.TimeWait++
			}
			if el.State == event.StateSynSent {
				f.SynSent++
			}
			if m.reusable(&el) {
				f.Reusable++
			} else if low {
				preferred--
			}
		}
	}
	f.Headroom = f.Capacity - f.InUse + f.Reusable
	f.Owned = f.InUse
	f.Cliff = CliffAhead
	if preferred <= 0 {
		f.Cliff = CliffPassed
	}
	if p.Own && m.onePass {
		f.Cliff = CliffUnknown
	}
	return f
}

// reusable is tcp_twsk_unique().
func (m *poolModel) reusable(el *event.Lease) bool {
	limits := m.limits[el.NetNS]
	if el.State != event.StateTimeWait || el.Substate != event.SubstateTimeWait || !el.TimestampsSeen || el.Entered == 0 {
		return false
	}
	lo := el.Device == 1 || el.Local.Addr().IsLoopback() || el.Remote.Addr().IsLoopback()
	return (limits.TWReuse == 1 || limits.TWReuse == 2 && lo) &&
		el.Entered+event.Time(*limits.TWReuseDelayMillis)*1e6 <= m.now
}

func (m *poolModel) bind(p *Pool) figures {
	var f figures
	for _, port := range m.ports(p) {
		f.Capacity++
		held, waiting := m.standing(p, port)
		if held || waiting {
			f.InUse++
		}
		if waiting && !held {
			f.TimeWait++
		}
	}
	f.Headroom, f.Owned = f.Capacity-f.InUse, f.InUse
	return f
}

func (m *poolModel) standing(p *Pool, port uint16) (held, waiting bool) {
	for _, el := range m.leases[modelPort{p.NetNS, port}] {
		if el.Protocol != p.Protocol || !overlap(p, &el) {
			continue
		}
		if el.State == event.StateTimeWait {
			waiting = true
		} else {
			held = true
		}
	}
	for a, from := range m.accepted {
		if from.one != nil && !from.several && !overlap(p, from.one) {
			continue
		}
		if p.Protocol == event.TCP && a.NetNS == p.NetNS && a.Port == port && (a.Device == 0 || p.Device == 0 || a.Device == p.Device) {
			held = held || a.Live > 0
			waiting = waiting || a.TimeWait > 0
		}
	}
	return held, waiting
}

// overlap is inet_rcv_saddr_equal() for a plain socket that asks at the pool's
// address against a socket that is there.
func overlap(p *Pool, el *event.Lease) bool {
	if p.Device != 0 && el.Device != 0 && p.Device != el.Device {
		return false
	}
	ours, theirs := p.Local, el.Local.Addr()
	if p.Family == event.IPv4 && el.Family == event.IPv4 {
		return ours == theirs || ours.IsUnspecified() || theirs.IsUnspecified()
	}
	if p.Family == event.IPv4 { // ipv4_rcv_saddr_equal(): an IPv6 address has no equal
		return !el.V6Only && (ours.IsUnspecified() || theirs.IsUnspecified())
	}
	if el.Family == event.IPv4 { // ipv6_rcv_saddr_equal(): the other one counts as mapped
		return ours.IsUnspecified()
	}
	return ours.IsUnspecified() || theirs.IsUnspecified() || ours == theirs
}

// note remembers the headroom of every pool after an event.
func (m *poolModel) note(s *Snapshot) {
	for i := range s.Pools {
		p := &s.Pools[i]
		if p.Range.IsZero() {
			continue
		}
		name := poolName(p)
		if total := p.Total.Attempts(); total < m.attempts[name] {
			m.series[name] = nil // forgotten and opened again
		}
		m.attempts[name] = p.Total.Attempts()
		m.series[name] = append(m.series[name], sample{m.now, m.figures(p).Headroom})
	}
}

// low is the least headroom within the running slot and the ten before it.
func (m *poolModel) low(name string) int {
	slot := slotOf(m.now)
	from := slotStart(slot - min(slot, uint32(minuteSlots)))
	all := m.series[name]
	least := all[len(all)-1].headroom
	for _, one := range slices.Backward(all) {
		least = min(least, one.headroom)
		if one.at < from {
			break
		}
	}
	return least
}

// play applies events to two ledgers: one is looked at after every event, to
// tell the model the series of headrooms, the other one seldom.
func play(t *testing.T, seed uint64, start event.Start, script func(*rand.Rand) event.Event, steps int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	m := &poolModel{
		rule: start.Poison, onePass: start.OwnRangeInOnePass, limits: map[uint32]event.Limits{}, leases: map[modelPort][]event.Lease{},
		accepted: map[event.Accepted]origins{}, poisoned: map[modelPort]bool{}, series: map[string][]sample{}, attempts: map[string]uint64{},
	}
	watched, l := New(Options{}), New(Options{})
	opening := event.Event{Kind: event.KindStart, Time: sec(1), Start: &start}
	watched.Apply(&opening)
	l.Apply(&opening)
	for step := range steps {
		ev := script(rng)
		watched.Apply(&ev)
		l.Apply(&ev)
		m.observe(watched, &ev)
		m.note(watched.Snapshot(0))
		if step%37 != 0 && step != steps-1 {
			continue
		}
		s := l.Snapshot(0)
		for i := range s.Pools {
			p := &s.Pools[i]
			if p.Range.IsZero() {
				continue
			}
			want := m.figures(p)
			want.Low = m.low(poolName(p))
			if diff := cmp.Diff(want, figuresOf(p)); diff != "" {
				t.Fatalf("seed %d, step %d, %s (-model +ledger):\n%s", seed, step, poolName(p), diff)
			}
		}
	}
	checkHomes(t, l)
	checkTables(t, l)
}

// checkHomes compares the number of leases that each pool knows of with the
// leases that know the pool.
func checkHomes(t *testing.T, l *Ledger) {
	t.Helper()
	homes := map[uint32]uint32{}
	for i := range l.leases.next {
		if ls := l.leases.at(i); ls.live && ls.home != 0 {
			homes[ls.home-1]++
		}
	}
	for i := range l.pools.next {
		if p := l.pools.at(i); p.live && p.leases != homes[i] {
			t.Errorf("pool %d counts %d leases, of which %d know it", i, p.leases, homes[i])
		}
	}
}

// checkTables ends every lease: nothing may be left that nobody would ever
// remove.
func checkTables(t *testing.T, l *Ledger) {
	t.Helper()
	for netns := range uint32(3) {
		ev := named(1e6, event.Namespace{NetNS: netns, Gone: true})
		l.Apply(&ev)
	}
	if n := l.buckets.len() + l.buckets.seats.len() + l.pools.len() + l.pools.flows.len() + l.pools.spans.len() + l.pools.stakes.len(); n != 0 {
		t.Errorf("left behind: %d buckets, %d seats, %d pools, %d flows, %d spans, %d stakes", l.buckets.len(),
			l.buckets.seats.len(), l.pools.len(), l.pools.flows.len(), l.pools.spans.len(), l.pools.stakes.len())
	}
	if l.pools.courses != 0 {
		t.Errorf("courses = %d after the end", l.pools.courses)
	}
}

func TestPoolsEqualTheModel(t *testing.T) {
	for _, rule := range []event.Poison{event.PoisonUntilEmpty, event.PoisonWhileBound} {
		for seed := range uint64(6) {
			t.Run(fmt.Sprintf("%v/%d", rule, seed), func(t *testing.T) {
				t.Parallel()
				own := event.PortRange{Low: worldLow, High: worldLow + 7}
				if seed%3 == 0 {
					own = event.PortRange{Low: worldLow + 5, High: 65000}
				}
				w := &world{own: own, live: map[event.LeaseID]event.Lease{}}
				play(t, seed, event.Start{Poison: rule, OwnRangeInOnePass: seed%2 == 0}, w.next, 1000)
			})
		}
	}
}
