package tracer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
)

// lookPrograms are the iterators of a look, in the order in which they run.
var lookPrograms = [...]string{"pw_look_tcp", "pw_look_udp", "pw_look_file"}

// Looker answers what holds ports right now, for questions that are asked once.
// It attaches no hook and keeps nothing in the kernel between two looks but its
// three iterator programs. Where BPF is not permitted it asks sock_diag and the
// descriptor tables.
type Looker struct {
	host   host
	own    uint32 // inode of the network namespace that portwatch lives in
	tick   tick
	iters  []*link.Iter // as lookPrograms; nil without BPF
	progs  *ebpf.Collection
	reason string
}

// Sight is what a look found.
type Sight struct {
	At        event.Time
	Sightings []event.Sighting // those kept: by namespace, protocol, port, then as found
	// Walked are the namespaces whose sockets were listed, by inode.
	Walked []netns.Namespace
	// Unread says why others were not; one that ended meanwhile is left out.
	Unread []error
}

// OpenLooker gets ready to look. noBPF does without BPF although it may be had.
func OpenLooker(noBPF bool) (*Looker, error) {
	own, err := netns.Current()
	if err != nil {
		return nil, fmt.Errorf("open looker: %w", err)
	}
	l := &Looker{host: readHost(), own: own}
	if l.tick, err = readTick(); err != nil {
		l.tick = 0 // the end of a TIME_WAIT is not known then
	}
	if noBPF {
		l.reason = "mode diag was asked for"
		return l, nil
	}
	if err := l.load(); err != nil {
		if !errors.Is(err, ErrPermission) && !errors.Is(err, ErrUnsupported) {
			return nil, errors.Join(fmt.Errorf("open looker: %w", err), l.Close())
		}
		l.reason = err.Error()
		return l, l.closeBPF()
	}
	return l, nil
}

// Reason is why the looker does without BPF; "" if it has it.
func (l *Looker) Reason() string { return l.reason }

// load loads the iterators and nothing else: they use no map.
func (l *Looker) load() error {
	if _, missing := l.host.needs(); len(missing) > 0 {
		return fmt.Errorf("the process lacks %s: %w", strings.Join(missing, ", "), ErrPermission)
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		return fmt.Errorf("the kernel has no BTF: %w", ErrUnsupported)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return l.host.explain(err)
	}
	spec, err := loadBpf()
	if err != nil {
		return fmt.Errorf("read BPF object: %w", err)
	}
	spec.Maps, spec.Variables = nil, nil
	for name := range spec.Programs {
		if !slices.Contains(lookPrograms[:], name) {
			delete(spec.Programs, name)
		}
	}
	if l.progs, err = ebpf.NewCollection(spec); err != nil {
		return fmt.Errorf("load iterators: %w", l.host.explain(err))
	}
	for _, name := range lookPrograms {
		it, err := l.host.attachIter(name, l.progs.Programs[name])
		if err != nil {
			return err
		}
		l.iters = append(l.iters, it)
	}
	return nil
}

// Close gives everything back.
func (l *Looker) Close() error { return l.closeBPF() }

func (l *Looker) closeBPF() error {
	var errs []error
	for _, it := range l.iters {
		errs = append(errs, it.Close())
	}
	if l.progs != nil {
		l.progs.Close()
	}
	l.iters, l.progs = nil, nil
	return errors.Join(errs...)
}

