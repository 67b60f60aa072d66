package verify_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// The arithmetic against the kernel: whatever happened in a namespace, headroom
// is how many further requests the kernel grants before it refuses.
func TestHeadroomIsWhatSucceeds(t *testing.T) {
	inBatches(t, *cases, 50, func(t *testing.T, from, to uint64) {
		b := openLab(t, int(to-from))
		for i := from; i < to; i++ {
			t.Run(fmt.Sprintf("seed=%d", i), func(t *testing.T) {
				e := newExperiment(b.room(t), rand.New(rand.NewPCG(i, 1)))
				e.prepare()
				e.measure()
			})
		}
	})
}

// inBatches runs so many seeds, some at a time with one lab.
func inBatches(t *testing.T, all, atOnce int, run func(t *testing.T, from, to uint64)) {
	t.Helper()
	end := *seed + uint64(all)
	for from := *seed; from < end; from += uint64(atOnce) {
		to := min(end, from+uint64(atOnce))
		t.Run(fmt.Sprintf("seeds=%d-%d", from, to-1), func(t *testing.T) { run(t, from, to) })
	}
}

// experiment is one random case.
type experiment struct {
	*room
	rng       *rand.Rand
	low, high uint16
	reserved  []string
	reuse     int // tcp_tw_reuse
	delay     int // tcp_tw_reuse_delay in ms: 1, or longer than the test
	stamps    int // tcp_timestamps
	holder    *tracertest.Actor
	servers   [2]netip.AddrPort // closes after its clients; never accepts
	story     []string
}

// The addresses: those of 127.0.0.0/8, and one that tcp_tw_reuse=2 leaves out.
var (
	localhost = netip.MustParseAddr("127.0.0.1")
	elsewhere = netip.MustParseAddr("10.77.0.1")
)

func newExperiment(r *room, rng *rand.Rand) *experiment {
	r.Helper()
	e := &experiment{
		room: r, rng: rng, low: uint16(40000 + rng.IntN(2)), reuse: rng.IntN(3),
		delay: []int{1, 60000}[rng.IntN(2)], stamps: min(1, rng.IntN(4)),
	}
	e.high = e.low + uint16(3+rng.IntN(30))
	for range rng.IntN(3) {
		port := e.low + uint16(rng.IntN(int(e.high-e.low)+1))
		e.reserved = append(e.reserved, fmt.Sprintf("%d-%d", port, min(e.high, port+uint16(rng.IntN(4)))))
	}
	r.ns.AddAddress(elsewhere)
	r.ns.SetRange(e.low, e.high)
	r.ns.Sysctl("net.ipv4.ip_local_reserved_ports", strings.Join(e.reserved, ","))
	r.ns.Sysctl("net.ipv4.tcp_tw_reuse", fmt.Sprint(e.reuse))
	r.ns.Sysctl("net.ipv4.tcp_timestamps", fmt.Sprint(e.stamps))
	e.setDelay()
	r.Cleanup(func() {
		if r.Failed() {
			r.Logf("range %d-%d reserved %v reuse %d delay %d timestamps %d\n%s",
				e.low, e.high, e.reserved, e.reuse, e.delay, e.stamps, strings.Join(e.story, "\n"))
		}
	})
	return e
}

// wholeSecond is the delay of a kernel without tcp_tw_reuse_delay (before 6.18):
// the next whole second of a clock of its own is one at most.
const wholeSecond = 1000

// setDelay sets the delay, where the kernel has one to set. Elsewhere there is
// one only, and no TIME_WAIT is younger than that when it counts.
func (e *experiment) setDelay() {
	e.Helper()
	const delay = "net.ipv4.tcp_tw_reuse_delay"
	if _, err := os.Stat("/proc/sys/" + strings.ReplaceAll(delay, ".", "/")); err != nil {
		e.delay = wholeSecond
		return
	}
	e.ns.Sysctl(delay, fmt.Sprint(e.delay))
}

func (e *experiment) tell(format string, args ...any) {
	e.story = append(e.story, fmt.Sprintf(format, args...))
}

func (e *experiment) port() uint16 { return e.low + uint16(e.rng.IntN(int(e.high-e.low)+1)) }

// prepare does a random number of everything that may change a pool.
func (e *experiment) prepare() {
	e.Helper()
	host := e.actor("server")
	e.servers[0] = e.server(host, "0.0.0.0:30000", true)
	e.servers[1] = e.server(host, "0.0.0.0:30001", false)
	e.holder = e.actor("holder")
	acts := []func(){e.connect, e.connect, e.wait, e.wait, e.finWait2, e.bind, e.bind, e.bindUnder, e.listen, e.udp, e.bindAny}
	for range e.rng.IntN(int(e.high-e.low) + 4) {
		acts[e.rng.IntN(len(acts))]()
	}
}

