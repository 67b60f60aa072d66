package tracer

import (
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// bootNow is the boot clock, the only clock of events.
func bootNow() event.Time {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return event.Time(ts.Nano())
}

// tick is the kernel's timer frequency, in Hz.
type tick int

// jiffyNanos is the length of one jiffy.
func (t tick) jiffyNanos() int64 { return int64(time.Second) / int64(t) }

// jiffies is how many of them pass in a time; 0 if that is not known.
func (t tick) jiffies(d time.Duration) uint32 {
	if t == 0 {
		return 0
	}
	return uint32(int64(d) / t.jiffyNanos())
}

// readTick asks how fine the coarse clocks are: they move once in a jiffy. To
// measure jiffies instead would mistake 250 Hz for 300 on a busy machine.
func readTick() (tick, error) {
	var ts unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		return 0, fmt.Errorf("read tick: %w", err)
	}
	jiffy := ts.Nano()
	if jiffy <= 0 || jiffy > int64(time.Second) {
		return 0, fmt.Errorf("read tick: the kernel says that a jiffy has %d ns", jiffy)
	}
	return tick((int64(time.Second) + jiffy/2) / jiffy), nil
}

func readClock(clock *ebpf.Program) (bpfPwClock, error) {
	var pair bpfPwClock
	if _, err := clock.Run(&ebpf.RunOptions{Context: &pair, ContextOut: &pair}); err != nil {
		return pair, fmt.Errorf("run pw_read_clock: %w", err)
	}
	return pair, nil
}

// The timer wheel (kernel/time/timer.c since 4.8): a timer lies in the level
// that spans its distance, and is due at the end of its slot, never early.
const (
	wheelBits   = 6 // log2 of the slots of a level
	wheelShift  = 3 // each level is 8 times as coarse as the one below
	wheelLevels = 9
)

// wheelExpiry is the jiffy at which a timer really fires that is to expire at
// the jiffy expires and was put on the wheel at the jiffy now. Both are the
// low halves of the counter.
func wheelExpiry(expires, now uint32) uint32 {
	distance := int64(int32(expires - now))
	if distance < 0 {
		return now + 1
	}
	shift := uint(0)
	for level := 1; level < wheelLevels; level++ {
		if distance < int64(1<<wheelBits-1)<<(uint(level-1)*wheelShift) {
			break
		}
		shift = uint(level) * wheelShift
	}
	return (expires>>shift + 1) << shift
}

// releaseTime converts a TIME_WAIT's expiry to the boot clock: the earliest
// moment at which the kernel gives the port back.
func (t tick) releaseTime(at event.Time, now, expires uint32) event.Time {
	if t == 0 {
		return 0
	}
	left := int64(int32(wheelExpiry(expires, now) - now))
	return event.Time(int64(at) + left*t.jiffyNanos())
}

// dueTime is releaseTime for a timer that was set some time ago. A true
// TIME_WAIT was set 60 s before it expires, so its slot is known; for the
// FIN_WAIT2 sub-state, whose time-out is a setting, the slot is not.
func (t tick) dueTime(clock bpfPwClock, expires uint32, sub event.Substate) event.Time {
	if t == 0 {
		return 0
	}
	if sub == event.SubstateTimeWait {
		expires = wheelExpiry(expires, expires-60*uint32(t))
	}
	left := int64(int32(expires - uint32(clock.Jiffies)))
	return event.Time(int64(clock.BootNs) + left*t.jiffyNanos())
}

// enteredTime is when a mini-socket entered its sub-state TIME_WAIT, to a jiffy
// and never early: its timer was then set to 60 s, and the kernel keeps the
// exact expiry beside the slot. 0 in every other sub-state.
func (t tick) enteredTime(at event.Time, now, expires uint32, sub event.Substate) event.Time {
	if t == 0 || sub != event.SubstateTimeWait {
		return 0
	}
	since := int64(int32(now-expires)) + 60*int64(t) - 1
	return event.Time(int64(at) - since*t.jiffyNanos())
}
