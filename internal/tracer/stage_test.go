package tracer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// stage is one scenario's private namespace, with a tracer that watches it and
// nothing else. A scenario acts, and then reads everything up to a sentinel.
type stage struct {
	*testing.T
	ns     *tracertest.NS
	tracer *Tracer
	events []event.Event
	marks  int
}

// patience bounds every wait of a test: what is not seen by then is not seen.
const patience = 20 * time.Second

// setStage makes a namespace with a range of 100 ports and opens a tracer on
// it. It returns once the first walk is over.
func setStage(t *testing.T, change ...func(*Options)) *stage {
	t.Helper()
	s := newStage(t)
	s.open(change...)
	return s
}

func newStage(t *testing.T) *stage {
	t.Helper()
	ns := tracertest.PrivateNetNS(t)
	ns.SetRange(40000, 40099)
	return &stage{T: t, ns: ns}
}

func (s *stage) open(change ...func(*Options)) {
	s.Helper()
	o := Options{Mode: tracertest.Mode(s), NetNS: []uint32{s.ns.Inode()}}
	for _, f := range change {
		f(&o)
	}
	tracer, err := Open(s.Context(), o)
	if err != nil {
		s.Fatal(err)
	}
	s.tracer = tracer
	s.Cleanup(func() {
		if err := tracer.Close(); err != nil {
			s.Error(err)
		}
	})
	s.until("the end of the first walk", func(ev *event.Event) bool {
		return ev.Kind == event.KindCorrection && ev.Correction == event.CorrectionEnd
	})
}

// until reads events, and keeps them, up to the first one that done accepts.
func (s *stage) until(what string, done func(*event.Event) bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	batch := make([]event.Event, 256)
	for {
		n, err := s.tracer.Read(ctx, batch)
		s.events = append(s.events, batch[:n]...)
		if slices.ContainsFunc(batch[:n], func(ev event.Event) bool { return done(&ev) }) {
			return
		}
		if err != nil {
			s.Fatalf("waiting for %s: %v\nseen:\n%s", what, err, s.story())
		}
	}
}

// settle reads everything that happened so far. A sentinel process binds a
// port, which ends the news, and is refused the same port, which ends the
// alarms.
func (s *stage) settle() {
	s.Helper()
	s.quiesce()
	s.marks++
	port := uint16(50000 + s.marks)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	sentinel := tracertest.StartActor(s, s.ns, "sentinel")
	defer sentinel.Exit()
	sentinel.Socket(tracertest.UDP4).Bind(addr)
	if errno := sentinel.Socket(tracertest.UDP4).Bind(addr); errno != syscall.EADDRINUSE {
		s.Fatalf("sentinel: %v", errno)
	}
	var news, alarm bool
	s.until("the sentinel", func(ev *event.Event) bool {
		news = news || ev.Kind == event.KindAllocate && ev.Lease.Local.Port() == port
		alarm = alarm || ev.Kind == event.KindFailure && ev.Failure.Local.Port() == port
		return news && alarm
	})
}

// actor starts a process in the stage's namespace.
func (s *stage) actor(name string) *tracertest.Actor {
	s.Helper()
	return tracertest.StartActor(s, s.ns, name)
}

// of returns the events of the leases with the local port, in order, without
// renewals: whether the step of a TIME_WAIT to its second sub-state is told
// depends on the mode, and in mode tracepoint on the slots of the timer wheel.
func (s *stage) of(port uint16) []event.Event {
	return slices.DeleteFunc(s.whole(port), isRenewal)
}

// renewals are what of leaves out.
func (s *stage) renewals(port uint16) []event.Event {
	return slices.DeleteFunc(s.whole(port), func(ev event.Event) bool { return !isRenewal(ev) })
}

func isRenewal(ev event.Event) bool {
	return ev.Kind == event.KindTimeWait && ev.From == event.StateTimeWait
}

func (s *stage) whole(port uint16) []event.Event {
	ids := map[event.LeaseID]bool{}
	var found []event.Event
	for _, ev := range s.events {
		switch ev.Kind {
		case event.KindAllocate, event.KindState, event.KindTimeWait, event.KindRelease, event.KindCorrection:
			if ev.Lease.ID.Born != 0 && (ev.Lease.Local.Port() == port || ids[ev.Lease.ID]) {
				ids[ev.Lease.ID] = true
				found = append(found, ev)
			}
		}
	}
	return found
}

