package verify_test

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
	"github.com/portwatch/portwatch/internal/verify"
)

// How many random cases are played, and which. A failure prints the seed that
// repeats it alone: -cases 1 -seed N.
var (
	cases    = flag.Int("cases", 100, "random cases of TestHeadroomIsWhatSucceeds")
	programs = flag.Int("programs", 10, "random programs of TestRandomPrograms")
	waits    = flag.Int("waits", 30000, "sockets in TIME_WAIT from which TestVerifyUnderLoad compares")
	seed     = flag.Uint64("seed", 1, "seed of the first random case")
)

func TestMain(m *testing.M) { tracertest.Main(m) }

// patience bounds every wait: what is not seen by then is not seen.
const patience = 20 * time.Second

// auditPatience bounds what waits for an audit: those of an emulated machine,
// where a walk takes long, are far apart.
const auditPatience = 3 * time.Minute

// lab is a ledger that watches a number of private namespaces, live, and nothing
// else: what others do on the host is none of a test's business.
type lab struct {
	tracer   *tracer.Tracer
	ledger   *aggregate.Ledger
	verifier *verify.Verifier
	rooms    []uint32         // the namespaces' inodes
	free     []*tracertest.NS // not given to a room yet
	batch    []event.Event
	now      event.Time // of the newest tick
	marks    int
}

// openLab makes the namespaces and opens a tracer on them. They live as long as
// the test: no inode is used again meanwhile.
func openLab(t *testing.T, rooms int, change ...func(*tracer.Options)) *lab {
	t.Helper()
	b := newLab(t, rooms)
	b.open(t, change...)
	return b
}

func newLab(t *testing.T, rooms int) *lab {
	t.Helper()
	tracertest.RequireRoot(t)
	b := &lab{ledger: aggregate.New(aggregate.Options{}), batch: make([]event.Event, 256)}
	for range rooms {
		ns := tracertest.PrivateNetNS(t)
		b.free = append(b.free, ns)
		b.rooms = append(b.rooms, ns.Inode())
	}
	return b
}

// open begins to watch, and returns when the picture is complete.
func (b *lab) open(t *testing.T, change ...func(*tracer.Options)) {
	t.Helper()
	o := tracer.Options{Mode: tracertest.Mode(t), NetNS: b.rooms}
	for _, f := range change {
		f(&o)
	}
	source, err := tracer.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	})
	b.tracer, b.verifier = source, verify.New(b.ledger)
	b.wait(t, "a complete picture", func(s *aggregate.Snapshot) bool { return s.Complete })
}

// wait books events until the picture is as wanted.
func (b *lab) wait(t *testing.T, what string, wanted func(*aggregate.Snapshot) bool) {
	t.Helper()
	if !wanted(b.ledger.Snapshot(0)) {
		b.until(t, what, func(*event.Event) bool { return wanted(b.ledger.Snapshot(0)) })
	}
}

// until books events up to the end of the first batch with one that done accepts.
func (b *lab) until(t *testing.T, what string, done func(*event.Event) bool) {
	t.Helper()
	b.untilWithin(t, patience, what, done)
}

func (b *lab) untilWithin(t *testing.T, bound time.Duration, what string, done func(*event.Event) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	for found := false; !found; {
		n, err := b.tracer.Read(ctx, b.batch)
		for i := range b.batch[:n] {
			ev := &b.batch[i]
			b.verifier.Event(ev)
			b.ledger.Apply(ev)
			if ev.Kind == event.KindTick {
				b.now = ev.Time
			}
			found = found || done(ev)
		}
		if err != nil && !found {
			t.Fatalf("waiting for %s: %v", what, err)
		}
	}
}

func isTick(ev *event.Event) bool { return ev.Kind == event.KindTick }

// room is a private namespace with what a test needs in it.
type room struct {
	*testing.T
	*lab
	ns       *tracertest.NS
	sentinel *tracertest.Actor
}

