package tracer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
)

// The walk is the one protocol for start, healing and audit: it goes through
// the kernel's own socket tables, inserts what the maps lack, and stamps what
// it meets. ARCHITECTURE.md says why no interleaving of walk and events names a wrong owner.

// walkers are the iterator programs. A link is bound to no namespace; each
// descriptor made of it belongs to that of the thread that made it.
type walkers struct {
	tcp, udp, files, idle *link.Iter
}

func (p *probes) openWalkers() error {
	for _, w := range []struct {
		program string
		iter    **link.Iter
	}{{"pw_walk_tcp", &p.walks.tcp}, {"pw_walk_udp", &p.walks.udp}, {"pw_walk_file", &p.walks.files}, {"pw_walk_idle", &p.walks.idle}} {
		prog, err := p.load(w.program)
		if err != nil {
			return &HookError{Hook: w.program, Step: "load", Cause: p.host.explain(err)}
		}
		if *w.iter, err = p.host.attachIter(w.program, prog); err != nil {
			return err
		}
	}
	return nil
}

func (h host) attachIter(name string, prog *ebpf.Program) (*link.Iter, error) {
	it, err := link.AttachIter(link.IterOptions{Program: prog})
	if err != nil {
		return nil, &HookError{Hook: name, Step: "attach", Cause: h.explain(err)}
	}
	return it, nil
}

func (w *walkers) Close() error {
	var errs []error
	for _, it := range []*link.Iter{w.tcp, w.udp, w.files, w.idle} {
		if it != nil {
			errs = append(errs, it.Close())
		}
	}
	return errors.Join(errs...)
}

// walker does one walk at a time, in a goroutine of its own.
type walker struct {
	probes *probes
	decode decoder
	number uint16
	only   []uint32 // namespaces to walk; none for all
	// suspects are the entries of pw_leases that the last walk did not meet.
	// One that the next walk does not meet either has no socket.
	suspects map[uint64]suspect
	// acceptedChanges is how often each listen port's count had changed when
	// the last walk looked.
	acceptedChanges map[bpfPwAcceptedKey]uint64
	idle            *idleWatch
	// lossAt is when something was last found to be lost, as an event.Time.
	lossAt atomic.Uint64
}

// suspect is what an entry looked like when it was missed.
type suspect struct {
	id      event.LeaseID
	changed event.Time
}

// walkResult is what a walk brings home.
type walkResult struct {
	began, ended event.Time
	whole        bool // a resync: every lease is told
	events       []event.Event
	idle         []event.Event  // which connections carry no data; not corrections
	waits        map[int]uint64 // addresses of the mini-sockets, by their place in events; if whole
	namespaces   []netns.Namespace
	errs         []error
	cost         time.Duration
	entries      int
}

func newWalker(p *probes, d decoder, only []uint32) *walker {
	return &walker{
		probes: p, decode: d, only: only,
		suspects:        map[uint64]suspect{},
		acceptedChanges: map[bpfPwAcceptedKey]uint64{},
		idle:            newIdleWatch(d.tick),
	}
}

// walk goes through every namespace and then through every descriptor. whole
// makes it read the maps in full and tell every lease.
func (w *walker) walk(ctx context.Context, whole bool) walkResult {
	started := time.Now()
	w.number++
	res := walkResult{began: bootNow(), whole: whole, waits: map[int]uint64{}}
	res.note(w.probes.set("pw_walk", uint32(w.number)))
	res.note(w.probes.set("pw_walk_began", uint64(res.began)))
	walked := w.namespaces(ctx, &res)
	if ctx.Err() == nil {
		res.note(w.read(w.probes.walks.files, &res))
		w.compareMaps(walked, &res)
	}
	res.ended = bootNow()
	res.cost = time.Since(started)
	return res
}

func (r *walkResult) note(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// namespaces walks the socket tables of each namespace and returns those that
// it got through.
func (w *walker) namespaces(ctx context.Context, res *walkResult) map[uint32]bool {
	listing, err := netns.List("/proc")
	res.note(err)
	res.namespaces = slices.DeleteFunc(listing.Namespaces, func(ns netns.Namespace) bool { return !w.watches(ns.Inode) })
	walked := make(map[uint32]bool, len(res.namespaces))
	for _, ns := range res.namespaces {
		if ctx.Err() != nil {
			break
		}
		err := netns.Do(ns.Path, ns.Inode, func() error {
			if err := w.clearAccepted(); err != nil {
				return err
			}
			return errors.Join(w.read(w.probes.walks.tcp, res), w.read(w.probes.walks.udp, res), w.lookForIdle())
		})
		switch {
		case err == nil:
			walked[ns.Inode] = true
			res.note(w.settleAccepted())
		case !errors.Is(err, netns.ErrGone): // one that ended meanwhile is no error
			res.note(fmt.Errorf("walk namespace %d: %w", ns.Inode, err))
		}
	}
	return walked
}

func (w *walker) watches(inode uint32) bool {
	return len(w.only) == 0 || slices.Contains(w.only, inode)
}

// read runs an iterator to its end and keeps the rows.
func (w *walker) read(it *link.Iter, res *walkResult) error {
	return readRows(it, int(unsafe.Sizeof(bpfPwLeaseRecord{})), func(raw []byte) { w.keep(raw, res) })
}

// readRows runs an iterator to its end. row has each row of the given size, which
// is its own until it returns.
func readRows(it *link.Iter, size int, row func(raw []byte)) error {
	rows, err := it.Open()
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	defer rows.Close()
	buf := make([]byte, 256*size)
	filled := 0
	for {
		n, err := rows.Read(buf[filled:])
		filled += n
		whole := filled - filled%size
		for at := 0; at < whole; at += size {
			row(buf[at : at+size])
		}
		filled = copy(buf, buf[whole:filled])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read iterator: %w", err)
		}
	}
}

// keep remembers a row as a correction. A resync tells everything from the
// maps, which hold the rows by then.
func (w *walker) keep(raw []byte, res *walkResult) {
	if res.whole {
		return
	}
	var ev event.Event
	if w.decode.decode(raw, &ev) == nil {
		res.events = append(res.events, ev)
	}
}
