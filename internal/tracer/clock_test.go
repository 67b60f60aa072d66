package tracer

import (
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// The slots of a TIME_WAIT are those that were observed: 60 s are
// rounded up to 2.048 s at 250 Hz, 4.096 s at 1000 Hz, 5.12 s at 100 Hz.
func TestWheelExpiryRoundsUpToItsSlot(t *testing.T) {
	for _, tt := range []struct {
		hz   tick
		slot time.Duration
	}{{100, 5120 * time.Millisecond}, {250, 2048 * time.Millisecond}, {1000, 4096 * time.Millisecond}} {
		slot := uint32(int64(tt.slot) / tt.hz.jiffyNanos())
		for now := uint32(1 << 31); now < 1<<31+3*slot; now += 7 {
			expires := now + 60*uint32(tt.hz)
			fires := wheelExpiry(expires, now)
			if fires%slot != 0 || fires <= expires-1 || fires-expires > slot {
				t.Fatalf("%d Hz: expires %d fires %d, not within a slot of %d", tt.hz, expires, fires, slot)
			}
		}
	}
}

func TestWheelExpiryOfShortTimers(t *testing.T) {
	for _, tt := range []struct{ distance, want uint32 }{
		{0, 1}, {1, 2}, {62, 63}, {63, 64}, {504, 512},
	} {
		const now = 1 << 20
		if got := wheelExpiry(now+tt.distance, now) - now; got != tt.want {
			t.Errorf("distance %d fires after %d jiffies, want %d", tt.distance, got, tt.want)
		}
	}
	if got := wheelExpiry(100, 200); got != 201 {
		t.Errorf("a timer in the past fires at %d, want the next jiffy", got)
	}
}

func TestReleaseTimeIsBetweenSixtyAndSixtyFiveSeconds(t *testing.T) {
	const hz = tick(250)
	const at = 1_000_000_000_000
	for now := uint32(4294960000); now != 10_000; now++ { // across the wrap
		left := time.Duration(hz.releaseTime(at, now, now+60*250) - at)
		if left < 60*time.Second || left > 62100*time.Millisecond {
			t.Fatalf("jiffy %d: %v", now, left)
		}
	}
}

// The jiffies of a second are as many as the tick says, however busy the
// machine is.
func TestReadTick(t *testing.T) {
	s := setStage(t)
	hz, err := readTick()
	if err != nil {
		t.Fatal(err)
	}
	var clocks [2]bpfPwClock
	for i := range clocks {
		s.until("a tick", func(ev *event.Event) bool { return ev.Kind == event.KindTick })
		if clocks[i], err = readClock(s.tracer.probes.progs["pw_read_clock"]); err != nil {
			t.Fatal(err)
		}
	}
	counted := clocks[1].Jiffies - clocks[0].Jiffies
	elapsed := time.Duration(clocks[1].BootNs - clocks[0].BootNs)
	if said := elapsed.Seconds() * float64(hz); float64(counted) < 0.9*said || float64(counted) > 1.1*said {
		t.Errorf("%d jiffies in %v, want %.0f at %d Hz", counted, elapsed, said, hz)
	}
}

// A mini-socket's age is that of its timer, which the kernel sets to 60 s; it is
// never told too old, or connect() would be expected to take it over too early.
func TestEnteredTime(t *testing.T) {
	const hz = tick(250)
	at := event.Time(1000e9)
	// Set at jiffy 5000, asked at jiffy 5250.
	got := hz.enteredTime(at, 5250, 5000+60*250, event.SubstateTimeWait)
	if want := at - 1e9 + 4e6; got != want {
		t.Errorf("entered at %d, want %d: a second ago, less a jiffy", got, want)
	}
	if hz.enteredTime(at, 5250, 5000+60*250, event.SubstateFinWait2) != 0 {
		t.Error("a FIN_WAIT2 has an age")
	}
	var wrapped uint32
	wrapped -= 100 // the low half of the counter wraps in between
	if got := hz.enteredTime(at, 150, wrapped+60*250, event.SubstateTimeWait); got != at-1e9+4e6 {
		t.Errorf("across the counter's end: %d, want %d", got, at-1e9+4e6)
	}
}
