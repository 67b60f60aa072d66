package verify_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// What the forecast test asks for: at this rate a thousand ports last for 25 s.
const (
	forecastRate  = 40
	forecastPorts = 1000
	forecastAhead = 10 * time.Second
)

// At a constant rate the moment of the first refusal is known ten seconds before,
// within half a second. A machine that did not keep the rate has tried nothing:
// then it tries again.
func TestForecastOfTheFirstRefusal(t *testing.T) {
	for range 3 {
		e := emptyPool(t)
		if late := e.latest(); late > 250*time.Millisecond {
			t.Logf("no constant rate: a request came %v late", late)
			continue
		}
		e.judge(t)
		return
	}
	t.Error("the machine kept the rate in none of three runs")
}

// emptying is the end of a pool, as it was foreseen and as it came.
type emptying struct {
	told    []foreseen
	refused event.Time
	asked   []event.Time // when each request was
}

type foreseen struct{ made, dry event.Time }

// emptyPool asks for ports by an absolute schedule, until there are none.
func emptyPool(t *testing.T) (e emptying) {
	t.Helper()
	r := openLab(t, 1).room(t)
	r.ns.SetRange(40000, 40000+forecastPorts-1)
	to := r.server(r.actor("server"), "127.0.0.1:30000", true)
	client := r.actor("client")
	began := time.Now()
	for i := range 2 * forecastPorts {
		<-time.After(time.Until(began.Add(time.Duration(i) * time.Second / forecastRate)))
		c := client.Socket(tracertest.TCP4)
		errno := c.Connect(to)
		if errno == 0 {
			c.CloseAcked()
		} else if errno != syscall.EADDRNOTAVAIL {
			t.Fatal(errno)
		}
		r.until(t, "the request", func(ev *event.Event) bool {
			switch {
			case ev.Kind == event.KindFailure && ev.Failure.NetNS == r.ns.Inode():
				e.refused = ev.Failure.First
				return true
			case ev.Kind == event.KindAllocate && ev.Lease.NetNS == r.ns.Inode():
				e.asked = append(e.asked, ev.Time)
				return true
			}
			return false
		})
		if errno != 0 {
			return e
		}
		s := r.ledger.Snapshot(0)
		f := r.pool(s, aggregate.RequestConnect, localhost, to).Forecast
		if f.Outcome == aggregate.OutcomeRunsDry {
			e.told = append(e.told, foreseen{s.At, s.At + event.Time(f.DryIn)})
		}
	}
	t.Fatal("nothing was refused")
	return e
}

// latest is how far the request that was furthest behind the schedule was behind.
func (e *emptying) latest() time.Duration {
	late := time.Duration(0)
	for i, at := range e.asked {
		late = max(late, time.Duration(at-e.asked[0])-time.Duration(i)*time.Second/forecastRate)
	}
	return late
}

// judge compares the first forecast of the last ten seconds with what came.
func (e *emptying) judge(t *testing.T) {
	t.Helper()
	for _, f := range e.told {
		before := time.Duration(e.refused - f.made)
		if before > forecastAhead {
			continue
		}
		off := time.Duration(f.dry) - time.Duration(e.refused)
		t.Logf("%v before, the forecast is off by %v", before, off)
		if off.Abs() > 500*time.Millisecond || before < forecastAhead-2*time.Second {
			t.Errorf("%v before, the forecast is off by %v, want half a second at most", before, off)
		}
		return
	}
	t.Errorf("no forecast ten seconds before: %d in all", len(e.told))
}
