package verify_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// Random programs of sockets: whatever processes do, the ledger has the kernel's
// sockets, and each lease is owned by the process whose system call gave the
// port, whoever made or received the socket.
func TestRandomPrograms(t *testing.T) {
	inBatches(t, *programs, 10, func(t *testing.T, from, to uint64) {
		b := openLab(t, 2*int(to-from))
		var running []*program
		for i := from; i < to; i++ {
			p := newProgram(b, t, i)
			p.run(300)
			running = append(running, p)
		}
		for _, p := range running {
			p.checkOwners()
		}
		report := b.healed(t)
		for _, d := range report.Differences {
			t.Errorf("%+v", d)
			for _, p := range running {
				p.blame(d.NetNS, d.Cookie)
			}
		}
		if !report.BoundCompared {
			for _, p := range running {
				p.checkBound()
			}
		}
		t.Logf("%d sockets compared, %d in flight", report.Checked, report.InFlight)
	})
}

// program is one random program with its processes.
type program struct {
	*testing.T
	seed    uint64
	rng     *rand.Rand
	rooms   [2]*room
	people  []*person
	sockets []*socket
	gone    []*socket
	story   []string
	names   int
}

// person is a process of the program.
type person struct {
	*tracertest.Actor
	room   int
	name   string
	forked bool
}

// socket is a socket with all descriptors that lead to it.
type socket struct {
	number   int
	kind     string
	room     int
	handles  []handle
	accepted bool
	byNumber bool   // bind() named its port: it keeps it
	tried    bool   // connect() went far enough to lose another one
	taker    *taker // nil while it has no port
	cookie   uint64 // once it was asked for
}

type handle struct {
	by *person
	fd *tracertest.Socket
}

// taker is the process that took a port, as it was then.
type taker struct {
	pid  int
	name string
	port uint16
}

func newProgram(b *lab, t *testing.T, seed uint64) *program {
	t.Helper()
	p := &program{T: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 2))}
	for i := range p.rooms {
		p.rooms[i] = b.room(t)
		p.rooms[i].ns.SetRange(40000, 40063)
		for range 2 {
			p.hire(p.rooms[i].actor(p.name()), i)
		}
	}
	return p
}

func (p *program) name() string {
	p.names++
	return fmt.Sprintf("p%d-%d", p.seed, p.names)
}

func (p *program) hire(a *tracertest.Actor, room int) *person {
	who := &person{Actor: a, room: room, name: fmt.Sprintf("p%d-%d", p.seed, p.names)}
	p.people = append(p.people, who)
	return who
}

func (p *program) tell(format string, args ...any) {
	p.story = append(p.story, fmt.Sprintf(format, args...))
}

// run does so many steps.
func (p *program) run(steps int) {
	p.Helper()
	for range steps {
		p.step()
	}
	for _, r := range p.rooms {
		r.settle()
	}
}

func (p *program) step() {
	p.Helper()
	if len(p.sockets) == 0 || len(p.sockets) < 40 && p.rng.IntN(5) == 0 {
		p.make()
		return
	}
	s := p.sockets[p.rng.IntN(len(p.sockets))]
	h := s.handles[p.rng.IntN(len(s.handles))]
	if n := p.rng.IntN(100); n < 8 {
		p.share(s, h, n)
		return
	}
	p.look(s, nil) // a port may be gone since
	p.act(s, h)
	p.look(s, h.by)
}

// act makes one system call on a socket.
func (p *program) act(s *socket, h handle) {
	p.Helper()
	word := ""
	var errno syscall.Errno
	switch n := p.rng.IntN(20); {
	case n < 4:
		addr := p.local(s)
		word, errno = "bind "+addr, h.fd.Bind(addr)
		if errno == 0 {
			s.byNumber, s.tried = !strings.HasSuffix(addr, ":0"), false
		}
	case n < 6 && strings.HasPrefix(s.kind, "tcp"):
		word, errno = "listen", h.fd.Listen(8)
	case n < 8 && strings.HasPrefix(s.kind, "tcp"):
		p.accept(s, h)
		return
	case n < 13:
		to := p.far(s)
		word, errno = "connect "+to.String(), h.fd.Connect(to)
		// Any other error is told before anything begins; a refusal is that of
		// the connection before.
		s.tried = s.tried || errno == 0 || errno == syscall.EINPROGRESS || errno == syscall.EADDRNOTAVAIL
	case n < 14:
		// Only what is connected, or listens, loses its port.
		s.tried = s.tried || strings.HasPrefix(s.kind, "tcp") && h.fd.TCPState() != event.StateClose
		word, errno = "disconnect", h.fd.Disconnect()
	case n < 16 && strings.HasPrefix(s.kind, "udp"):
		to := p.far(s)
		word, errno = "send "+to.String(), h.fd.SendTo(to)
	case n < 16:
		// That of a connection which is being made ends it and then widens the
		// socket's address, without any event: only an audit sees that.
		if h.fd.TCPState() == event.StateSynSent {
			return
		}
		word, errno = "shutdown", h.fd.Shutdown(unix.SHUT_WR)
	case n < 17:
		h.fd.Linger0()
		word = "linger 0"
	default:
		p.close(s, h)
		return
	}
	p.tell("%d %s by %s: %s: %v", s.number, s.kind, h.by.name, word, errno)
}

