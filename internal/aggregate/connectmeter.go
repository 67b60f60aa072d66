package aggregate

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// ConnectTarget is a TCP destination and the local address from which it is
// reached.
type ConnectTarget struct {
	Remote netip.AddrPort
	Local  netip.Addr // invalid where there is none
	// Unreachable says why there is none; "" else.
	Unreachable string
}

// ConnectMeter counts how many further connect()s to some destinations succeed,
// from one look at the sockets of one namespace. The sockets ask with no device
// and no range of their own.
type ConnectMeter struct {
	netns    uint32
	name     string
	limits   event.Limits
	dealt    portFlags // those that the kernel gives by itself
	poisoned portFlags
	blind    bool // buckets cannot be read: there may be more poisoned ports
	targets  []ConnectTarget
	taken    []map[uint16]*event.Sighting // of each target, by port
}

// portFlags is a set of ports.
type portFlags [1 << 16]bool

// ConnectAnswer is what there is to say about a target. Its Pool has what one
// look shows; rates, lows and forecasts are not known.
type ConnectAnswer struct {
	ConnectTarget
	// Known is false where there is no local address, and so no pool.
	Known bool
	// AtMost says that the headroom may be smaller: ports that connect() skips
	// could not all be found, or OddRange.
	AtMost bool
	// OddRange says that the range has an odd number of ports, of which each search
	// passes over one (__inet_hash_connect, 5.10 to 7.2): the last may not be had.
	OddRange bool
	Pool     Pool
}

// NewConnectMeter makes a meter for a namespace with these settings. blind says
// that the look does without BPF: the answers are upper bounds then.
func NewConnectMeter(limits *event.Limits, name string, targets []ConnectTarget, blind bool) *ConnectMeter {
	m := &ConnectMeter{netns: limits.NetNS, name: name, limits: *limits, targets: targets, blind: blind}
	for port := int(limits.Range.Low); port <= int(limits.Range.High); port++ {
		m.dealt[port] = true
	}
	for _, r := range limits.Reserved {
		for port := int(r.Low); port <= int(r.High); port++ {
			m.dealt[port] = false
		}
	}
	m.taken = make([]map[uint16]*event.Sighting, len(targets))
	for i := range m.taken {
		m.taken[i] = map[uint16]*event.Sighting{}
	}
	return m
}

// Add counts a socket. Those of other namespaces and protocols count nothing.
func (m *ConnectMeter) Add(s *event.Sighting) {
	l := &s.Lease
	port := l.Local.Port()
	if l.NetNS != m.netns || l.Protocol != event.TCP || !m.dealt[port] {
		return
	}
	if s.Bucket.Known && s.Bucket.Domain != 0 {
		return // a VRF's
	}
	m.poisoned[port] = m.poisoned[port] || poisons(s)
	for i := range m.targets {
		t := &m.targets[i]
		if l.Device == 0 && t.Local == l.Local.Addr() && t.Remote == l.Remote {
			found := *s
			m.taken[i][port] = &found
		}
	}
}

// poisons reports whether a socket proves that somebody bound its port. Where the
// bucket is not known, only what cannot be on a port otherwise proves it.
func poisons(s *event.Sighting) bool {
	if s.Bucket.Known {
		return s.Bucket.Bound
	}
	return s.Lease.State == event.StateListen || s.Lease.State == event.StateBound
}

// Answers are what there is to say, in the order of the targets.
func (m *ConnectMeter) Answers() []ConnectAnswer {
	all := make([]ConnectAnswer, len(m.targets))
	for i := range m.targets {
		all[i] = m.answer(i)
	}
	return all
}

func (m *ConnectMeter) answer(i int) ConnectAnswer {
	t := &m.targets[i]
	a := ConnectAnswer{ConnectTarget: *t, Known: t.Local.IsValid(), OddRange: m.limits.Range.Ports()%2 == 1 && m.limits.Range.Ports() > 1}
	a.AtMost = m.blind || a.OddRange
	if !a.Known {
		return a
	}
	p := &a.Pool
	*p = Pool{PoisonKnown: !m.blind, PoolKey: PoolKey{
		Request: RequestConnect, NetNS: m.netns, NetNSName: m.name, Protocol: event.TCP, Family: familyOfAddr(t.Local),
		Local: t.Local, Remote: t.Remote, Range: m.limits.Range,
	}}
	for port := range m.dealt {
		if !m.dealt[port] {
			continue
		}
		if m.poisoned[port] {
			p.Poisoned++
			continue
		}
		p.Capacity++
		if s := m.taken[i][uint16(port)]; s != nil {
			m.count(p, s)
		}
	}
	return a
}

func (m *ConnectMeter) count(p *Pool, s *event.Sighting) {
	p.InUse++
	switch s.Lease.State {
	case event.StateSynSent:
		p.SynSent++
	case event.StateTimeWait:
		p.TimeWait++
		if m.reusable(s) {
			p.Reusable++
		}
	}
}

// reusable reports whether connect() may take a TIME_WAIT over. Where the look
// does not tell its age it may: the headroom is told as the most there can be.
func (m *ConnectMeter) reusable(s *event.Sighting) bool {
	l := &s.Lease
	if l.Substate != event.SubstateTimeWait {
		return false
	}
	entered := l.Entered
	switch {
	case m.blind && m.limits.Timestamps != 0:
		entered = 1 // long ago
	case entered == 0 || !l.TimestampsSeen:
		return false
	}
	from := reusableFrom(&m.limits, entered, l.Local.Addr().IsLoopback() || l.Remote.Addr().IsLoopback())
	return from != 0 && from <= s.Seen
}

// Explanation says it in one or two sentences.
func (a *ConnectAnswer) Explanation() string {
	if !a.Known {
		return fmt.Sprintf("%s cannot be reached: %s.", a.Remote, a.Unreachable)
	}
	p := &a.Pool
	more, most := max(p.Headroom(), 0), ""
	if a.AtMost {
		most = "at most "
	}
	succeed := plural(more, "more connect() succeeds", "more connect()s succeed")
	if more == 0 {
		most, succeed = "", "no further connect() succeeds"
	}
	said := fmt.Sprintf("%s%s to %s from %s: %d of %d ports are taken", most, succeed, a.Remote, a.Local, p.InUse, p.Capacity)
	if p.TimeWait > 0 {
		said += fmt.Sprintf(", %d of them in TIME_WAIT", p.TimeWait)
	}
	if p.Reusable > 0 && !a.AtMost {
		said += fmt.Sprintf(", %d of which connect() may take over", p.Reusable)
	}
	if p.Poisoned > 0 {
		said += fmt.Sprintf("; it skips %s", plural(p.Poisoned, "port that somebody bound", "ports that somebody bound"))
	}
	if a.OddRange {
		said += "; the range has an odd number of ports, and each search passes over one"
	}
	return strings.ToUpper(said[:1]) + said[1:] + "."
}

// ConnectSummary is the answer for all addresses of a name in one sentence.
func ConnectSummary(all []ConnectAnswer) string {
	if len(all) == 0 {
		return "The name has no address."
	}
	tightest := -1
	for i := range all {
		if all[i].Known && (tightest < 0 || all[i].Pool.Headroom() < all[tightest].Pool.Headroom()) {
			tightest = i
		}
	}
	if tightest < 0 {
		return all[0].Explanation()
	}
	return all[tightest].Explanation()
}
