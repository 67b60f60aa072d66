package verify_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// What the verdict on a bind() says is what the kernel does, for random sockets
// with random flags of two users in one namespace.
func TestVerdictIsTheKernels(t *testing.T) {
	looker, err := tracer.OpenLooker(false)
	if err != nil {
		t.Fatal(err)
	}
	defer looker.Close()
	if looker.Reason() != "" {
		t.Fatalf("the looker does without BPF: %s", looker.Reason())
	}
	known := 0
	for i := *seed; i < *seed+uint64(*cases); i++ {
		t.Run(fmt.Sprintf("seed=%d", i), func(t *testing.T) { known += newCrowd(t, looker, i).play() })
	}
	if asked := *cases * crowdRequests; known < asked*9/10 {
		t.Errorf("%d of %d verdicts were known: too few to prove anything", known, asked)
	}
}

// crowdRequests is how many bind()s are compared for each seed.
const crowdRequests = 6

// The ports and addresses over which a crowd quarrels.
var (
	crowdPorts = []uint16{9000, 9001}
	crowd4     = []string{"0.0.0.0", "127.0.0.1", "127.0.0.2"}
	crowd6     = []string{"[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"}
)

// crowd is sockets of two users on a few ports.
type crowd struct {
	*testing.T
	rng    *rand.Rand
	ns     *tracertest.NS
	looker *tracer.Looker
	users  [2]*tracertest.Actor
	server *tracertest.Actor
	far4   netip.AddrPort
	far6   netip.AddrPort
	story  []string
}

func newCrowd(t *testing.T, looker *tracer.Looker, seed uint64) *crowd {
	t.Helper()
	c := &crowd{T: t, rng: rand.New(rand.NewPCG(seed, 5)), ns: tracertest.PrivateNetNS(t), looker: looker}
	c.server = tracertest.StartActor(t, c.ns, "far")
	c.far4, c.far6 = c.serve(tracertest.TCP4, "127.0.0.1:7000"), c.serve(tracertest.TCP6, "[::1]:7001")
	for i := range c.users {
		c.users[i] = tracertest.StartActor(t, c.ns, fmt.Sprintf("user%d", i))
		c.users[i].BeUser(1000 + i)
	}
	return c
}

func (c *crowd) serve(kind, addr string) netip.AddrPort {
	c.Helper()
	s := c.server.Socket(kind)
	if errno := s.Bind(addr); errno != 0 {
		c.Fatal(errno)
	}
	if errno := s.Listen(64); errno != 0 {
		c.Fatal(errno)
	}
	return netip.MustParseAddrPort(addr)
}

func (c *crowd) pick(words []string) string { return words[c.rng.IntN(len(words))] }

// try is a socket that was made with random flags, and what it would bind.
type try struct {
	socket               *tracertest.Socket
	kind                 string
	user                 int
	v6only               bool
	local                string
	reuseAddr, reusePort bool
}

// make makes a socket and sets flags on it.
func (c *crowd) make() *try {
	c.Helper()
	kinds := []string{tracertest.TCP4, tracertest.TCP4, tracertest.TCP6, tracertest.UDP4, tracertest.UDP6}
	s := &try{kind: c.pick(kinds), user: c.rng.IntN(2)}
	s.socket = c.users[s.user].Socket(s.kind)
	s.reuseAddr, s.reusePort = c.rng.IntN(2) == 0, c.rng.IntN(2) == 0
	addrs := crowd4
	if strings.HasSuffix(s.kind, "6") {
		addrs = crowd6
		if s.v6only = c.rng.IntN(3) == 0; s.v6only {
			addrs = crowd6[:2]
			s.socket.Set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
		}
	}
	s.local = fmt.Sprintf("%s:%d", c.pick(addrs), crowdPorts[c.rng.IntN(len(crowdPorts))])
	c.setFlags(s)
	return s
}

func (c *crowd) setFlags(s *try) {
	c.Helper()
	for option, on := range map[int]bool{unix.SO_REUSEADDR: s.reuseAddr, unix.SO_REUSEPORT: s.reusePort} {
		value := 0
		if on {
			value = 1
		}
		s.socket.Set(unix.SOL_SOCKET, option, value)
	}
}