// to is one of the far ends, at one of the addresses.
func (e *experiment) to(server int) netip.AddrPort {
	addr := []netip.Addr{localhost, elsewhere}[e.rng.IntN(2)]
	return netip.AddrPortFrom(addr, e.servers[server].Port())
}

// open connects and says whether there was a port left.
func (e *experiment) open(to netip.AddrPort) (*tracertest.Socket, bool) {
	e.Helper()
	c := e.holder.Socket(tracertest.TCP4)
	if errno := c.Connect(to); errno != 0 {
		c.Close()
		e.tell("connect %v: %v", to, errno)
		return nil, false
	}
	e.tell("connect %v from %v", to, c.Local())
	return c, true
}

func (e *experiment) connect() { e.open(e.to(e.rng.IntN(2))) }

// wait leaves a TIME_WAIT that was born as one: the far end closes while ours is
// half closed.
func (e *experiment) wait() {
	if c, ok := e.open(e.to(0)); ok {
		c.Shutdown(unix.SHUT_WR)
		c.WaitEOF()
		c.Close()
		e.tell("… waits")
	}
}

// finWait2 leaves a mini-socket whose far end never closes.
func (e *experiment) finWait2() {
	if c, ok := e.open(e.to(1)); ok {
		c.Close()
		e.tell("… in FIN_WAIT2")
	}
}

func (e *experiment) bind() {
	addr := []string{"127.0.0.1", "127.0.0.9", "0.0.0.0", "10.77.0.1"}[e.rng.IntN(4)]
	e.bindTo(tracertest.TCP4, fmt.Sprintf("%s:%d", addr, e.port()))
}

func (e *experiment) bindTo(kind, addr string) (*tracertest.Socket, bool) {
	e.Helper()
	s := e.holder.Socket(kind)
	errno := s.Bind(addr)
	e.tell("bind %s %s: %v", kind, addr, errno)
	return s, errno == 0
}

// bindUnder poisons the port of a connection, and goes again.
func (e *experiment) bindUnder() {
	c, ok := e.open(e.to(1))
	if !ok {
		return
	}
	if s, ok := e.bindTo(tracertest.TCP4, fmt.Sprintf("127.0.0.8:%d", c.Local().Port())); ok && e.rng.IntN(2) == 0 {
		s.Close()
		e.tell("… closed")
	}
}

// listen opens a listener within the range, and closes it under a child that it
// accepted, or not.
func (e *experiment) listen() {
	s, ok := e.bindTo(tracertest.TCP4, fmt.Sprintf("127.0.0.1:%d", e.port()))
	if !ok || s.Listen(8) != 0 {
		return
	}
	if _, ok := e.open(s.Local()); ok && e.rng.IntN(2) == 0 {
		s.Accept()
		s.Close()
		e.tell("… listener closed, child open")
	}
}

func (e *experiment) udp() {
	switch e.rng.IntN(3) {
	case 0:
		e.bindTo(tracertest.UDP4, fmt.Sprintf("127.0.0.1:%d", e.port()))
	case 1:
		e.bindTo(tracertest.UDP6, fmt.Sprintf("[::]:%d", e.port()))
	case 2:
		errno := e.holder.Socket(tracertest.UDP4).Connect(netip.MustParseAddrPort("127.0.0.1:53"))
		e.tell("connect udp: %v", errno)
	}
}

func (e *experiment) bindAny() {
	kind := []string{tracertest.TCP4, tracertest.UDP4}[e.rng.IntN(2)]
	e.bindTo(kind, []string{"0.0.0.0:0", "127.0.0.1:0", "127.0.0.7:0"}[e.rng.IntN(3)])
}

// ask is a kind of request whose headroom is measured.
type ask struct {
	request aggregate.Request
	local   netip.Addr
	remote  netip.AddrPort
	kind    string // of the socket to bind; "" for connect()
}

func (e *experiment) ask() ask {
	if e.rng.IntN(2) == 0 {
		to := e.to(e.rng.IntN(2))
		return ask{request: aggregate.RequestConnect, local: to.Addr(), remote: to}
	}
	a := ask{request: aggregate.RequestBind0, kind: tracertest.TCP4}
	at := []string{"0.0.0.0", "127.0.0.1", "127.0.0.7", "::", "::1"}[e.rng.IntN(5)]
	if e.rng.IntN(2) == 0 {
		a.request, a.kind = aggregate.RequestUDP, tracertest.UDP4
	}
	if a.local = netip.MustParseAddr(at); a.local.Is6() {
		a.kind = strings.Replace(a.kind, "4", "6", 1)
	}
	return a
}