// make makes a socket.
func (p *program) make() {
	p.Helper()
	who := p.people[p.rng.IntN(len(p.people))]
	s := &socket{
		number: len(p.sockets) + len(p.gone), room: who.room,
		kind: []string{tracertest.TCP4, tracertest.TCP4, tracertest.TCP6, tracertest.UDP4, tracertest.UDP6}[p.rng.IntN(5)],
	}
	fd := who.Socket(s.kind)
	fd.NonBlocking()
	if p.rng.IntN(3) == 0 {
		fd.Set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	s.handles = []handle{{who, fd}}
	p.sockets = append(p.sockets, s)
}

// look follows who took the port that the socket has.
func (p *program) look(s *socket, by *person) {
	p.Helper()
	if len(s.handles) == 0 || s.accepted {
		return
	}
	port := s.handles[0].fd.Local().Port()
	switch {
	case port == 0 || !p.holds(s):
		s.taker = nil
	case s.taker == nil || s.taker.port != port:
		s.taker = &taker{port: port, name: "nobody"}
		if by != nil {
			s.taker = &taker{by.PID, by.name, port}
		}
	}
}

// holds reports whether the port that the socket still shows is its own: a
// connection that failed has given back what bind() did not name.
func (p *program) holds(s *socket) bool {
	p.Helper()
	if strings.HasPrefix(s.kind, "udp") || s.byNumber || !s.tried {
		return true
	}
	return s.handles[0].fd.TCPState() != event.StateClose
}

// local is an address to bind to.
func (p *program) local(s *socket) string {
	port := 0
	if p.rng.IntN(3) > 0 {
		port = 40000 + p.rng.IntN(80)
	}
	if strings.HasSuffix(s.kind, "6") {
		return fmt.Sprintf("[%s]:%d", []string{"::", "::1", "::ffff:127.0.0.1"}[p.rng.IntN(3)], port)
	}
	return fmt.Sprintf("%s:%d", []string{"0.0.0.0", "127.0.0.1", "127.0.0.2"}[p.rng.IntN(3)], port)
}

// far is an address to connect to: mostly where somebody of the room may listen.
func (p *program) far(s *socket) netip.AddrPort {
	port := uint16(40000 + p.rng.IntN(80))
	for range 10 {
		other := p.sockets[p.rng.IntN(len(p.sockets))]
		if other.taker != nil && other.room == s.room {
			port = other.taker.port
			break
		}
	}
	addr := "127.0.0.1"
	if strings.HasSuffix(s.kind, "6") {
		addr = []string{"::1", "::ffff:127.0.0.1"}[p.rng.IntN(2)]
	}
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}

func (p *program) accept(s *socket, h handle) {
	p.Helper()
	fd, errno := h.fd.TryAccept()
	if errno != 0 {
		return
	}
	child := &socket{number: len(p.sockets) + len(p.gone), kind: s.kind, room: s.room, accepted: true, handles: []handle{{h.by, fd}}}
	fd.NonBlocking()
	p.sockets = append(p.sockets, child)
	p.tell("%d accepted from %d by %s", child.number, s.number, h.by.name)
}

// share lets others have the socket, or ends a process.
func (p *program) share(s *socket, h handle, n int) {
	p.Helper()
	switch {
	case n < 2:
		s.handles = append(s.handles, handle{h.by, h.fd.Dup()})
	case n < 4:
		if to := p.neighbour(h.by); to != nil {
			s.drop(h)
			s.handles = append(s.handles, handle{to, h.fd.PassTo(to.Actor)})
			p.tell("%d passed from %s to %s", s.number, h.by.name, to.name)
		}
	case n < 5 && len(p.people) < 8:
		p.fork(h.by)
	case n < 6 && !h.by.forked:
		before := h.by.name
		h.by.name = p.name()
		h.by.Exec(h.by.name)
		h.by.Socket(tracertest.UDP4).Close() // answers once it is the new program
		p.tell("%s is %s now", before, h.by.name)
	case n < 7 && len(p.people) > 5:
		p.exit(h.by)
	}
}

func (p *program) neighbour(of *person) *person {
	for _, who := range p.people {
		if who != of && who.room == of.room {
			return who
		}
	}
	return nil
}

func (p *program) fork(parent *person) {
	p.Helper()
	name := p.name()
	child := p.hire(parent.Fork(name), parent.room)
	child.forked = true
	for _, s := range p.sockets {
		for _, h := range s.handles {
			if h.by == parent {
				s.handles = append(s.handles, handle{child, h.fd.In(child.Actor)})
			}
		}
	}
	p.tell("%s forks %s", parent.name, name)
}

func (p *program) exit(who *person) {
	p.Helper()
	for _, s := range p.sockets {
		if len(s.handles) > 0 && s.owned(who) {
			p.ask(s)
		}
	}
	who.Exit()
	p.tell("%s exits", who.name)
	kept := p.people[:0]
	for _, other := range p.people {
		if other != who {
			kept = append(kept, other)
		}
	}
	p.people = kept
	for _, s := range p.sockets {
		all := s.handles
		s.handles = nil
		for _, h := range all {
			if h.by != who {
				s.handles = append(s.handles, h)
			}
		}
	}
	p.bury()
}

func (s *socket) owned(by *person) bool {
	for _, h := range s.handles {
		if h.by != by {
			return false
		}
	}
	return true
}

func (p *program) close(s *socket, h handle) {
	p.Helper()
	if len(s.handles) == 1 {
		p.ask(s)
	}
	h.fd.Close()
	s.drop(h)
	p.tell("%d closed by %s, %d descriptors left", s.number, h.by.name, len(s.handles))
	p.bury()
}

// ask notes the cookie of a socket that is about to go and may leave a TIME_WAIT.
func (p *program) ask(s *socket) {
	p.Helper()
	p.look(s, nil)
	if s.taker != nil {
		s.cookie = s.handles[0].fd.Cookie()
	}
}

func (s *socket) drop(h handle) {
	for i := range s.handles {
		if s.handles[i] == h {
			s.handles = append(s.handles[:i:i], s.handles[i+1:]...)
			return
		}
	}
}

// bury moves the sockets without a descriptor to those that are gone.
func (p *program) bury() {
	kept := p.sockets[:0]
	for _, s := range p.sockets {
		if len(s.handles) == 0 {
			p.gone = append(p.gone, s)
		} else {
			kept = append(kept, s)
		}
	}
	p.sockets = kept
}

// checkOwners compares the owner of every lease of the program with who took
// the port.
func (p *program) checkOwners() {
	p.Helper()
	takers := map[uint64]*socket{}
	for _, s := range append(p.sockets, p.gone...) {
		if len(s.handles) > 0 && !s.accepted {
			p.ask(s)
		}
		if s.cookie != 0 && s.taker != nil {
			takers[s.cookie] = s
		}
	}
	for el := range p.rooms[0].ledger.Leases {
		s := takers[el.ID.Cookie]
		if s == nil || s.taker.port != el.Local.Port() || s.accepted {
			continue
		}
		if int(el.Owner.PID) != s.taker.pid || el.Owner.Confidence < event.ConfidenceSnapshot {
			p.Errorf("seed %d: socket %d, %v: the ledger's owner is %v[%d], %s; the port was taken by %s[%d]\n%s", p.seed, s.number,
				el.Local, el.Owner.Comm, el.Owner.PID, el.Owner.Confidence, s.taker.name, s.taker.pid, p.of(s.number))
		}
		delete(takers, el.ID.Cookie)
	}
	for cookie, s := range takers {
		if len(s.handles) > 0 && s.taker.name != "nobody" {
			p.Errorf("seed %d: socket %d (cookie %d) has port %d and no lease\n%s", p.seed, s.number, cookie, s.taker.port, p.of(s.number))
		}
	}
}

// checkBound looks for leases of sockets that are bound and nothing else, and
// exist no more: before 6.12 the kernel lists none to compare with. That none is
// missing is what checkOwners finds out.
func (p *program) checkBound() {
	p.Helper()
	p.rooms[0].audited(p.T, func() bool { return len(p.deserted()) == 0 })
	for _, el := range p.deserted() {
		p.Errorf("seed %d: %v (cookie %d) is bound by a socket that is no more; losses %+v",
			p.seed, el.Local, el.ID.Cookie, p.rooms[0].ledger.Snapshot(0).Losses)
		p.blame(el.NetNS, el.ID.Cookie)
	}
}

// deserted are the leases of bound sockets that the program has closed. Where the
// kernel skipped the program that tells, two audits find out.
func (p *program) deserted() (leases []event.Lease) {
	p.Helper()
	bound := map[uint64]bool{}
	for _, s := range p.sockets {
		if s.taker != nil {
			bound[s.cookie] = true
		}
	}
	for _, r := range p.rooms {
		for _, el := range r.leases(func(el *event.Lease) bool { return el.State == event.StateBound }) {
			if !bound[el.ID.Cookie] {
				leases = append(leases, el)
			}
		}
	}
	return leases
}

// of is the story of a socket.
func (p *program) of(number int) string {
	var lines []string
	for _, line := range p.story {
		if strings.HasPrefix(line, fmt.Sprintf("%d ", number)) || strings.HasPrefix(line, "p") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// blame tells the story of a socket on which the ledger and the kernel differ.
func (p *program) blame(netns uint32, cookie uint64) {
	p.Helper()
	for _, r := range p.rooms {
		if r.ns.Inode() != netns {
			continue
		}
		p.Errorf("that was seed %d", p.seed)
		for _, s := range append(p.sockets, p.gone...) {
			if s.cookie == cookie {
				p.Errorf("socket %d:\n%s", s.number, p.of(s.number))
			}
		}
	}
}
