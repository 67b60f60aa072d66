package tracer

import (
	"testing"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// A host that stops more timers than the tracepoint is worth: the countdown
// takes over, also for what waits already, and the end is told after it came.
func TestCountdownTakesOver(t *testing.T) {
	s := setStage(t, func(o *Options) { o.Mode = event.ModeTracepoint })
	s.ns.Sysctl("net.ipv4.tcp_fin_timeout", "3") // how long the FIN_WAIT2 sub-state waits
	_, _, addr := s.server("127.0.0.1:30000")
	c := s.actor("client").Socket(tracertest.TCP4)
	want(s, "connect", c.Connect(addr), 0)
	port := c.Local().Port()
	c.CloseAcked()
	s.settle()
	s.tracer.timerLimit = 0
	s.until("the end of the TIME_WAIT", func(ev *event.Event) bool {
		return ev.Kind == event.KindRelease && ev.From == event.StateTimeWait
	})
	if s.tracer.rings.countdown == nil || len(s.tracer.probes.links["pw_timer_cancel"]) > 0 {
		t.Error("the timer tracepoint is still attached")
	}
	last := s.events[len(s.events)-1]
	for _, ev := range s.events {
		if ev.Kind == event.KindRelease && ev.From == event.StateTimeWait {
			last = ev
		}
	}
	want(s, "cause", last.Cause, event.CauseExpired)
	var waited event.Lease
	for _, ev := range s.of(port) {
		if ev.Kind == event.KindTimeWait {
			waited = ev.Lease
		}
	}
	want(s, "lease", last.Lease.ID, waited.ID)
	if last.Time+5e7 < waited.Expires { // the prediction is good to some jiffies
		t.Errorf("told at %d, due at %d", last.Time, waited.Expires)
	}
}
