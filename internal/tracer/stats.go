package tracer

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// Stats is the tracer's own cost and its losses since it was opened.
type Stats struct {
	Events uint64 // handed out by Read
	// Drift counts differences that audits found without a loss to explain
	// them.
	Drift uint64
	// Lost sums what was lost, by what and cause.
	Lost []event.Lost
	// KernelNanos and ProgramRuns are the programs' own statistics; 0 while
	// kernel.bpf_stats_enabled is off.
	KernelNanos uint64
	ProgramRuns uint64
	// UserCPU is what the whole process has used in user space and in the
	// kernel on its own behalf.
	UserCPU time.Duration
	// MapBytes is the memory of maps and rings as the kernel accounts it.
	MapBytes uint64
}

type counters struct {
	events, drift atomic.Uint64
	mu            sync.Mutex
	lost          []event.Lost
}

func (c *counters) lose(l event.Lost) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.lost {
		have := &c.lost[i]
		if have.What == l.What && have.Cause == l.Cause && have.Errno == l.Errno {
			have.Count += l.Count
			return
		}
	}
	c.lost = append(c.lost, l)
}

func (c *counters) losses() []event.Lost {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]event.Lost(nil), c.lost...)
}

// Stats reads the current figures.
func (t *Tracer) Stats() Stats {
	s := Stats{Events: t.stats.events.Load(), Drift: t.stats.drift.Load(), Lost: t.stats.losses()}
	for _, prog := range t.probes.progs {
		if stats, err := prog.Stats(); err == nil {
			s.KernelNanos += uint64(stats.Runtime)
			s.ProgramRuns += stats.RunCount
		}
	}
	for _, m := range t.probes.maps.Maps {
		s.MapBytes += mapBytes(m)
	}
	s.UserCPU = ownCPU()
	return s
}

// ownCPU is what the process has used so far.
func ownCPU() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func mapBytes(m *ebpf.Map) uint64 {
	info, err := m.Info()
	if err != nil {
		return 0
	}
	bytes, _ := info.Memlock()
	return bytes
}

// hashOverhead is what the kernel adds to an element of a hash map without
// pre-allocation, rounded up to its allocator's size (kernel/bpf/hashtab.c,
// memalloc.c: 48 bytes of header, 8 of the allocator).
const hashOverhead = 56

// ceiling is what the maps would take if all of them were full.
func ceiling(spec *ebpf.CollectionSpec) uint64 {
	var sum uint64
	cpus := uint64(ebpf.MustPossibleCPU())
	for _, m := range spec.Maps {
		entries, size := uint64(m.MaxEntries), uint64(m.KeySize+m.ValueSize)
		switch m.Type {
		case ebpf.RingBuf:
			sum += entries
		case ebpf.PerCPUArray:
			sum += entries * size * cpus
		case ebpf.Hash, ebpf.LRUHash:
			sum += entries * (size + hashOverhead + 16)
		default:
			sum += entries * size
		}
	}
	return sum
}