func (c *crowd) tell(format string, args ...any) {
	c.story = append(c.story, fmt.Sprintf(format, args...))
}

func (s *try) String() string {
	return fmt.Sprintf("user%d %s %s addr=%v port=%v v6only=%v", s.user, s.kind, s.local, s.reuseAddr, s.reusePort, s.v6only)
}

// play lets the crowd do something between two requests; it answers how many
// verdicts were known.
func (c *crowd) play() (known int) {
	c.Helper()
	for range crowdRequests {
		for range 1 + c.rng.IntN(3) {
			c.act()
		}
		known += c.compare()
	}
	return known
}

// act makes a socket, binds it if that works, and does something with it.
func (c *crowd) act() {
	c.Helper()
	s := c.make()
	if errno := s.socket.Bind(s.local); errno != 0 {
		c.tell("%v: %v", s, errno)
		s.socket.Close()
		return
	}
	switch c.rng.IntN(5) {
	case 0:
		if strings.HasPrefix(s.kind, "tcp") {
			c.tell("%v: listens, %v", s, s.socket.Listen(8))
			return
		}
	case 1:
		if to := c.farOf(s); to.IsValid() {
			c.tell("%v: connects, %v", s, s.socket.Connect(to))
			return
		}
	case 2:
		if to := c.farOf(s); to.IsValid() && strings.HasPrefix(s.kind, "tcp") {
			if errno := s.socket.Connect(to); errno == 0 {
				s.socket.CloseAcked()
				c.tell("%v: waits", s)
				return
			}
		}
	case 3: // what is set after bind() counts too
		c.tell("%v: binds, then", s)
		s.reuseAddr, s.reusePort = c.rng.IntN(2) == 0, c.rng.IntN(2) == 0
		c.setFlags(s)
	}
	c.tell("%v: stays", s)
}

// farOf is a server that a socket may connect to.
func (c *crowd) farOf(s *try) netip.AddrPort {
	switch {
	case strings.HasSuffix(s.kind, "4"):
		return c.far4
	case strings.HasPrefix(s.local, "[::]") || strings.HasPrefix(s.local, "[::1]"):
		return c.far6
	}
	return netip.AddrPort{}
}

// compare asks for a verdict, then the kernel.
func (c *crowd) compare() (known int) {
	c.Helper()
	s := c.make()
	for s.v6only || strings.Contains(s.local, "ffff") { // nobody can ask portwatch about these
		s.socket.Close()
		s = c.make()
	}
	r := &aggregate.BindRequest{
		Protocol: event.TCP, Local: netip.MustParseAddrPort(s.local),
		ReuseAddr: s.reuseAddr, ReusePort: s.reusePort, UID: uint32(1000 + s.user),
		Privileged: aggregate.AnswerNo, AddressLocal: aggregate.AnswerYes, UnprivilegedStart: 1024,
	}
	if strings.HasPrefix(s.kind, "udp") {
		r.Protocol = event.UDP
	}
	sight, err := c.looker.Look(c.Context(), func(k *event.Sighting) bool {
		l := &k.Lease
		return l.NetNS == c.ns.Inode() && l.Protocol == r.Protocol && l.Local.Port() == r.Local.Port()
	})
	if err != nil {
		c.Fatal(err)
	}
	verdict := aggregate.JudgeBind(r, sight.Sightings, true)
	errno := s.socket.Bind(s.local)
	s.socket.Close()
	c.tell("%v: asks, %v", s, errno)
	if verdict.Fails == aggregate.AnswerUnknown {
		return 0
	}
	if fails := verdict.Fails == aggregate.AnswerYes; fails != (errno != 0) || fails && syscall.Errno(verdict.Errno) != errno {
		c.Errorf("the verdict is fails=%v %s, the kernel says %v\n%s\n%+v", fails, verdict.Errno, errno,
			strings.Join(c.story, "\n"), sight.Sightings)
	}
	return 1
}
