package tracer

import (
	"fmt"
	"hash/maphash"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/portwatch/portwatch/internal/event"
)

// timerLimit is the rate, in timers that stop per second on the whole host,
// above which the timer tracepoint costs more than it is worth: 50,000 runs of
// 60 ns are 0.3 % of a core.
const timerLimit = 50_000

// countdown ends TIME_WAITs while the timer tracepoint is not attached: it
// knows when each is due, and asks the mini-socket then, or when a connection
// gets its tuple, of which the kernel never has two. What a reset or an
// administrator ends before its time it learns late, from the walk.
type countdown struct {
	check *ebpf.Program // pw_check_tw
	seed  maphash.Seed
	// byTuple finds mini-sockets by the hash of their tuple, in a third of the
	// memory that the tuples would take. Should two have the same, the older one
	// ends when it is due; nothing is told without asking.
	byTuple map[uint64]waiting
	// due holds the mini-sockets by the second in which they are due.
	due  map[event.Time][]waiting
	next event.Time // the first second that was not looked at
}

// waiting is a mini-socket that is due some day.
type waiting struct {
	tw    uint64 // its address
	tuple uint64 // hash
	lease event.LeaseID
	netns uint32
}

// tuple is what two TCP sockets of a namespace never share.
type tuple struct {
	netns, device uint32
	local, remote netip.AddrPort
}

const dueStep = event.Time(1e9)

func newCountdown(p *probes) *countdown {
	return &countdown{
		check: p.progs["pw_check_tw"], seed: maphash.MakeSeed(), byTuple: map[uint64]waiting{},
		due: map[event.Time][]waiting{}, next: bootNow() / dueStep,
	}
}

func (c *countdown) hash(el *event.Lease) uint64 {
	return maphash.Comparable(c.seed, tuple{el.NetNS, el.Device, el.Local, el.Remote})
}

// add remembers a TIME_WAIT and the address of its mini-socket. One without a
// known end is left to the walk; one that is added twice is asked twice, and
// answers once.
func (c *countdown) add(el *event.Lease, tw uint64) {
	if tw == 0 || el.Expires == 0 {
		return
	}
	w := waiting{tw: tw, tuple: c.hash(el), lease: el.ID, netns: el.NetNS}
	c.byTuple[w.tuple] = w
	second := max(el.Expires/dueStep+1, c.next)
	c.due[second] = append(c.due[second], w)
}

// takenOver is the end of the TIME_WAIT whose tuple a new connection has, false
// if there is none that waited for it.
func (c *countdown) takenOver(by *event.Lease) (event.Event, bool) {
	if !by.Remote.IsValid() {
		return event.Event{}, false
	}
	w, known := c.byTuple[c.hash(by)]
	if !known {
		return event.Event{}, false
	}
	if dead, err := c.hasEnded(w); err != nil || !dead { // then it is asked again when it is due
		return event.Event{}, false
	}
	ev := w.ended(by.ID.Born)
	ev.Cause, ev.Successor = event.CauseReused, by.ID
	return ev, true
}

// hasEnded asks a mini-socket, and forgets one that is no more. One of which it
// has been told already is not told to have ended.
func (c *countdown) hasEnded(w waiting) (bool, error) {
	question := bpfPwCheck{Tw: w.tw, Cookie: w.lease.Cookie}
	if _, err := c.check.Run(&ebpf.RunOptions{Context: &question, ContextOut: &question}); err != nil {
		return false, fmt.Errorf("run pw_check_tw: %w", err)
	}
	if c.byTuple[w.tuple].lease == w.lease {
		delete(c.byTuple, w.tuple)
	}
	return question.Dead != 0, nil
}

// tell asks everything that is due by now. What has ended is told as expired;
// what was renewed is told by the kernel side and comes back through add.
func (c *countdown) tell(now event.Time, tell func(event.Event)) error {
	for ; c.next <= now/dueStep; c.next++ {
		for _, w := range c.due[c.next] {
			dead, err := c.hasEnded(w)
			if err != nil {
				return err
			}
			if dead {
				tell(w.ended(now))
			}
		}
		delete(c.due, c.next)
	}
	return nil
}

// ended is the end of its time.
func (w waiting) ended(at event.Time) event.Event {
	return event.Event{
		Kind: event.KindRelease, Time: at, From: event.StateTimeWait, Cause: event.CauseExpired,
		Lease: event.Lease{ID: w.lease, NetNS: w.netns, State: event.StateTimeWait},
	}
}