// room takes one of the lab's namespaces.
func (b *lab) room(t *testing.T) *room {
	t.Helper()
	ns := b.free[0]
	b.free = b.free[1:]
	return &room{T: t, lab: b, ns: ns, sentinel: tracertest.StartActor(t, ns, "sentinel")}
}

func (r *room) actor(name string) *tracertest.Actor {
	r.Helper()
	return tracertest.StartActor(r, r.ns, name)
}

// settle books everything that happened so far. The sentinel is refused a port
// that it has: the refusal is told last.
func (r *room) settle() {
	r.Helper()
	r.quiesce()
	r.marks++
	port := uint16(50000 + r.marks%10000)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	first := r.sentinel.Socket(tracertest.UDP4)
	defer first.Close()
	first.Bind(addr)
	second := r.sentinel.Socket(tracertest.UDP4)
	defer second.Close()
	if errno := second.Bind(addr); errno != syscall.EADDRINUSE {
		r.Fatalf("sentinel: %v", errno)
	}
	var news, alarm bool
	r.until(r.T, "the sentinel", func(ev *event.Event) bool {
		news = news || ev.Kind == event.KindAllocate && ev.Lease.NetNS == r.ns.Inode() && ev.Lease.Local.Port() == port
		alarm = alarm || ev.Kind == event.KindFailure && ev.Failure.NetNS == r.ns.Inode() && ev.Failure.Local.Port() == port
		return news && alarm
	})
}

// quiesce waits while the kernel has sockets on their way between two states.
// What stays there for long is left to the test.
func (r *room) quiesce() {
	r.Helper()
	for deadline := time.Now().Add(3 * time.Second); r.ns.Moving() && time.Now().Before(deadline); {
	}
}

// server listens; a serving one closes when its clients have, a mute one never
// accepts.
func (r *room) server(a *tracertest.Actor, addr string, serving bool) netip.AddrPort {
	r.Helper()
	l := a.Socket(tracertest.TCP4)
	for _, errno := range []syscall.Errno{l.Bind(addr), l.Listen(1024)} {
		if errno != 0 {
			r.Fatal(errno)
		}
	}
	local := l.Local()
	if serving {
		l.Serve()
	}
	return local
}

// pool finds the pool that sockets of the room draw from, unless they have a
// range of their own.
func (r *room) pool(s *aggregate.Snapshot, request aggregate.Request, local netip.Addr, remote netip.AddrPort) *aggregate.Pool {
	r.Helper()
	for i := range s.Pools {
		p := &s.Pools[i]
		if p.NetNS == r.ns.Inode() && p.Request == request && p.Local == local && p.Remote == remote && !p.Own {
			return p
		}
	}
	r.Fatalf("no pool %v %v>%v", request, local, remote)
	return nil
}

// verify runs both passes over all rooms and returns what came of them.
func (b *lab) verify(t *testing.T) verify.Report {
	t.Helper()
	for {
		at := b.now
		if b.verifier.Due(at) {
			p, err := verify.List(t.Context(), b.rooms...)
			if err != nil {
				t.Fatal(err)
			}
			b.verifier.Take(p)
		}
		b.until(t, "a tick", isTick)
		if b.verifier.Ready(b.now) {
			if report, done := b.verifier.Pass(); done {
				return report
			}
		}
	}
}

// healed verifies, and if anything differs goes on until an audit has been by: a
// sandbox's kernel may keep the end of a socket from every tracing program, and
// counts nothing. What is still wrong after that is wrong for ever.
func (b *lab) healed(t *testing.T) verify.Report {
	t.Helper()
	report := b.verify(t)
	if report.Differ() {
		t.Logf("left to an audit: %+v", report.Differences)
		b.audited(t, func() bool {
			report = b.verify(t)
			return !report.Differ()
		})
	}
	return report
}

// audited waits for what only an audit finds out, tick by tick. It is for the
// caller to say if that has not come: audits have their pace.
func (b *lab) audited(t *testing.T, done func() bool) {
	t.Helper()
	for began := time.Now(); !done() && time.Since(began) < auditPatience; {
		b.until(t, "a tick", isTick)
	}
}
