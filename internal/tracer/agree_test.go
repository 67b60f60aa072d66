package tracer

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

const (
	agreeSeeds = 2
	agreeSteps = 150
)

// Both modes, at once in one namespace, tell the same leases and refusals of a
// random program, but for what mode tracepoint says that it cannot know.
func TestModesAgreeAtOnce(t *testing.T) {
	if !needFull(t) {
		return
	}
	for seed := range uint64(agreeSeeds) {
		full := newStage(t)
		other := &stage{T: t, ns: full.ns}
		full.open(inMode(event.ModeFull))
		other.open(inMode(event.ModeTracepoint))
		playRandom(full, seed)
		full.settle()
		other.settle()
		agree(t, seed, full, other, exactly)
	}
}

// The same program, once in each mode: the ports differ that the kernel chose.
func TestModesAgreeInTurn(t *testing.T) {
	if !needFull(t) {
		return
	}
	for seed := range uint64(agreeSeeds) {
		var stages [2]*stage
		for i, mode := range []event.Mode{event.ModeFull, event.ModeTracepoint} {
			stages[i] = setStage(t, inMode(mode))
			playRandom(stages[i], seed)
			stages[i].settle()
		}
		agree(t, seed, stages[0], stages[1], inTurn)
	}
}

func inMode(m event.Mode) func(*Options) { return func(o *Options) { o.Mode = m } }

// agree compares what two stages tell. A run that the kernel skipped makes the
// two differ, and is counted: there is nothing to compare then.
func agree(t *testing.T, seed uint64, full, other *stage, show shower) {
	t.Helper()
	if full.skipped()+other.skipped() > 0 {
		t.Logf("cannot know: seed %d: the kernel skipped %d and %d runs", seed, full.skipped(), other.skipped())
		return
	}
	a, b := full.reduced(show), other.reduced(show)
	if len(a) < agreeSteps/4 {
		t.Fatalf("seed %d: %d leases and refusals are too few to prove anything", seed, len(a))
	}
	if onlyFull, onlyOther := differences(a, b), differences(b, a); len(onlyFull)+len(onlyOther) > 0 {
		t.Errorf("seed %d: mode full alone says\n%s\nmode tracepoint alone says\n%s",
			seed, strings.Join(onlyFull, "\n"), strings.Join(onlyOther, "\n"))
	}
}

// shower writes an address and a state; two streams are compared by what it
// writes.
type shower struct {
	addr  func(netip.AddrPort) string
	state func(event.State) string
}

var (
	exactly = shower{netip.AddrPort.String, event.State.String}
	// inTurn leaves out what two runs of one program need not have in common: the
	// ports that the kernel chose, and whether a close() met the peer's answer
	// half-way, which leaves an orphan in FIN_WAIT2 in the place of a mini-socket.
	inTurn = shower{withoutChosenPort, withoutHaste}
)

func withoutChosenPort(a netip.AddrPort) string {
	if a.IsValid() && a.Port() >= 40000 {
		return a.Addr().String() + ":chosen"
	}
	return a.String()
}

func withoutHaste(s event.State) string {
	if s == event.StateFinWait2 || s == event.StateTimeWait {
		return "closed by us"
	}
	return s.String()
}

// reduced is the stream as its leases and refusals, a line each, sorted. Left
// out is what the modes know differently: the sub-state of a TIME_WAIT, with what
// confidence the sender of a datagram is the owner, and times.
func (s *stage) reduced(show shower) []string {
	type life struct {
		last event.Lease
		end  string
	}
	lives := map[event.LeaseID]*life{}
	for i := range s.events {
		ev := &s.events[i]
		switch ev.Kind {
		case event.KindAllocate, event.KindTimeWait:
			l := lives[ev.Lease.ID]
			if l == nil {
				l = &life{}
				lives[ev.Lease.ID] = l
			}
			l.last = ev.Lease
		case event.KindState:
			if l := lives[ev.Lease.ID]; l != nil {
				l.last.State = ev.Lease.State
			}
		case event.KindRelease:
			if l := lives[ev.Lease.ID]; l != nil {
				l.end = ev.Cause.String()
			}
		}
	}
	var lines []string
	for _, l := range lives {
		if comm := l.last.Owner.Comm.String(); comm != "sentinel" {
			lines = append(lines, fmt.Sprintf("lease %v %v %v→%v by %v, %v of %v, ends %q",
				l.last.Protocol, show.state(l.last.State), show.addr(l.last.Local), show.addr(l.last.Remote), l.last.Origin, comm, l.last.Owner.Kind, l.end))
		}
	}
	counts := map[string]uint64{}
	for _, f := range s.failures() {
		counts[fmt.Sprintf("refused %v %v %v %v→%v %v of %v", f.Operation, f.Errno, f.Reason,
			show.addr(f.Local), show.addr(f.Remote), f.Protocol, f.Owner.Comm)] += f.Count
	}
	for line, count := range counts {
		lines = append(lines, fmt.Sprintf("%s, %d times", line, count))
	}
	slices.Sort(lines)
	return lines
}

