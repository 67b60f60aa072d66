package tracer

import (
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// A connection without data is told once, one with data never; and told again
// when it carries some.
func TestIdleConnections(t *testing.T) {
	const patience = 3 * time.Second
	s := setStage(t, func(o *Options) { o.idleAfter = patience })
	s.tracer.rounds.rest = 0
	_, l, addr := s.server("127.0.0.1:30000")
	client := s.actor("client")
	before := bootNow()
	quiet, busy := client.Socket(tracertest.TCP4), client.Socket(tracertest.TCP4)
	want(s, "connect", quiet.Connect(addr), 0)
	peer := l.Accept()
	want(s, "connect", busy.Connect(addr), 0)
	after := bootNow()
	s.settle()
	first := s.of(quiet.Local().Port())[0].Lease
	var told []event.Event
	looks := 0
	watch := func(ev *event.Event) {
		switch {
		case ev.Kind == event.KindTick:
			want(s, "send", busy.SendTo(addr), 0)
		case ev.Kind == event.KindIdle && ev.Lease.ID == (event.LeaseID{}):
			looks++
		case ev.Kind == event.KindIdle:
			told = append(told, *ev)
		}
	}
	s.until("a connection that is idle", func(ev *event.Event) bool { watch(ev); return len(told) == 1 })
	for looks = 0; looks < 2; {
		s.until("another look", func(ev *event.Event) bool { watch(ev); return ev.Kind == event.KindIdle })
	}
	want(s, "connections told", len(told), 1)
	want(s, "the idle one", told[0].Lease.ID, first.ID)
	const jiffy = event.Time(10 * time.Millisecond) // the longest
	if since := told[0].IdleSince; since > after+jiffy || since+jiffy < before {
		t.Errorf("idle since %d, connected between %d and %d", since, before, after)
	}
	want(s, "send", peer.SendTo(quiet.Local()), 0)
	s.until("data again", func(ev *event.Event) bool { watch(ev); return len(told) == 2 })
	want(s, "the one that carries data", told[1].Lease.ID, first.ID)
	want(s, "idle since", told[1].IdleSince, 0)
}
