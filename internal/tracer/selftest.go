package tracer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
)

// The self-test does in a private network namespace what each hook is there
// for, and looks whether the fact arrives: a hook that
// attaches may stay silent, and no table of kernels knows all that do.

// Verdict is what the self-test found out about a hook.
type Verdict string

// The verdicts.
const (
	VerdictFired    Verdict = "fired"
	VerdictSilent   Verdict = "silent"   // attached, and what it is there for did not arrive
	VerdictUntested Verdict = "untested" // it could not be made to fire
)

// SelfTestResult is the verdict on one attached hook.
type SelfTestResult struct {
	Hook    string  `json:"hook"` // as in HookReport
	Verdict Verdict `json:"verdict"`
	// Detail is what did not arrive, or why nothing could be tried; "" if the
	// hook fired.
	Detail string `json:"detail,omitempty"`
}

// SelfTestReport is what the self-test found out.
type SelfTestReport struct {
	Kernel  string // release
	Mode    event.Mode
	Hooks   []SelfTestResult
	Elapsed time.Duration
}

const (
	// selfTestBound ends the test: a fact that did not arrive by then will
	// not. The slowest one is the first retransmission of a SYN, after 1 s
	// (TCP_TIMEOUT_INIT).
	selfTestBound = 5 * time.Second
	// actBound is how long one act waits for its fact before the next one,
	// which builds on it, begins.
	actBound = time.Second
	// The self-test has a few dozen leases.
	selfTestLeases = 4096
	selfTestRing   = 1 << 16
)

// SelfTest attaches to a namespace of its own as Open does to the host, makes
// each hook fire and says which did. Where a silent one has a stand-in, it tries
// again with that. It takes between one and five seconds a try, binds and
// connects to loopback addresses only, and leaves nothing behind. An error means
// that it could not be done.
func SelfTest(ctx context.Context, o Options) (SelfTestReport, error) {
	started := time.Now()
	var silent []SelfTestResult
	for {
		report, err := selfTest(ctx, o)
		if err != nil {
			return report, err
		}
		again := replaceable(report.Hooks)
		report.Hooks = append(silent, report.Hooks...)
		report.Elapsed = time.Since(started)
		if len(again) == 0 {
			return report, nil
		}
		silent = append(silent, again...)
		for _, r := range again {
			o.Silent = append(o.Silent, r.Hook)
		}
	}
}

// replaceable are the silent hooks on functions for which another one can stand
// in. On a mode without functions nothing is replaced.
func replaceable(results []SelfTestResult) []SelfTestResult {
	var found []SelfTestResult
	for _, r := range results {
		if r.Verdict == VerdictSilent && hasStandIn(r.Hook) {
			found = append(found, r)
		}
	}
	return found
}

func hasStandIn(place string) bool {
	for i := range hooks {
		first := hookOf(hooks[i].standsInFor)
		if first != nil && first.onFunction() && first.place() == place {
			return true
		}
	}
	return false
}

