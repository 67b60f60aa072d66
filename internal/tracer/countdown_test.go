package tracer

import (
	"testing"
	"time"

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

// While the countdown runs, a TIME_WAIT ends at once when a connection takes it
// over: no second lease has its tuple.
func TestCountdownSeesTakeovers(t *testing.T) {
	s := setStage(t, func(o *Options) { o.Mode = event.ModeTracepoint })
	s.ns.SetRange(40000, 40000)
	s.ns.Sysctl("net.ipv4.tcp_tw_reuse", "1")
	_, l, addr := s.server("127.0.0.1:30000")
	client := s.actor("client")
	first := client.Socket(tracertest.TCP4)
	want(s, "first connect", first.Connect(addr), 0)
	peer := l.Accept()
	s.tracer.timerLimit = 0
	s.until("the countdown has begun", func(ev *event.Event) bool {
		return ev.Kind == event.KindCorrection && ev.Correction == event.CorrectionEnd && s.tracer.rings.countdown != nil
	})
	first.CloseAcked()
	peer.WaitEOF()
	peer.Close()
	s.settle()
	ripe := s.events[len(s.events)-1].Time + event.Time(2*time.Second) // the delay is a second
	s.until("the delay", func(ev *event.Event) bool { return ev.Kind == event.KindTick && ev.Time >= ripe })
	second := client.Socket(tracertest.TCP4)
	want(s, "second connect", second.Connect(addr), 0)
	s.settle()

	life := s.of(40000)
	want(s, "life", path(life), "allocate:ESTABLISHED holds:ESTABLISHED state:FIN_WAIT1 state:FIN_WAIT2 time_wait:TIME_WAIT release:reused allocate:ESTABLISHED")
	want(s, "which one ended", life[5].Lease.ID, life[4].Lease.ID)
	want(s, "successor", life[5].Successor, life[6].Lease.ID)
	want(s, "when", life[5].Time, life[6].Lease.ID.Born)
}
