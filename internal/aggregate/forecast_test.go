package aggregate

import (
	"math"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// churn is a client that opens connections to the server at a rate, closes them
// at once, and keeps their ports in TIME_WAIT; the range has a thousand ports.
type churn struct {
	*Ledger
	t       *testing.T
	now     float64 // seconds
	next    uint64  // cookie
	free    []uint16
	waiting []event.Lease // in the order of their ends
	refused float64       // when the first request was refused; 0 if none was
}

func newChurn(t *testing.T) *churn {
	c := &churn{t: t, now: 100, next: 1}
	for port := uint16(20000); port < 21000; port++ {
		c.free = append(c.free, port)
	}
	start := event.Event{Kind: event.KindStart, Time: sec(c.now), Start: &event.Start{Poison: event.PoisonWhileBound}}
	settings := event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 20000, High: 20999}}
	c.Ledger = ledgerOf(Options{}, start, limits(c.now, settings))
	return c
}

// wheelSlot is the grain of the timer wheel at 60 s and 250 Hz.
const wheelSlot = 2.048

// run goes on at a rate of connections a second until a moment, and calls each
// after every second.
func (c *churn) run(rate, until float64, each func(*Forecast)) {
	c.t.Helper()
	began := c.now
	for i := 1; c.now < until; i++ {
		before := math.Floor(c.now)
		c.now = began + float64(i)/rate
		c.release()
		if math.Floor(c.now) > before {
			ev := tick(math.Floor(c.now))
			c.Apply(&ev)
			each(&the(c.t, c.Snapshot(0), towardsServer).Forecast)
		}
		c.connect()
	}
}

func (c *churn) release() {
	for len(c.waiting) > 0 && c.waiting[0].Expires <= sec(c.now) {
		el := c.waiting[0]
		ev := event.Event{Kind: event.KindRelease, Time: el.Expires, Lease: el, From: event.StateTimeWait, Cause: event.CauseExpired}
		c.Apply(&ev)
		c.free, c.waiting = append(c.free, el.Local.Port()), c.waiting[1:]
	}
}

func (c *churn) connect() {
	if len(c.free) == 0 {
		if c.refused == 0 {
			c.refused = c.now
		}
		return
	}
	el := conn(c.free[0])
	el.ID = event.LeaseID{Cookie: c.next, Born: sec(c.now)}
	c.free, c.next = c.free[1:], c.next+1
	ev := allocate(c.now, el)
	c.Apply(&ev)
	end := (math.Floor((c.now+60)/wheelSlot) + 1) * wheelSlot
	ev = timeWait(c.now+0.002, waiting(el, end))
	c.Apply(&ev)
	el.Expires = sec(end)
	c.waiting = append(c.waiting, el)
}

// At a rate that empties the pool before anything comes back, the first refusal
// is predicted ten seconds before, right within half a second.
func TestForecastOfAnEmptyingPool(t *testing.T) {
	c := newChurn(t)
	var at, dry float64
	c.run(22, 148, func(f *Forecast) {
		if c.now >= 135 && at == 0 {
			if f.Outcome != OutcomeRunsDry {
				t.Fatalf("ten seconds before: %v", f.Outcome)
			}
			at = c.now
			dry = math.Floor(c.now) + f.DryIn.Seconds()
		}
	})
	if c.refused == 0 || math.Abs(dry-c.refused) > 0.5 {
		t.Errorf("at %.1f s the end was predicted for %.2f s; it came at %.2f s", at, dry, c.refused)
	}
}

// The same where TIME_WAITs come back in the meantime: a pool that runs dry
// after 80 s, predicted within 2 s.
func TestForecastWithReturningPorts(t *testing.T) {
	c := newChurn(t)
	c.run(10, 140, func(*Forecast) {})
	var dry float64
	c.run(20, 185, func(f *Forecast) {
		if c.now >= 170 && dry == 0 {
			if f.Outcome != OutcomeRunsDry {
				t.Fatalf("ten seconds before: %v", f.Outcome)
			}
			dry = math.Floor(c.now) + f.DryIn.Seconds()
		}
	})
	if c.refused < 178 || math.Abs(dry-c.refused) > 2 {
		t.Errorf("the end was predicted for %.2f s; it came at %.2f s", dry, c.refused)
	}
}

// A rate that the pool bears: from the fifth second on nothing else is said, and
// once ten seconds are known, where it levels off.
func TestForecastThatLevelsOff(t *testing.T) {
	c := newChurn(t)
	c.run(10.6, 300, func(f *Forecast) {
		if c.now < 105 {
			return
		}
		if f.Outcome == OutcomeRunsDry || f.Outcome == OutcomeRefusing {
			t.Fatalf("at %.0f s: %v in %v", c.now, f.Outcome, f.DryIn)
		}
		if c.now > 111 && (f.Outcome != OutcomeLevelsOff || math.Abs(f.LevelsOffAt-0.65) > 0.04) {
			t.Fatalf("at %.0f s: %v at %.2f, want levels_off at 0.65", c.now, f.Outcome, f.LevelsOffAt)
		}
	})
	f := the(t, c.Snapshot(0), towardsServer).Forecast
	if f.Sustainable < 15.9 || f.Sustainable > 16.7 {
		t.Errorf("sustainable: %.2f a second, want 1,000 ports over 61 s and some", f.Sustainable)
	}
}