// Look lists the sockets of every namespace that may be entered and keeps those
// that keep wants; its argument has no owner yet.
func (l *Looker) Look(ctx context.Context, keep func(*event.Sighting) bool) (*Sight, error) {
	listing, err := netns.List("/proc")
	if err != nil {
		return nil, err
	}
	s := &sighter{looker: l, keep: keep, byCookie: map[uint64]bool{}, byInode: map[uint64][]int{}, told: map[int]uint32{}}
	s.sight.At = bootNow()
	for _, ns := range listing.Namespaces {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		err := l.inside(ns, func() error { return s.list(ctx, ns.Inode) })
		switch {
		case err == nil:
			s.sight.Walked = append(s.sight.Walked, ns)
		case ns.Inode == l.own:
			return nil, fmt.Errorf("list sockets: %w", err)
		case !errors.Is(err, netns.ErrGone):
			s.sight.Unread = append(s.sight.Unread, fmt.Errorf("namespace %s: %w", cmp.Or(ns.Name, fmt.Sprint(ns.Inode)), err))
		}
	}
	if err := s.findOwners(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(s.sight.Sightings, func(a, b event.Sighting) int {
		return cmp.Or(cmp.Compare(a.Lease.NetNS, b.Lease.NetNS), cmp.Compare(a.Lease.Protocol, b.Lease.Protocol),
			cmp.Compare(a.Lease.Local.Port(), b.Lease.Local.Port()))
	})
	return &s.sight, nil
}

// inside runs fn in a namespace. Into our own nobody needs to go, which would
// take a capability.
func (l *Looker) inside(ns netns.Namespace, fn func() error) error {
	if ns.Inode == l.own {
		return fn()
	}
	return netns.Do(ns.Path, ns.Inode, fn)
}

// sighter is one look under way.
type sighter struct {
	looker   *Looker
	keep     func(*event.Sighting) bool
	sight    Sight
	byCookie map[uint64]bool  // the sockets kept
	byInode  map[uint64][]int // the same by inode: the TCP sockets of an MPTCP one share it
	told     map[int]uint32   // by place, the process that was told to hold it last
}

// list lists the sockets of the namespace that the thread is in.
func (s *sighter) list(ctx context.Context, inode uint32) error {
	if s.looker.iters == nil {
		return s.listDiag(ctx, inode, nil)
	}
	for _, it := range s.looker.iters[:2] {
		if err := readRows(it, int(unsafe.Sizeof(bpfPwSighting{})), s.row); err != nil {
			return err
		}
	}
	// Who is bound and nothing else is found through a descriptor below, unless
	// it has none that a process holds.
	err := s.listDiag(ctx, inode, []event.State{event.StateBound})
	if errors.Is(err, sockdiag.ErrUnavailable) {
		return nil
	}
	return err
}

// row keeps a socket that an iterator of a namespace told.
func (s *sighter) row(raw []byte) {
	found, _, ok := s.looker.decodeSighting(raw)
	if ok {
		s.add(&found)
	}
}

func (s *sighter) add(found *event.Sighting) {
	if !s.keep(found) {
		return
	}
	if cookie := found.Lease.ID.Cookie; cookie != 0 && found.Lease.State != event.StateTimeWait {
		if s.byCookie[cookie] {
			return // it moved from one table to another under the walk
		}
		s.byCookie[cookie] = true
	}
	if found.Inode != 0 {
		s.byInode[found.Inode] = append(s.byInode[found.Inode], len(s.sight.Sightings))
	}
	s.sight.Sightings = append(s.sight.Sightings, *found)
}

// findOwners looks for the processes that hold the sockets.
func (s *sighter) findOwners() error {
	if s.looker.iters == nil {
		s.findHolders("/proc")
		return nil
	}
	return readRows(s.looker.iters[2], int(unsafe.Sizeof(bpfPwSighting{})), s.descriptor)
}

// descriptor takes what a descriptor leads to: sockets that are known by now, or
// one that is bound and nothing else.
func (s *sighter) descriptor(raw []byte) {
	found, byFile, ok := s.looker.decodeSighting(raw)
	if !ok || !byFile {
		return
	}
	owner := found.Lease.Owner
	found.Lease.Owner = event.Owner{}
	if len(s.byInode[found.Inode]) == 0 && found.Lease.State == event.StateBound && found.Lease.Local.Port() != 0 {
		s.add(&found)
	}
	for _, at := range s.byInode[found.Inode] {
		have := &s.sight.Sightings[at]
		if have.Lease.State == event.StateBound && !have.Sharing.Known && found.Lease.ID == have.Lease.ID {
			found.Lease.Owner = have.Lease.Owner // sock_diag told it first, with less
			*have = found
		}
		if s.told[at] != owner.PID { // else a second descriptor of the process
			s.told[at] = owner.PID
			hold(have, owner)
		}
	}
}