// exhaust asks until the kernel refuses and says how often it did not.
func (e *experiment) exhaust(by *tracertest.Actor, a ask) int {
	e.Helper()
	const most = 100
	var n int
	var errno syscall.Errno
	if a.kind == "" {
		if n, errno = by.ExhaustConnect(a.remote, most, false); errno != syscall.EADDRNOTAVAIL {
			e.Fatalf("connect: %v after %d", errno, n)
		}
		return n
	}
	if n, errno = by.ExhaustBind(a.kind, netip.AddrPortFrom(a.local, 0).String(), most); errno != syscall.EADDRINUSE {
		e.Fatalf("bind: %v after %d", errno, n)
	}
	return n
}

// measure predicts and tries. A first request opens the pool, or is refused;
// when all is used up, the ledger knows that as well.
func (e *experiment) measure() {
	e.Helper()
	a := e.ask()
	prober := e.actor("prober")
	if a.kind == "" {
		prober.Socket(tracertest.TCP4).Connect(a.remote)
	} else {
		prober.Socket(a.kind).Bind(netip.AddrPortFrom(a.local, 0).String())
	}
	e.ripen()
	p := e.pool(e.ledger.Snapshot(0), a.request, a.local, a.remote)
	predicted, what := p.Headroom(), describe(p)
	if a.request == aggregate.RequestConnect {
		e.glance(p)
	}
	got := e.exhaust(prober, a)
	// Of a range with an odd number of ports a call on a TCP socket overlooks one.
	odd := a.request != aggregate.RequestUDP && (e.high-e.low)%2 == 0
	if got != predicted && (!odd || got != predicted-1) {
		e.Errorf("%s: predicted %d, the kernel granted %d", what, predicted, got)
	}
	e.ripen()
	p = e.pool(e.ledger.Snapshot(0), a.request, a.local, a.remote)
	if left := p.Headroom(); left != predicted-got {
		e.Errorf("after %d requests: %s, want %d left", got, describe(p), predicted-got)
	}
	if p.Minute.Refusals == 0 || p.HeadroomLow > p.Headroom() {
		e.Errorf("the refusal is not in the pool: %d refused, lowest %d", p.Minute.Refusals, p.HeadroomLow)
	}
}

// ripen settles, and goes on until what has just begun to wait is older than the
// delay, unless that is longer than the test, with a margin for the kernel's
// jiffies.
func (e *experiment) ripen() {
	e.Helper()
	e.settle()
	var begun event.Time
	for el := range e.ledger.Leases {
		if el.NetNS == e.ns.Inode() && el.State == event.StateTimeWait {
			begun = max(begun, el.Entered)
		}
	}
	margin := event.Time(30e6)
	if e.delay == wholeSecond {
		margin += wholeSecond * 1e6
	}
	for e.ledger.Snapshot(0).At < begun+margin {
		e.settle()
	}
}

func describe(p *aggregate.Pool) string {
	return fmt.Sprintf("%v at %v>%v: capacity %d, poisoned %d, in use %d, TIME_WAIT %d, reusable %d, headroom %d",
		p.Request, p.Local, p.Remote, p.Capacity, p.Poisoned, p.InUse, p.TimeWait, p.Reusable, p.Headroom())
}

// The usual close leaves a mini-socket in FIN_WAIT2, which becomes a TIME_WAIT
// without any event: an audit finds out, and only from then on connect() is
// expected to take it over.
func TestAuditTellsWhatBecameReusable(t *testing.T) {
	b := openLab(t, 1)
	r := b.room(t)
	r.ns.SetRange(40000, 40009)
	r.ns.Sysctl("net.ipv4.tcp_tw_reuse", "1")
	to := r.server(r.actor("server"), "127.0.0.1:30000", true)
	if n, errno := r.actor("holder").ExhaustConnect(to, 7, true); n != 7 {
		t.Fatal(errno)
	}
	r.settle()
	p := func() *aggregate.Pool { return r.pool(r.ledger.Snapshot(0), aggregate.RequestConnect, localhost, to) }
	if got := p(); got.TimeWait != 7 || got.Reusable != 0 {
		t.Errorf("before the audit: %s", describe(got))
	}
	r.untilWithin(t, auditPatience, "seven reusable TIME_WAITs", func(*event.Event) bool { return p().Reusable == 7 })
	if n, errno := r.actor("prober").ExhaustConnect(to, 20, false); n != 10 || errno != syscall.EADDRNOTAVAIL {
		t.Errorf("the kernel granted %d and said %v, want all of 10", n, errno)
	}
}
