package tracer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
	tcp, udp, files *link.Iter
}

func (p *probes) openWalkers() error {
	for _, w := range []struct {
		program string
		iter    **link.Iter
	}{{"pw_walk_tcp", &p.walks.tcp}, {"pw_walk_udp", &p.walks.udp}, {"pw_walk_file", &p.walks.files}} {
		prog, err := p.load(w.program)
		if err != nil {
			return &HookError{Hook: w.program, Step: "load", Cause: p.host.explain(err)}
		}
		if *w.iter, err = link.AttachIter(link.IterOptions{Program: prog}); err != nil {
			return &HookError{Hook: w.program, Step: "attach", Cause: p.host.explain(err)}
		}
	}
	return nil
}

func (w *walkers) Close() error {
	var errs []error
	for _, it := range []*link.Iter{w.tcp, w.udp, w.files} {
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
	// suspects are the entries that the last walk did not meet, by map key.
	// An entry that the next one does not meet either has no socket.
	leases, timewait map[uint64]suspect
	// acceptedChanges is how often each listen port's count had changed when
	// the last walk looked.
	acceptedChanges map[bpfPwAcceptedKey]uint64
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
	namespaces   []netns.Namespace
	errs         []error
	cost         time.Duration
	entries      int
}

func newWalker(p *probes, d decoder, only []uint32) *walker {
	return &walker{
		probes: p, decode: d, only: only,
		leases: map[uint64]suspect{}, timewait: map[uint64]suspect{},
		acceptedChanges: map[bpfPwAcceptedKey]uint64{},
	}
}

// walk goes through every namespace and then through every descriptor. whole
// makes it read the maps in full and tell every lease.
func (w *walker) walk(ctx context.Context, whole bool) walkResult {
	started := time.Now()
	w.number++
	res := walkResult{began: bootNow(), whole: whole}
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
			return errors.Join(w.read(w.probes.walks.tcp, res), w.read(w.probes.walks.udp, res))
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
	rows, err := it.Open()
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	defer rows.Close()
	const size = int(unsafe.Sizeof(bpfPwLeaseRecord{}))
	buf := make([]byte, 256*size)
	filled := 0
	for {
		n, err := rows.Read(buf[filled:])
		filled += n
		whole := filled - filled%size
		for at := 0; at < whole; at += size {
			w.keep(buf[at:at+size], res)
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

// compareMaps reads both maps: it tells every lease if the walk is whole, and
// ends the entries that two walks running did not meet.
func (w *walker) compareMaps(walked map[uint32]bool, res *walkResult) {
	maps := w.probes.maps.Maps
	next := map[uint64]suspect{}
	res.note(w.compare(maps["pw_leases"], walked, w.leases, next, res))
	w.leases = next
	next = map[uint64]suspect{}
	res.note(w.compare(maps["pw_timewait"], walked, w.timewait, next, res))
	w.timewait = next
}

func (w *walker) compare(m *ebpf.Map, walked map[uint32]bool, before, next map[uint64]suspect, res *walkResult) error {
	clock, err := readClock(w.probes.progs["pw_read_clock"])
	if err != nil {
		return err
	}
	return eachLease(m, func(key uint64, lease *bpfPwLease) error {
		res.entries++
		if res.whole && lease.LocalPort != 0 {
			res.events = append(res.events, w.holds(lease, clock))
		}
		if !w.missed(lease, walked, res.began) {
			return nil
		}
		s := suspect{event.LeaseID{Cookie: lease.Cookie, Born: event.Time(lease.Born)}, event.Time(lease.Changed)}
		if before[key] != s {
			next[key] = s
			return nil
		}
		return w.bury(m, key, lease, res)
	})
}

// holds is the correction that tells a lease as its map entry has it.
func (w *walker) holds(lease *bpfPwLease, clock bpfPwClock) event.Event {
	ev := event.Event{Kind: event.KindCorrection, Correction: event.CorrectionHolds, Time: event.Time(lease.Changed)}
	toLease(lease, &ev.Lease)
	if ev.Lease.State == event.StateTimeWait {
		ev.Lease.Expires = w.decode.tick.dueTime(clock, lease.Expires, ev.Lease.Substate)
	}
	return ev
}

// missed reports whether the walk went where the socket must be, and did not
// meet it. A port that is bound and nothing else may be on its way between two
// processes, where no table shows it: its end never goes unseen, because it
// happens in a system call. A lease without a port is still being made.
func (w *walker) missed(lease *bpfPwLease, walked map[uint32]bool, began event.Time) bool {
	return lease.Word.Walk != w.number && walked[lease.Netns] &&
		event.Time(lease.Changed) < began && event.Time(lease.Born) < began &&
		lease.LocalPort != 0 && event.State(lease.Word.State) != event.StateBound
}

// bury ends an entry that has no socket.
func (w *walker) bury(m *ebpf.Map, key uint64, lease *bpfPwLease, res *walkResult) error {
	err := m.Delete(key)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end lease: %w", err)
	}
	ev := event.Event{Kind: event.KindCorrection, Correction: event.CorrectionGone, Time: bootNow(), Cause: event.CauseLost}
	toLease(lease, &ev.Lease)
	res.events = append(res.events, ev)
	return nil
}

// eachLease reads a map in batches. Walking it key by key would, while it
// changes, show some keys twice and others never.
func eachLease(m *ebpf.Map, visit func(key uint64, lease *bpfPwLease) error) error {
	keys := make([]uint64, 4096)
	vals := make([]bpfPwLease, len(keys))
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, vals, nil)
		for i := range n {
			if err := visit(keys[i], &vals[i]); err != nil {
				return err
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read leases: %w", err)
		}
	}
}