func selfTest(ctx context.Context, o Options) (report SelfTestReport, err error) {
	ns, err := netns.NewPrivate()
	if err != nil {
		return report, fmt.Errorf("self-test: %w", explainPrivate(err))
	}
	o.NetNS, o.MaxLeases, o.NewsBytes = []uint32{ns.Inode()}, selfTestLeases, selfTestRing
	t, err := Open(ctx, o)
	if err != nil {
		ns.Leave()
		return report, fmt.Errorf("self-test: %w", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	counting, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err == nil {
		defer counting.Close()
	}
	r := &rehearsal{ns: ns, tracer: t}
	r.readRuns(err)
	if err := r.run(ctx); err != nil {
		return report, fmt.Errorf("self-test: %w", err)
	}
	return SelfTestReport{Kernel: t.support.Kernel, Mode: t.support.Mode, Hooks: r.results()}, nil
}

// countedOnly are the programs whose runs, which the kernel counts, are the
// only sign of life: they tell of owners that were met before, or stand in for
// a program that is interrupted.
var countedOnly = [...]string{"pw_exit", "pw_set_state2", "pw_destroy2"}

// readRuns notes how often each of countedOnly has run. cause is why the kernel
// does not count, nil if it does.
func (r *rehearsal) readRuns(cause error) {
	r.runs, r.countError = map[string]uint64{}, cause
	for _, name := range countedOnly {
		if prog := r.tracer.probes.progs[name]; prog != nil {
			stats, err := prog.Stats()
			r.countError = errors.Join(r.countError, err)
			r.runs[name] = stats.RunCount
		}
	}
}

// expectRuns expects that each of countedOnly has run once all acts are over, in
// which sockets changed and a thread ended.
func (r *rehearsal) expectRuns() {
	for _, name := range countedOnly {
		prog := r.tracer.probes.progs[name]
		if prog == nil {
			continue
		}
		if r.countError != nil {
			r.fail("its runs", r.countError, []string{name})
			continue
		}
		r.expect("a run", func(*event.Event) bool {
			now, err := prog.Stats()
			return err == nil && now.RunCount > r.runs[name]
		}, name)
	}
}

func explainPrivate(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: %w", err, ErrPermission)
	}
	return err
}

// rehearsal is one run of the self-test.
type rehearsal struct {
	ns      *netns.Private
	tracer  *Tracer
	checks  []*check
	fds     []int         // of sockets in the namespace
	blocked chan struct{} // closed when the connect() without an answer is over
	waiting event.LeaseID // the TIME_WAIT that the namespace is to take along

	runs       map[string]uint64 // of countedOnly, before the acts
	countError error             // why the kernel does not count them
}

// check is one fact that proves one hook.
type check struct {
	program string
	fact    string
	// match recognises the fact; nil where nothing could be tried.
	match func(*event.Event) bool
	seen  bool
	cause error // why nothing could be tried
}

// run plays the acts and collects the facts. Only a failure of the tracer, or
// of ctx, is an error.
func (r *rehearsal) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, selfTestBound, errBound)
	defer cancel()
	left := false
	leave := func() {
		if !left {
			left = true
			r.leave()
		}
	}
	defer leave()
	for i := range acts {
		if err := r.play(ctx, &acts[i]); err != nil {
			return err
		}
	}
	// The namespace must outlive every other fact.
	if err := r.collect(ctx, 0, selfTestBound/2); err != nil {
		return err
	}
	r.expectEnd()
	r.expectRuns()
	leave()
	return r.collect(ctx, 0, selfTestBound)
}

var errBound = errors.New("the time is up")

// play does one act. What it cannot do leaves its hooks untested.
func (r *rehearsal) play(ctx context.Context, a *act) error {
	first := len(r.checks)
	if err := r.ns.Do(func() error { return a.do(r) }); err != nil {
		r.fail(a.name, err, a.proves)
	}
	if !a.wait || first == len(r.checks) {
		return nil
	}
	return r.collect(ctx, first, actBound)
}

// expect adds a fact that the current act must bring, and that proves those of
// the programs that are attached.
func (r *rehearsal) expect(fact string, match func(*event.Event) bool, programs ...string) {
	for _, program := range programs {
		r.checks = append(r.checks, &check{program: program, fact: fact, match: match})
	}
}

// fail notes why a fact could not be tried.
func (r *rehearsal) fail(fact string, cause error, programs []string) {
	for _, program := range programs {
		r.checks = append(r.checks, &check{program: program, fact: fact, cause: cause})
	}
}

// collect reads events until every fact from the first on has arrived, or the
// time is up, which is no error.
func (r *rehearsal) collect(ctx context.Context, first int, bound time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bound, errBound)
	defer cancel()
	events := make([]event.Event, 256)
	for r.missing(first) {
		n, err := r.tracer.Read(ctx, events)
		for i := range events[:n] {
			r.note(&events[i])
		}
		if err != nil && !errors.Is(context.Cause(ctx), errBound) {
			return err
		}
		if err != nil {
			return nil
		}
	}
	return nil
}

func (r *rehearsal) note(ev *event.Event) {
	for _, c := range r.checks {
		if c.match != nil && !c.seen {
			c.seen = c.match(ev)
		}
	}
}

// missing reports whether one of the facts from the first on is still to arrive
// whose hook is attached.
func (r *rehearsal) missing(first int) bool {
	for _, c := range r.checks[first:] {
		if c.match != nil && !c.seen && r.tracer.probes.attached[c.program] {
			return true
		}
	}
	return false
}
