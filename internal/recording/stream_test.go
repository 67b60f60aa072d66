package recording

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"github.com/portwatch/portwatch/internal/event"
)

// traffic is what a synthetic host does.
type traffic struct {
	perSecond  float64 // new sockets
	processes  int
	far        int     // far ends; each socket has one of its own if 0
	udp        float64 // part of the sockets that are UDP
	failed     float64 // refusals per socket
	peerCloses float64
}

// reference is a busy host: 2,000 sockets a second of 200 processes towards 40
// far ends.
var reference = traffic{perSecond: 2000, processes: 200, far: 40, udp: 0.05, failed: 0.02, peerCloses: 0.12}

// harder has few events per socket, and far ends that do not repeat.
var harder = traffic{perSecond: 5000, processes: 200, udp: 0.55, failed: 0.02, peerCloses: 0.3}

// quietHost makes some 250 events a second.
var quietHost = traffic{perSecond: 45, processes: 40, far: 20, udp: 0.2, failed: 0.01, peerCloses: 0.12}

// generator makes the stream of a host, event by event.
type generator struct {
	traffic
	r       *rand.Rand
	now     event.Time
	next    event.Time // when the next socket is made
	tick    event.Time
	due     planned
	owners  []event.Owner
	threads []uint32
	cookies [16]uint64 // per CPU
	batch   uint64
	ports   []uint16 // per far end
	inUse   map[tuple]bool
	held    event.Event // waits to be told after its successor
	holding bool
}

type tuple struct {
	remote netip.AddrPort
	port   uint16
}

// plan is an event that will happen.
type plan struct {
	at   event.Time
	ev   event.Event
	of   event.Lease
	then int // what the socket does next, see follow
}

type planned []plan

func (p planned) Len() int           { return len(p) }
func (p planned) Less(i, j int) bool { return p[i].at < p[j].at }
func (p planned) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *planned) Push(x any)        { *p = append(*p, x.(plan)) }
func (p *planned) Pop() any {
	old := *p
	last := old[len(old)-1]
	*p = old[:len(old)-1]
	return last
}

func newGenerator(t traffic, seed uint64) *generator {
	g := &generator{traffic: t, r: rand.New(rand.NewPCG(seed, 7)), now: 1_000e9 + 123_456_789, inUse: map[tuple]bool{}}
	g.next, g.tick = g.now, g.now
	for i := range t.processes {
		g.owners = append(g.owners, event.Owner{
			Kind: event.OwnerProcess, Confidence: event.ConfidenceExact, PID: uint32(1000 + 37*i), StartTime: event.Time(1e9 * (i + 1)),
			Comm: event.CommOf("worker-" + string(rune('a'+i%26))), UID: uint32(1000 + i%5), CgroupID: uint64(4000 + i%60),
		})
		g.threads = append(g.threads, uint32(1+g.r.IntN(16)))
	}
	for range max(t.far, 1) {
		g.ports = append(g.ports, uint16(32768+2*g.r.IntN(14000)))
	}
	return g
}

// zipf is a number below n; small ones are likely.
func (g *generator) zipf(n int) int {
	x := g.r.Float64()
	return int(float64(n) * x * x * x)
}

func (g *generator) exp(mean float64) event.Time { return event.Time(g.r.ExpFloat64() * mean) }

// event fills in the next event. One in twenty comes after the one behind it,
// as from two CPUs.
func (g *generator) event(ev *event.Event) {
	if g.holding {
		*ev, g.holding = g.held, false
		return
	}
	g.step(ev)
	if ev.Lease.ID.Cookie != 0 && g.r.IntN(20) == 0 {
		var after event.Event
		g.step(&after)
		if after.Lease.ID != ev.Lease.ID && after.Time-ev.Time < 2000 {
			*ev, after = after, *ev
		}
		g.held, g.holding = after, true
	}
}

func (g *generator) step(ev *event.Event) {
	soonest := g.next
	if len(g.due) > 0 {
		soonest = min(soonest, g.due[0].at)
	}
	switch {
	case g.tick <= soonest:
		*ev = event.Event{Kind: event.KindTick, Time: g.tick}
		g.tick += 1e9
	case len(g.due) > 0 && g.due[0].at <= g.next:
		p := heap.Pop(&g.due).(plan)
		*ev = p.ev
		ev.Time = p.at
		if ev.Kind == event.KindRelease {
			delete(g.inUse, tuple{p.of.Remote, p.of.Local.Port()})
		}
		g.follow(p)
	default:
		at := g.next
		g.next += g.exp(1e9 / g.perSecond)
		if g.r.Float64() < g.failed {
			g.refuse(ev, at)
			return
		}
		g.create(ev, at)
	}
}