// kinds returns the events of one kind.
func (s *stage) kinds(k event.Kind) []event.Event {
	var found []event.Event
	for _, ev := range s.events {
		if ev.Kind == k {
			found = append(found, ev)
		}
	}
	return found
}

// failures returns the refusals that are not the sentinel's.
func (s *stage) failures() []*event.Failure {
	var found []*event.Failure
	for _, ev := range s.kinds(event.KindFailure) {
		if ev.Failure.Owner.Comm.String() != "sentinel" {
			found = append(found, ev.Failure)
		}
	}
	return found
}

// skipped is how many runs of its programs the kernel is known to have skipped.
// A kernel that may be preempted skips them in process context too, if one task
// gets the CPU in the middle of another's program (7.2, also on system calls:
// trace_call_bpf_faultable): in practice on a very slow machine, such as an
// emulated one. What was skipped is missing, and counted.
func (s *stage) skipped(programs ...string) uint64 {
	var count uint64
	for _, ev := range s.kinds(event.KindLost) {
		if ev.Lost.Cause == event.LostNested && (len(programs) == 0 || slices.Contains(programs, ev.Lost.What)) {
			count += ev.Lost.Count
		}
	}
	return count
}

// path is the life of a lease in words: "allocate:SYN_SENT state:ESTABLISHED".
func path(events []event.Event) string {
	var words []string
	for _, ev := range events {
		switch ev.Kind {
		case event.KindRelease:
			words = append(words, "release:"+ev.Cause.String())
		case event.KindCorrection:
			words = append(words, ev.Correction.String()+":"+ev.Lease.State.String())
		default:
			words = append(words, ev.Kind.String()+":"+ev.Lease.State.String())
		}
	}
	return strings.Join(words, " ")
}

func (s *stage) story() string {
	var b strings.Builder
	for _, ev := range s.events[max(0, len(s.events)-60):] {
		switch ev.Kind {
		case event.KindTick:
		case event.KindFailure:
			fmt.Fprintf(&b, "%d failure %+v\n", ev.Time, *ev.Failure)
		case event.KindLost:
			fmt.Fprintf(&b, "%d lost %+v\n", ev.Time, *ev.Lost)
		default:
			l := &ev.Lease
			fmt.Fprintf(&b, "%d %v %v %v %v %v→%v %v from %v cause %v by %v[%d]\n", ev.Time, ev.Kind, ev.Correction,
				l.ID, l.State, l.Local, l.Remote, l.Origin, ev.From, ev.Cause, l.Owner.Comm, l.Owner.PID)
		}
	}
	return b.String()
}

// want compares, and tells the whole story if it differs. The rest of the test
// relies on what it says.
func want[T comparable](s *stage, what string, got, want T) {
	s.Helper()
	if got != want {
		s.Fatalf("%s: got %v, want %v\nstory:\n%s", what, got, want, s.story())
	}
}

// within is want with bounds.
func within(s *stage, what string, got, low, high uint64) {
	s.Helper()
	if got < low || got > high {
		s.Fatalf("%s: got %d, want %d to %d\nstory:\n%s", what, got, low, high, s.story())
	}
}

// wantOwner checks that the owner is the actor, seen in the act.
func wantOwner(s *stage, o *event.Owner, a *tracertest.Actor, comm string) {
	s.Helper()
	want(s, "owner's pid", int(o.PID), a.PID)
	want(s, "owner's comm", o.Comm.String(), comm)
	want(s, "confidence", o.Confidence, event.ConfidenceExact)
	if o.StartTime == 0 || o.CgroupID == 0 {
		s.Errorf("owner %+v lacks its start time or cgroup", o)
	}
}

// server makes a listening socket of an actor of its own.
func (s *stage) server(addr string) (*tracertest.Actor, *tracertest.Socket, netip.AddrPort) {
	s.Helper()
	a := s.actor("server")
	l := a.Socket(tracertest.TCP4)
	if err := errors.Join(asError(l.Bind(addr)), asError(l.Listen(128))); err != nil {
		s.Fatal(err)
	}
	return a, l, l.Local()
}

func asError(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// accepted reads the kernel's count of a listen port's sockets.
func (s *stage) accepted(port uint16) bpfPwAcceptedCount {
	s.Helper()
	counts, err := readAccepted(s.tracer.probes.maps.Maps["pw_accepted"])
	if err != nil {
		s.Fatal(err)
	}
	return counts[bpfPwAcceptedKey{Netns: s.ns.Inode(), Port: port}]
}
