package tracer

import (
	"testing"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// Mode full knows how long the kernel looked for a port.
func TestSearchTimeIsAlwaysKnown(t *testing.T) {
	s := setStage(t)
	if !s.full() {
		cannotTell(s, "how long the kernel searched for a port")
		return
	}
	_, _, addr := s.server("127.0.0.1:30000")
	c := s.actor("client").Socket(tracertest.TCP4)
	want(s, "connect", c.Connect(addr), 0)
	s.settle()
	life := s.of(c.Local().Port())
	want(s, "life", path(life), "allocate:ESTABLISHED")
	if ns := life[0].SearchNanos; ns == 0 || ns > 1e9 {
		t.Errorf("search took %d ns", ns)
	}
}

// With the measurement on, mode tracepoint tells the port before the SYN is
// sent, with the time that the search took, once; with it off, as before.
func TestSearchTime(t *testing.T) {
	s := setStage(t, func(o *Options) { o.Mode = event.ModeTracepoint })
	_, _, addr := s.server("127.0.0.1:30000")
	a := s.actor("client")
	ports := map[bool]uint16{}
	for _, on := range []bool{true, false} {
		if err := s.tracer.MeasureSearch(on); err != nil {
			t.Fatal(err)
		}
		c := a.Socket(tracertest.TCP4)
		want(s, "connect", c.Connect(addr), 0)
		ports[on] = c.Local().Port()
		s.settle()
	}
	want(s, "measured", path(s.of(ports[true])), "allocate:SYN_SENT state:ESTABLISHED")
	want(s, "not measured", path(s.of(ports[false])), "allocate:ESTABLISHED")
	first := s.of(ports[true])[0]
	if first.SearchNanos == 0 || first.SearchNanos > 1e9 {
		t.Errorf("search took %d ns", first.SearchNanos)
	}
	want(s, "thread", first.Thread.Comm.String(), "client")
	want(s, "search time when off", s.of(ports[false])[0].SearchNanos, 0)
}
