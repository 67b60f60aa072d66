package verify_test

import (
	"math"
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
// within half a second.
func TestForecastOfTheFirstRefusal(t *testing.T) {
	r := openLab(t, 1).room(t)
	r.ns.SetRange(40000, 40000+forecastPorts-1)
	to := r.server(r.actor("server"), "127.0.0.1:30000", true)
	client := r.actor("client")
	began := time.Now()
	type prediction struct{ made, dry event.Time }
	var told []prediction
	refused := event.Time(0)
	for i := range 2 * forecastPorts {
		// By an absolute schedule: what comes late is made up for, and the rate
		// stays what it is.
		<-time.After(time.Until(began.Add(time.Duration(i) * time.Second / forecastRate)))
		c := client.Socket(tracertest.TCP4)
		errno := c.Connect(to)
		if errno == 0 {
			c.CloseAcked()
		} else if errno != syscall.EADDRNOTAVAIL {
			t.Fatal(errno)
		}
		r.until(t, "the request", func(ev *event.Event) bool {
			if ev.Kind == event.KindFailure && ev.Failure.NetNS == r.ns.Inode() {
				refused = ev.Failure.First
				return true
			}
			return ev.Kind == event.KindAllocate && ev.Lease.NetNS == r.ns.Inode()
		})
		if errno != 0 {
			break
		}
		s := r.ledger.Snapshot(0)
		f := r.pool(s, aggregate.RequestConnect, localhost, to).Forecast
		if f.Outcome == aggregate.OutcomeRunsDry {
			told = append(told, prediction{s.At, s.At + event.Time(f.DryIn)})
		}
	}
	if refused == 0 {
		t.Fatal("nothing was refused")
	}
	for _, p := range told {
		if before := time.Duration(refused - p.made); before <= forecastAhead {
			off := math.Abs(time.Duration(p.dry).Seconds() - time.Duration(refused).Seconds())
			t.Logf("%v before, the forecast is off by %.2f s", before, off)
			if off > 0.5 || before < forecastAhead-2*time.Second {
				t.Errorf("%v before, the forecast is off by %.2f s, want half a second at most", before, off)
			}
			return
		}
	}
	t.Errorf("no forecast ten seconds before: %d", len(told))
}
