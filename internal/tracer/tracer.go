package tracer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// Tracer is a live event.Source. One goroutine calls Read; Stats and Support
// may be called from another.
type Tracer struct {
	options Options
	log     *zap.Logger
	support Support
	probes  *probes
	rings   *rings
	losses  *losses
	names   *namer
	spaces  *namespaces
	// accepted tells the counts of accepted sockets.
	accepted *acceptedNews
	rounds   rounds
	tick     tick

	// queue are events that wait for room in Read's dst.
	queue  []event.Event
	handed int // of the queue, from the front
	// second is when the once-a-second work was last done, ticks are those that
	// are to tell of it.
	second time.Time
	ticks  []event.Time
	stats  counters
	// timers is how many timers the kernel side has seen stop; timerLimit is
	// the constant, but for tests.
	timers, timerLimit uint64
}

var _ event.Source = (*Tracer)(nil)

// Open attaches to the kernel. On an error nothing stays behind. The error is
// ErrUnsupported or ErrPermission (errors.Is) where one of them is the cause.
func Open(ctx context.Context, o Options) (*Tracer, error) {
	o = o.withDefaults()
	support, p, err := attach(o)
	if err != nil {
		return nil, err
	}
	t, err := start(ctx, o, support, p)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return t, nil
}

// attach loads the object and attaches the hook table.
func attach(o Options) (Support, *probes, error) {
	support := Support{Kernel: KernelRelease()}
	h := readHost()
	support.Held, support.Missing = h.needs()
	if o.Mode == event.ModeDiag {
		return support, nil, fmt.Errorf("open tracer: mode diag attaches nothing: %w", ErrUnsupported)
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		return support, nil, fmt.Errorf("open tracer: the kernel has no BTF (CONFIG_DEBUG_INFO_BTF): %w", ErrUnsupported)
	}
	support.BTF = true
	if err := support.readRules(); err != nil {
		return support, nil, fmt.Errorf("open tracer: %w", err)
	}
	if missing := support.Missing; len(missing) > 0 {
		support.Advice = "run as root, or with " + strings.Join(missing, ", ")
		return support, nil, fmt.Errorf("open tracer: missing %s: %w", strings.Join(missing, ", "), ErrPermission)
	}
	var p *probes
	var err error
	for _, mode := range modesToTry(o.Mode) {
		support.Mode, support.Unavailable, support.Hooks = mode, cannotKnow(mode), nil
		if p, err = attachMode(o, h, &support); err == nil {
			return support, p, nil
		}
		o.Logger.Debug("mode does not work", zap.Stringer("mode", mode), zap.Error(err))
	}
	return support, nil, fmt.Errorf("open tracer: %w", err)
}

// modesToTry are the mode that was asked for, or all that attach, best first.
func modesToTry(asked event.Mode) []event.Mode {
	if asked != 0 {
		return []event.Mode{asked}
	}
	return []event.Mode{event.ModeFull, event.ModeTracepoint}
}

