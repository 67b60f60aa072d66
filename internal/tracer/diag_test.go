package tracer

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// dumps is a private namespace that mode diag watches, and what it has told.
type dumps struct {
	*testing.T
	ns     *tracertest.NS
	diag   *Diag
	events []event.Event
}

// openDumps opens mode diag on a namespace of its own in which prepare has
// made sockets, and reads the first resync.
func openDumps(t *testing.T, prepare func(*tracertest.NS), change ...func(*Options)) *dumps {
	t.Helper()
	ns := tracertest.PrivateNetNS(t)
	prepare(ns)
	o := Options{NetNS: []uint32{ns.Inode()}, Reason: "for a test"}
	for _, f := range change {
		f(&o)
	}
	diag, err := OpenDiag(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = diag.Close() })
	return &dumps{T: t, ns: ns, diag: diag}
}

// until reads up to an event that done accepts, and returns it.
func (d *dumps) until(what string, done func(*event.Event) bool) event.Event {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), patience)
	defer cancel()
	batch := make([]event.Event, 64)
	for {
		n, err := d.diag.Read(ctx, batch)
		d.events = append(d.events, batch[:n]...)
		if at := slices.IndexFunc(batch[:n], func(ev event.Event) bool { return done(&ev) }); at >= 0 {
			return batch[at]
		}
		if err != nil {
			d.Fatalf("waiting for %s: %v\nseen: %+v", what, err, d.events)
		}
	}
}

// lease reads until the port's lease is told in the state.
func (d *dumps) lease(port uint16, state event.State) event.Lease {
	d.Helper()
	return d.until(state.String(), func(ev *event.Event) bool {
		return ev.Correction == event.CorrectionHolds && ev.Lease.Local.Port() == port && ev.Lease.State == state
	}).Lease
}

func (d *dumps) resync() {
	d.Helper()
	d.until("the end of the resync", isResyncEnd)
}

func isResyncEnd(ev *event.Event) bool {
	return ev.Kind == event.KindCorrection && ev.Correction == event.CorrectionEnd
}

// One lease from its connection to its TIME_WAIT; the other end, which was
// accepted, is none.
func TestDiagFollowsALease(t *testing.T) {
	var server, client *tracertest.Actor
	var l, c *tracertest.Socket
	d := openDumps(t, func(ns *tracertest.NS) {
		server, client = tracertest.StartActor(t, ns, "server"), tracertest.StartActor(t, ns, "client")
		l, c = server.Socket(tracertest.TCP4), client.Socket(tracertest.TCP4)
		l.Bind("127.0.0.1:30000")
		l.Listen(8)
		c.Connect(netip.MustParseAddrPort("127.0.0.1:30000"))
	})
	l.Accept()
	port := c.Local().Port()
	live := d.lease(port, event.StateEstablished)
	wantSnapshot(t, &live.Owner, client, "client")
	if live.Origin != event.OriginUnknown || live.ID.Born == 0 || live.NetNS != d.ns.Inode() {
		t.Errorf("lease: %+v", live)
	}
	c.Close()
	waiting := d.lease(port, event.StateTimeWait)
	if waiting.ID != live.ID || waiting.Owner != live.Owner {
		t.Errorf("TIME_WAIT %+v does not go on with %+v", waiting, live)
	}
	if left := time.Duration(waiting.Expires) - time.Duration(bootNow()); left <= 0 || left > 70*time.Second {
		t.Errorf("expires in %v", left)
	}
	if at := slices.IndexFunc(d.events, func(ev event.Event) bool {
		return ev.Correction == event.CorrectionHolds && ev.Lease.Local.Port() == 30000 && ev.Lease.State != event.StateListen
	}); at >= 0 {
		t.Errorf("an accepted socket is told as a lease: %+v", d.events[at].Lease)
	}
}

// wantSnapshot checks that the owner is the actor, found by its descriptors.
func wantSnapshot(t *testing.T, o *event.Owner, a *tracertest.Actor, comm string) {
	t.Helper()
	if int(o.PID) != a.PID || o.Comm.String() != comm || o.Confidence != event.ConfidenceSnapshot || o.StartTime == 0 {
		t.Errorf("owner: %+v, want %s[%d], snapshot", o, comm, a.PID)
	}
}