func (g *generator) create(ev *event.Event, at event.Time) {
	who := g.zipf(len(g.owners))
	cpu := who % len(g.cookies)
	if g.cookies[cpu]%4096 == 0 {
		g.batch++
		g.cookies[cpu] = g.batch * 4096
	}
	g.cookies[cpu]++
	remote, port := g.choose()
	l := event.Lease{
		ID: event.LeaseID{Cookie: g.cookies[cpu], Born: at - event.Time(g.r.IntN(20_000))}, NetNS: 4026531840 + uint32(who%26),
		Protocol: event.TCP, Family: event.IPv4, State: event.StateSynSent, Origin: event.OriginConnect, Owner: g.owners[who],
		Local: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 20, byte(who % 26), 17}), port), Remote: remote,
	}
	steps := 3
	if g.r.Float64() < g.udp {
		l.Protocol, l.State, l.Origin, steps = event.UDP, event.StateConnected, event.OriginAutobind, 0
	} else if g.r.Float64() < g.peerCloses {
		steps = 2
	}
	*ev = event.Event{
		Kind: event.KindAllocate, Time: at, Lease: l, SocketCgroup: l.Owner.CgroupID,
		Thread:         event.Thread{TID: l.Owner.PID + uint32(g.r.IntN(int(g.threads[who]))), Comm: l.Owner.Comm},
		NamespaceRange: event.PortRange{Low: 32768, High: 60999},
	}
	g.follow(plan{at: at, of: l, then: 10 + steps})
}

// choose is a far end and a port towards it, in the order of connect().
func (g *generator) choose() (netip.AddrPort, uint16) {
	n := g.zipf(len(g.ports))
	remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, 58, byte(n)}), 443)
	if g.far == 0 {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], g.r.Uint32())
		remote = netip.AddrPortFrom(netip.AddrFrom4(b), 53)
	}
	for try := 1; ; try++ {
		if try%20 == 0 && g.far > 0 { // nearly full
			n = g.r.IntN(g.far)
			remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, 58, byte(n)}), 443)
		}
		g.ports[n] += 2 * uint16(1+g.r.IntN(4)/3)
		if g.ports[n] < 32768 || g.ports[n] > 60999 {
			g.ports[n] = 32768
		}
		if key := (tuple{remote, g.ports[n]}); !g.inUse[key] {
			g.inUse[key] = true
			return remote, key.port
		}
	}
}

// follow plans what the socket does next.
func (g *generator) follow(p plan) {
	change := func(from, to event.State, after event.Time, then int) {
		g.plan(event.KindState, p.at+after, &p.of, from, to, then)
	}
	switch p.then {
	case 10: // UDP
		g.plan(event.KindRelease, p.at+g.exp(200e6), &p.of, event.StateConnected, event.StateClose, 0)
	case 12, 13:
		change(event.StateSynSent, event.StateEstablished, g.exp(400e3), p.then+10)
	case 22: // the peer closes first
		change(event.StateEstablished, event.StateCloseWait, g.exp(300e6), 30)
	case 30:
		change(event.StateCloseWait, event.StateLastAck, g.exp(1e6), 31)
	case 31:
		g.plan(event.KindRelease, p.at+g.exp(300e3), &p.of, event.StateLastAck, event.StateClose, 0)
	case 23:
		change(event.StateEstablished, event.StateFinWait1, g.exp(300e6), 40)
	case 40:
		change(event.StateFinWait1, event.StateFinWait2, g.exp(200e3), 41)
	case 41:
		g.wait(p.at+g.exp(200e3), p.of)
	case 42:
		// The kernel's timer wheel ends many at once.
		const slot = event.Time(512e6)
		end := (p.of.Expires/slot+1)*slot + event.Time(g.r.IntN(2_000_000))
		g.plan(event.KindRelease, end, &p.of, event.StateTimeWait, event.StateClose, 0)
	}
}

// plan plans an event that says only what all events of a lease say.
func (g *generator) plan(k event.Kind, at event.Time, of *event.Lease, from, to event.State, then int) {
	ev := event.Event{Kind: k, From: from, Lease: event.Lease{ID: of.ID, NetNS: of.NetNS, State: to}}
	ev.Lease.Local = netip.AddrPortFrom(netip.Addr{}, of.Local.Port())
	if k == event.KindRelease {
		ev.Cause = event.CauseClosed
		if from == event.StateTimeWait {
			ev.Cause = event.CauseExpired
		}
	}
	heap.Push(&g.due, plan{at: at, ev: ev, of: *of, then: then})
}

// wait plans a TIME_WAIT, whose event carries the whole lease.
func (g *generator) wait(at event.Time, of event.Lease) {
	of.State, of.Substate, of.TimestampsSeen = event.StateTimeWait, event.SubstateTimeWait, true
	of.Expires, of.Entered = at+60_000e6, at
	heap.Push(&g.due, plan{at: at, ev: event.Event{Kind: event.KindTimeWait, From: event.StateFinWait2, Lease: of}, of: of, then: 42})
}

func (g *generator) refuse(ev *event.Event, at event.Time) {
	owner := g.owners[g.zipf(len(g.owners))]
	*ev = event.Event{Kind: event.KindFailure, Time: at, Thread: event.Thread{TID: owner.PID, Comm: owner.Comm}, Failure: &event.Failure{
		Operation: event.OperationConnect, Errno: event.EADDRNOTAVAIL, Reason: event.ReasonPoolExhausted, NetNS: 4026531840,
		Protocol: event.TCP, Family: event.IPv4, Owner: owner, Count: 1, First: at, Last: at,
		Local: netip.MustParseAddrPort("10.20.0.17:0"), Remote: netip.MustParseAddrPort("10.96.58.1:443"),
	}}
}

// events are the first n.
func (g *generator) events(n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		g.event(&all[i])
	}
	return all
}