// attachMode attaches the hooks of support.Mode. On an error nothing stays
// behind.
func attachMode(o Options, h host, support *Support) (*probes, error) {
	if support.Mode == event.ModeFull {
		// One look at one function spares the rest where trampolines are refused.
		if err := CanTrace(); err != nil {
			return nil, fmt.Errorf("mode full: %w", err)
		}
	}
	p, err := openMaps(o, h, support.Mode)
	if err != nil {
		return nil, err
	}
	support.MemoryCeilingBytes = ceiling(p.spec)
	if p.cgroup, err = openCgroupTree(); err != nil {
		o.Logger.Warn("no cgroup2 tree", zap.Error(err))
	}
	support.Cgroup = p.cgroup.name
	p.loadAll(o)
	if err = p.attachAll(o, support); err == nil {
		err = p.openWalkers()
	}
	for _, name := range [...]string{"pw_read_clock", "pw_check_tw"} {
		if err == nil {
			_, err = p.load(name)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mode %s: %w", support.Mode, err), p.Close())
	}
	return p, nil
}

// start brings the user side to life.
func start(ctx context.Context, o Options, support Support, p *probes) (*Tracer, error) {
	d := decoder{tick: p.tick}
	r, err := openRings(p, d)
	if err != nil {
		return nil, err
	}
	t := &Tracer{
		options: o, log: o.Logger.Named("tracer"), support: support, probes: p, rings: r, tick: p.tick,
		losses: newLosses(p), timerLimit: timerLimit, names: newNamer(p, o), spaces: newNamespaces(),
		accepted: newAcceptedNews(p),
	}
	if !p.attached["pw_timer_cancel"] && !p.attached["pw_tw_kill"] && !p.attached["pw_tw_destructor"] {
		r.countdown = newCountdown(p)
	}
	// The kernel's types have served; they were the largest thing in memory.
	debug.FreeOSMemory()
	t.rounds = newRounds(ctx, newWalker(p, d, o.NetNS))
	t.push(startEvent(&t.support, "", t.tick))
	return t, nil
}

// Read implements event.Source.
func (t *Tracer) Read(ctx context.Context, dst []event.Event) (int, error) {
	for {
		if n := t.pop(dst); n > 0 {
			t.stats.events.Add(uint64(n))
			return n, nil
		}
		n, err := t.read(ctx, dst)
		if n > 0 || err != nil {
			t.stats.events.Add(uint64(n))
			return n, err
		}
	}
}

// read does one round of the reader's work.
func (t *Tracer) read(ctx context.Context, dst []event.Event) (int, error) {
	t.everySecond()
	t.tellTicks()
	t.walkResults(ctx)
	t.names.drain(bootNow(), t.push)
	if len(t.queue) > 0 {
		return 0, nil
	}
	deadline := time.Now().Add(pause)
	if ctx.Err() != nil {
		deadline = time.Unix(1, 0)
	}
	n, err := t.rings.read(dst, deadline)
	if err != nil {
		return n, err
	}
	n = t.enrich(dst, n)
	if n == 0 && ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return n, nil
}

// enrich looks at n fresh events: new owners are named, and settings that the
// kernel used but nobody told go in front of the event that used them. It
// returns how many events stay in dst; the rest has moved to the queue.
func (t *Tracer) enrich(dst []event.Event, n int) int {
	stay := n
	for i := range n {
		ev := &dst[i]
		t.look(ev)
		if len(t.queue) > 0 {
			stay = min(stay, i)
			t.push(*ev)
		}
	}
	return stay
}

// look asks for the names and settings that belong to an event.
func (t *Tracer) look(ev *event.Event) {
	if ev.Kind == event.KindOwner {
		t.spreadExit(ev)
		return
	}
	if ev.From == event.StateListen {
		// What the listener leaves behind holds its port from here on.
		t.accepted.tellPort(ev.Lease.NetNS, ev.Lease.Local.Port(), ev.Time, t.push)
	}
	inode, owner := subject(ev)
	if owner != nil {
		t.names.meet(owner)
	}
	if inode == 0 || !t.spaces.met(inode, ev.NamespaceRange) {
		return
	}
	if t.spaces.readLimits(inode, ev.Time, t.push) || owner == nil {
		return
	}
	t.spaces.locate(inode, threadPath(owner, ev.Thread))
	t.spaces.readLimits(inode, ev.Time, t.push)
}

// spreadExit turns the exit of a process into that of each owner it was.
func (t *Tracer) spreadExit(ev *event.Event) {
	for i, o := range t.names.exited(ev.Process.Owner.PID, ev.Process.Owner.StartTime) {
		p := &event.Process{Owner: o, Exited: true}
		if i == 0 {
			ev.Process = p
			continue
		}
		t.push(event.Event{Kind: event.KindOwner, Time: ev.Time, Process: p})
	}
}

// subject is the namespace and the owner that an event speaks of.
func subject(ev *event.Event) (uint32, *event.Owner) {
	switch ev.Kind {
	case event.KindAllocate, event.KindTimeWait, event.KindCorrection:
		return ev.Lease.NetNS, &ev.Lease.Owner
	case event.KindFailure:
		return ev.Failure.NetNS, &ev.Failure.Owner
	case event.KindState, event.KindRelease:
		return ev.Lease.NetNS, nil
	}
	return 0, nil
}

func threadPath(o *event.Owner, thread event.Thread) string {
	if thread.TID == 0 {
		return fmt.Sprintf("/proc/%d/ns/net", o.PID)
	}
	return fmt.Sprintf("/proc/%d/task/%d/ns/net", o.PID, thread.TID)
}

// push queues an event; pop hands out what is queued.
func (t *Tracer) push(ev event.Event) { t.queue = append(t.queue, ev) }

func (t *Tracer) pop(dst []event.Event) int {
	n := copy(dst, t.queue[t.handed:])
	if t.handed += n; t.handed == len(t.queue) {
		clear(t.queue) // nothing that an event points to stays alive
		t.queue, t.handed = t.queue[:0], 0
	}
	return n
}

// Close detaches and gives back everything.
func (t *Tracer) Close() error {
	t.rounds.Close()
	t.names.Close()
	return errors.Join(t.rings.Close(), t.probes.Close())
}

// Support reports what is attached and what is not.
func (t *Tracer) Support() Support { return t.support }

// KernelRelease is what uname -r prints; "" if it cannot be read.
func KernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