// Near the brim the saw-tooth of the timer wheel does not make the outcome flap.
func TestForecastDoesNotFlap(t *testing.T) {
	c := newChurn(t)
	c.run(15.2, 400, func(f *Forecast) {
		if c.now > 115 && f.Outcome != OutcomeLevelsOff {
			t.Fatalf("at %.0f s: %v in %v", c.now, f.Outcome, f.DryIn)
		}
	})
	if c.refused != 0 {
		t.Errorf("the pool refused at %.1f s: the test proves nothing", c.refused)
	}
}

func TestForecastOutcomes(t *testing.T) {
	ends := func(after ...time.Duration) *outlook {
		o := &outlook{}
		for _, d := range after {
			o.add(d)
		}
		return o
	}
	held := func(n int) *outlook { return &outlook{unknown: n} }
	tests := []struct {
		name string
		m    motion
		o    *outlook
		want Outcome
	}{
		{"refusing", motion{capacity: 10, demand: 1, refusing: true, observed: time.Minute}, ends(), OutcomeRefusing},
		{"9.9 s of data", motion{capacity: 10, headroom: 1, demand: 9, observed: 9900 * time.Millisecond}, ends(), OutcomeUnknown},
		{"10 s of data", motion{capacity: 10, headroom: 1, demand: 9, observed: 10 * time.Second}, ends(), OutcomeRunsDry},
		{"a fifth without a known end", motion{capacity: 10, headroom: 8, demand: 1, observed: time.Minute}, held(2), OutcomeRunsDry},
		{"more than that", motion{capacity: 10, headroom: 7, demand: 1, observed: time.Minute}, held(3), OutcomeUnknown},
		{"nothing asked, ports come back", motion{capacity: 10, headroom: 7, observed: time.Minute}, ends(time.Second), OutcomeDraining},
		{"nothing asked, nothing comes back", motion{capacity: 10, headroom: 7, observed: time.Minute}, held(3), OutcomeLevelsOff},
		{"no capacity", motion{demand: 1, observed: time.Minute}, ends(), OutcomeRunsDry},
		{"below the ceiling", motion{capacity: 100, headroom: 100, demand: 0.9, hold: 100 * time.Second, observed: time.Minute}, ends(), OutcomeLevelsOff},
		{"above it", motion{capacity: 100, headroom: 100, demand: 1.1, hold: 100 * time.Second, observed: time.Minute}, ends(), OutcomeRunsDry},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if f := tt.m.run(tt.o); f.Outcome != tt.want {
				t.Errorf("%v (%+v), want %v", f.Outcome, f, tt.want)
			}
		})
	}
}

// A leak: nothing that was opened has ever been closed, so nothing comes back.
func TestForecastOfALeak(t *testing.T) {
	c := newChurn(t)
	for range 200 {
		c.now += 0.1
		el := conn(c.free[0])
		el.ID = event.LeaseID{Cookie: c.next, Born: sec(c.now)}
		c.free, c.next = c.free[1:], c.next+1
		for _, ev := range []event.Event{allocate(c.now, el), tick(c.now)} {
			c.Apply(&ev)
		}
	}
	f := the(t, c.Snapshot(0), towardsServer).Forecast
	if want := 80.0; f.Outcome != OutcomeRunsDry || math.Abs(f.DryIn.Seconds()-want) > 2 {
		t.Errorf("%v in %v, want %v in %.0f s: 800 ports at 10 a second", f.Outcome, f.DryIn, OutcomeRunsDry, want)
	}
}

// A pool that grows is not fuller than it was.
func TestUsedRatioWhenThePoolGrows(t *testing.T) {
	l := stream(event.PoisonWhileBound)
	for _, port := range []uint16{40000, 40001, 40002} {
		ev := allocate(2, conn(port))
		l.Apply(&ev)
	}
	before, _ := the(t, l.Snapshot(0), towardsServer).UsedRatio()
	wide := limits(3, event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 40000, High: 40999}})
	l.Apply(&wide)
	p := the(t, l.Snapshot(0), towardsServer)
	if after, _ := p.UsedRatio(); after > before || p.Capacity != 1000 {
		t.Errorf("3 of 9 used were %.2f, 3 of %d are %.2f", before, p.Capacity, after)
	}
}

// TIME_WAITs come back at known times, whatever else happens.
func TestReturningPorts(t *testing.T) {
	l := stream(event.PoisonWhileBound)
	for i, expires := range []float64{11, 11.5, 32, 61, 90} {
		for _, ev := range []event.Event{allocate(1, conn(uint16(40005-2+i))), timeWait(2, waiting(conn(uint16(40005-2+i)), expires))} {
			l.Apply(&ev)
		}
	}
	f := the(t, l.Snapshot(sec(2)), towardsServer).Forecast
	if want := [3]int{1, 2, 3}; f.Returning != want {
		t.Errorf("returning %v, want %v (one of the five lies on a reserved port)", f.Returning, want)
	}
}

func BenchmarkForecast(b *testing.B) {
	l := fullLedger()
	for b.Loop() {
		l.version++ // else it is cached
		l.Snapshot(0)
	}
}
