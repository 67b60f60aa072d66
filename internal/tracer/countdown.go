package tracer

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/portwatch/portwatch/internal/event"
)

// timerLimit is the rate, in timers that stop per second on the whole host,
// above which the timer tracepoint costs more than it is worth: 50,000 runs of
// 60 ns are 0.3 % of a core.
const timerLimit = 50_000

// countdown ends TIME_WAITs while the timer tracepoint is not attached: it
// knows when each is due, and asks the mini-socket then. What ends before its
// time it learns late, from the walk.
type countdown struct {
	check *ebpf.Program // pw_check_tw
	// due holds the mini-sockets by the second in which they are due.
	due  map[event.Time][]waiting
	next event.Time // the first second that was not looked at
}

// waiting is a mini-socket that is due some day.
type waiting struct {
	tw      uint64 // its address
	lease   event.LeaseID
	netns   uint32
	expires event.Time // 0 if not known
}

const dueStep = event.Time(1e9)

func newCountdown(p *probes) *countdown {
	return &countdown{check: p.progs["pw_check_tw"], due: map[event.Time][]waiting{}, next: bootNow() / dueStep}
}

// add remembers a TIME_WAIT. One without a known end is left to the walk; one
// that is added twice is asked twice, and answers once.
func (c *countdown) add(w waiting) {
	if w.tw == 0 || w.expires == 0 {
		return
	}
	second := max(w.expires/dueStep+1, c.next)
	c.due[second] = append(c.due[second], w)
}

// tell asks everything that is due by now. What has ended is told as expired;
// what was renewed is told by the kernel side and comes back through add.
func (c *countdown) tell(now event.Time, tell func(event.Event)) error {
	for ; c.next <= now/dueStep; c.next++ {
		for _, w := range c.due[c.next] {
			question := bpfPwCheck{Tw: w.tw, Cookie: w.lease.Cookie}
			if _, err := c.check.Run(&ebpf.RunOptions{Context: &question, ContextOut: &question}); err != nil {
				return fmt.Errorf("run pw_check_tw: %w", err)
			}
			if question.Dead != 0 {
				tell(w.expired(now))
			}
		}
		delete(c.due, c.next)
	}
	return nil
}

func (w waiting) expired(at event.Time) event.Event {
	return event.Event{
		Kind: event.KindRelease, Time: at, From: event.StateTimeWait, Cause: event.CauseExpired,
		Lease: event.Lease{ID: w.lease, NetNS: w.netns, State: event.StateTimeWait},
	}
}