func TestDiagOpensWithAllThatIsThere(t *testing.T) {
	var bound *tracertest.Socket
	d := openDumps(t, func(ns *tracertest.NS) {
		a := tracertest.StartActor(t, ns, "resolver")
		bound = a.Socket(tracertest.UDP4)
		bound.Bind("127.0.0.1:5353")
		a.Socket(tracertest.TCP6).Bind("[::1]:30001")
	})
	d.resync()
	start := d.events[0]
	if start.Kind != event.KindStart || start.Start.Mode != event.ModeDiag || start.Start.Reason != "for a test" ||
		!slices.Contains(start.Start.Unavailable, "refusals") {
		t.Errorf("start: %+v %+v", start.Kind, start.Start)
	}
	var kinds []event.Kind
	ports := map[uint16]event.State{}
	for _, ev := range d.events {
		kinds = append(kinds, ev.Kind)
		if ev.Correction == event.CorrectionHolds {
			ports[ev.Lease.Local.Port()] = ev.Lease.State
		}
	}
	for _, k := range []event.Kind{event.KindNetNS, event.KindLimits, event.KindOwner} {
		if !slices.Contains(kinds, k) {
			t.Errorf("no %v in %v", k, kinds)
		}
	}
	if ports[5353] != event.StateUnconnected {
		t.Errorf("ports: %v", ports)
	}
	bound.Close()
	d.until("the end of a lease", func(ev *event.Event) bool {
		return ev.Correction == event.CorrectionGone && ev.Lease.Local.Port() == 5353
	})
}

// A second dump tells nothing of what did not change.
func TestDiagTellsOnlyNews(t *testing.T) {
	d := openDumps(t, func(ns *tracertest.NS) {
		tracertest.StartActor(t, ns, "quiet").Socket(tracertest.UDP4).Bind("127.0.0.1:5353")
	})
	d.resync()
	d.events = nil
	for range 2 {
		d.until("a tick", func(ev *event.Event) bool { return ev.Kind == event.KindTick })
	}
	for _, ev := range d.events {
		if ev.Kind == event.KindCorrection {
			t.Errorf("told again: %+v", ev)
		}
	}
}

func TestDiagIsBounded(t *testing.T) {
	var sockets []*tracertest.Socket
	d := openDumps(t, func(ns *tracertest.NS) {
		a := tracertest.StartActor(t, ns, "hoarder")
		for range 4 {
			s := a.Socket(tracertest.UDP4)
			s.Bind("127.0.0.1:0")
			sockets = append(sockets, s)
		}
	}, func(o *Options) { o.MaxLeases = 2 })
	lost := d.until("a loss", func(ev *event.Event) bool { return ev.Kind == event.KindLost }).Lost
	if lost.Count != 2 || lost.Cause != event.LostReader {
		t.Errorf("lost %+v, want 2 leases at the bound of the reader", lost)
	}
	if slices.ContainsFunc(d.events, func(ev event.Event) bool { return isResyncEnd(&ev) }) {
		t.Error("a picture with a hole is told to be complete")
	}
	for _, s := range sockets[:2] {
		s.Close()
	}
	d.resync() // and when there is room again it is whole
}

func TestDiagSeesANamespaceEnd(t *testing.T) {
	var a *tracertest.Actor
	d := openDumps(t, func(ns *tracertest.NS) { a = tracertest.StartActor(t, ns, "last") })
	d.resync()
	a.Exit()
	d.ns.Release()
	d.until("the end of the namespace", func(ev *event.Event) bool {
		return ev.Kind == event.KindNetNS && ev.Namespace.Gone && ev.Namespace.NetNS == d.ns.Inode()
	})
}

func TestDiagEndsWithItsContext(t *testing.T) {
	d := openDumps(t, func(*tracertest.NS) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	batch := make([]event.Event, 64)
	if n, err := d.diag.Read(ctx, batch); n == 0 || err != nil {
		t.Errorf("what was there is not handed out: %d events, error %v", n, err)
	}
	if _, err := d.diag.Read(ctx, batch); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
