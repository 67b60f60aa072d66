package tracer

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// What portwatch never does to a host, as far as the tracer
// answers for it.

// A closed tracer leaves nothing in the kernel: none of the programs that it
// held is loaded any more.
func TestCloseLeavesNothing(t *testing.T) {
	tracertest.RequireRoot(t)
	before := ownPrograms(t)
	tracer, err := Open(t.Context(), Options{Mode: tracertest.Mode(t)})
	if err != nil {
		t.Fatal(err)
	}
	during := ownPrograms(t)
	maps.DeleteFunc(during, func(id uint32, _ bool) bool { return before[id] })
	if len(during) == 0 {
		t.Error("an open tracer holds no program")
	}
	if err := tracer.Close(); err != nil {
		t.Fatal(err)
	}
	for id := range during {
		if !gone(id) {
			t.Errorf("program %d is still loaded", id)
		}
	}
	if after := ownPrograms(t); !maps.Equal(before, after) {
		t.Errorf("programs held: %v before, %v after", before, after)
	}
}

// A looker holds its three iterators and no hook, and leaves nothing either.
func TestLookerAttachesNoHook(t *testing.T) {
	tracertest.RequireRoot(t)
	before := ownPrograms(t)
	l, err := OpenLooker(false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Look(t.Context(), func(*event.Sighting) bool { return false }); err != nil {
		t.Fatal(err)
	}
	var names []string
	during := ownPrograms(t)
	maps.DeleteFunc(during, func(id uint32, _ bool) bool { return before[id] })
	for id := range during {
		names = append(names, programName(ebpf.ProgramID(id)))
	}
	slices.Sort(names)
	if want := []string{"pw_look_file", "pw_look_tcp", "pw_look_udp"}; !slices.Equal(names, want) {
		t.Errorf("a looker holds the programs %v, want %v", names, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for id := range during {
		if !gone(id) {
			t.Errorf("program %d is still loaded", id)
		}
	}
}

func ownPrograms(tb testing.TB) map[uint32]bool {
	tb.Helper()
	held, err := heldPrograms("/proc/self")
	if err != nil {
		tb.Fatal(err)
	}
	return held
}

// gone waits for the kernel to free a program, which it does after a grace
// period of its own (bpf_prog_put_deferred).
func gone(id uint32) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
		if errors.Is(err, fs.ErrNotExist) {
			return true
		}
		if err == nil {
			prog.Close()
		}
	}
	return false
}

// Two tracers at once see the same leases, and the end of one does not disturb
// the other.
func TestTwoTracersAtOnce(t *testing.T) {
	first := newStage(t)
	second := &stage{T: t, ns: first.ns}
	first.open()
	second.open()
	_, l, addr := first.server("127.0.0.1:30000")
	c := first.actor("client").Socket(tracertest.TCP4)
	want(first, "connect", c.Connect(addr), 0)
	port := c.Local().Port()
	l.Accept()
	c.Close()
	first.settle()
	second.until("the sentinel of the first", func(ev *event.Event) bool {
		return ev.Kind == event.KindFailure && ev.Failure.Owner.Comm.String() == "sentinel"
	})
	story := path(first.of(port))
	if story == "" || story != path(second.of(port)) {
		t.Errorf("one saw %q, the other %q", story, path(second.of(port)))
	}
	a, b := first.of(port)[0].Lease, second.of(port)[0].Lease
	if a.ID.Cookie != b.ID.Cookie || a.Owner != b.Owner || a.Local != b.Local {
		t.Errorf("one saw %+v, the other %+v", a, b)
	}
}

// Whatever portwatch does, it takes no port, and is refused none, in a namespace
// that it did not create.
func TestTakesNoPortOfOthers(t *testing.T) {
	own, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	s.actor("inhabitant") // makes the namespace one that is walked
	s.open(func(o *Options) { o.NetNS = append(o.NetNS, own) })

	busy, err := Open(t.Context(), Options{Mode: tracertest.Mode(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	other := &stage{T: t, ns: s.ns, tracer: busy}
	other.until("the end of the first walk", isResyncEnd)
	d, err := OpenDiag(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.round(t.Context())
	lookIn(t, s.ns, false)
	lookIn(t, s.ns, true)
	if _, err := SelfTest(t.Context(), Options{Mode: tracertest.Mode(t)}); err != nil {
		t.Fatal(err)
	}
	s.settle()
	for _, ev := range s.events {
		_, owner := subject(&ev)
		if owner != nil && owner.Kind == event.OwnerProcess && int(owner.PID) == os.Getpid() {
			t.Errorf("portwatch itself: %+v", ev)
		}
	}
}