// randomPlay is a random program under way.
type randomPlay struct {
	*stage
	rng     *rand.Rand
	actors  []*tracertest.Actor
	sockets []*tracertest.Socket
	servers []netip.AddrPort
	// connected are those that were connected by a move of their own.
	connected map[*tracertest.Socket]bool
}

// playRandom plays a program of sockets, the same one for the same seed.
func playRandom(s *stage, seed uint64) {
	s.Helper()
	s.Logf("seed %d", seed)
	p := &randomPlay{stage: s, rng: rand.New(rand.NewPCG(seed, 0)), connected: map[*tracertest.Socket]bool{}}
	host := s.actor("host")
	for i, kind := range []string{tracertest.TCP4, tracertest.TCP6} {
		addr := []string{"127.0.0.1:30000", "[::1]:30001"}[i]
		l := host.Socket(kind)
		want(s, "listen", errnoOf(l.Bind(addr), l.Listen(agreeSteps)), 0)
		l.Serve()
		p.servers = append(p.servers, netip.MustParseAddrPort(addr))
	}
	p.actors = []*tracertest.Actor{s.actor("one"), s.actor("two")}
	moves := []func(){
		p.connect, p.connect, p.connect, p.connectBound, p.bind, p.bindAny, p.listen, p.datagram, p.datagramConnect,
		p.bindElsewhere, p.close, p.close, p.reset, p.shutdown, p.connectTwice,
	}
	for range agreeSteps {
		moves[p.rng.IntN(len(moves))]()
	}
}

func errnoOf(all ...syscall.Errno) syscall.Errno {
	for _, e := range all {
		if e != 0 {
			return e
		}
	}
	return 0
}

func (p *randomPlay) open(kind string) *tracertest.Socket {
	k := p.actors[p.rng.IntN(len(p.actors))].Socket(kind)
	p.sockets = append(p.sockets, k)
	return k
}

// take removes a random socket from those that are open; nil if there is none.
func (p *randomPlay) take() *tracertest.Socket {
	if len(p.sockets) == 0 {
		return nil
	}
	i := p.rng.IntN(len(p.sockets))
	k := p.sockets[i]
	p.sockets = slices.Delete(p.sockets, i, i+1)
	return k
}

// fixed is one of a few ports, so that programs get into each other's way.
func (p *randomPlay) fixed() string { return fmt.Sprintf("127.0.0.1:%d", 30100+p.rng.IntN(6)) }

func (p *randomPlay) connect() {
	kind, to := tracertest.TCP4, p.servers[0]
	if p.rng.IntN(3) == 0 {
		kind, to = tracertest.TCP6, p.servers[1]
	}
	k := p.open(kind)
	if k.Connect(to) == 0 {
		p.connected[k] = true
	}
}

func (p *randomPlay) connectBound() {
	k := p.open(tracertest.TCP4)
	k.Bind(p.fixed())
	k.Connect(p.servers[0])
}

func (p *randomPlay) connectTwice() {
	k := p.open(tracertest.TCP4)
	k.Connect(p.servers[0])
	k.Connect(p.servers[0])
}

func (p *randomPlay) bind() {
	kinds := []string{tracertest.TCP4, tracertest.UDP4}
	p.open(kinds[p.rng.IntN(len(kinds))]).Bind(p.fixed())
}

func (p *randomPlay) bindAny() {
	kinds := []string{tracertest.TCP4, tracertest.UDP4}
	p.open(kinds[p.rng.IntN(len(kinds))]).Bind("127.0.0.1:0")
}

func (p *randomPlay) bindElsewhere() { p.open(tracertest.TCP4).Bind("192.0.2.1:30200") }

func (p *randomPlay) listen() {
	k := p.open(tracertest.TCP4)
	if p.rng.IntN(2) == 0 {
		k.Bind(p.fixed())
	}
	k.Listen(1)
}

func (p *randomPlay) datagram() { p.open(tracertest.UDP4).SendTo(somewhere) }

func (p *randomPlay) datagramConnect() {
	k := p.open(tracertest.UDP4)
	k.Connect(somewhere)
	if p.rng.IntN(2) == 0 {
		k.Disconnect()
	}
}

func (p *randomPlay) close() {
	if k := p.take(); k != nil {
		k.Close()
	}
}

func (p *randomPlay) reset() {
	if k := p.take(); k != nil {
		k.Linger0()
		k.Close()
	}
}

// shutdown half-closes a socket. What a server accepted is closed in answer: the
// program waits for that, so that the next move does not meet it half-way.
func (p *randomPlay) shutdown() {
	if len(p.sockets) == 0 {
		return
	}
	k := p.sockets[p.rng.IntN(len(p.sockets))]
	if k.Shutdown(syscall.SHUT_WR) == 0 && p.connected[k] {
		k.WaitEOF()
	}
}
