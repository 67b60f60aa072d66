package tracer

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
	"github.com/portwatch/portwatch/internal/tracer/workload"
)

// The pace of dumps: one a second, and after an expensive one a rest of
// diagRest times its cost, which is 5 % of a core.
const (
	diagInterval = time.Second
	diagRest     = 20
)

// Diag is the event.Source of mode diag. It loads no BPF: once a second it
// asks sock_diag for the sockets of each namespace that it may enter. The first
// dump, and the first one after a loss, is told as a resync; of the others what
// changed, as single corrections. A port that was taken and given back between
// two dumps is not seen.
//
// One goroutine calls Read; Stats and Support may be called from another.
type Diag struct {
	options Options
	log     *zap.Logger
	support Support
	own     uint32 // inode of the network namespace that portwatch lives in
	enters  bool   // other namespaces may be entered
	leases  *diagLeases
	owners  *diagOwners
	spaces  map[uint32]*diagNamespace

	queue    []event.Event
	next     time.Time // when the next dump is due
	nextTick time.Time
	whole    bool // the next dump is to be a resync
	stats    counters
}

var _ event.Source = (*Diag)(nil)

// OpenDiag begins to watch without BPF. It works without privileges, for the
// namespace and the processes of the user, and says so in Support.Unavailable.
// The error is ErrUnsupported if the kernel has no sock_diag.
func OpenDiag(_ context.Context, o Options) (*Diag, error) {
	o = o.withDefaults()
	own, err := netns.Current()
	if err != nil {
		return nil, fmt.Errorf("open diag: %w", err)
	}
	if err := trySockDiag(); err != nil {
		return nil, fmt.Errorf("open diag: %w", err)
	}
	h := readHost()
	d := &Diag{
		options: o, log: o.Logger.Named("diag"), own: own, enters: h.has("CAP_SYS_ADMIN"), whole: true,
		support: diagSupport(h),
		leases:  newDiagLeases(o.MaxLeases),
		owners:  newDiagOwners("/proc", workload.New(workload.HostTrees(o.HostRoot))),
		spaces:  map[uint32]*diagNamespace{},
	}
	d.push(startEvent(&d.support, o.Reason, 0))
	return d, nil
}

func trySockDiag() error {
	conn, err := sockdiag.Open()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return conn.Close()
}

// diagSupport says what the mode cannot know, for want of BPF and of
// capabilities.
func diagSupport(h host) Support {
	s := Support{Mode: event.ModeDiag, Kernel: KernelRelease(), Unavailable: cannotKnow(event.ModeDiag)}
	s.Held, s.Missing = h.needs()
	if !h.has("CAP_SYS_ADMIN") {
		s.Unavailable = append(s.Unavailable, "other network namespaces")
	}
	if !h.has("CAP_SYS_PTRACE") {
		s.Unavailable = append(s.Unavailable, "processes of other users")
	}
	return s
}

// Read implements event.Source.
func (d *Diag) Read(ctx context.Context, dst []event.Event) (int, error) {
	for {
		if n := d.pop(dst); n > 0 {
			d.stats.events.Add(uint64(n))
			return n, nil
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		now := time.Now()
		if !now.Before(d.next) {
			d.round(ctx)
			d.next = time.Now().Add(max(diagInterval-time.Since(now), diagRest*time.Since(now)))
		}
		if !now.Before(d.nextTick) {
			d.nextTick = now.Add(diagInterval)
			d.push(event.Event{Kind: event.KindTick, Time: bootNow()})
		}
		if len(d.queue) == 0 {
			waitUntil(ctx, earlier(d.next, d.nextTick))
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// waitUntil waits for a moment, or for ctx.
func waitUntil(ctx context.Context, at time.Time) {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// round does one dump of everything and tells what came of it.
func (d *Diag) round(ctx context.Context) {
	whole, began := d.whole, bootNow()
	walked, complete := d.dump(ctx)
	if ctx.Err() != nil {
		return
	}
	d.owners.find(d.leases, d.push)
	if whole {
		d.push(event.Event{Kind: event.KindCorrection, Correction: event.CorrectionBegin, Time: began})
	}
	d.leases.settle(walked, whole, d.push)
	if lost := d.leases.overflow(); lost > 0 {
		complete = false
		l := event.Lost{What: "lease", CPU: -1, Cause: event.LostReader, Count: lost}
		d.stats.lose(l)
		d.push(event.Event{Kind: event.KindLost, Time: bootNow(), Lost: &l})
	}
	d.whole = !complete
	if whole && complete {
		d.push(event.Event{Kind: event.KindCorrection, Correction: event.CorrectionEnd, Time: bootNow()})
	}
}

func (d *Diag) push(ev event.Event) { d.queue = append(d.queue, ev) }

func (d *Diag) pop(dst []event.Event) int {
	n := copy(dst, d.queue)
	d.queue = d.queue[:copy(d.queue, d.queue[n:])]
	return n
}

// Support reports what the mode offers here.
func (d *Diag) Support() Support { return d.support }

// Stats reads the current figures. Nothing runs in the kernel.
func (d *Diag) Stats() Stats {
	return Stats{Events: d.stats.events.Load(), Lost: d.stats.losses(), UserCPU: ownCPU()}
}

// Close ends the source. It holds nothing between two dumps.
func (d *Diag) Close() error { return nil }
