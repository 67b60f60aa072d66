package fields

import (
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// SelfReport is portwatch's own cost over the time watched.
type SelfReport struct {
	Mode          event.Mode
	Elapsed       time.Duration // of the measurement
	Events        uint64        // read from the kernel
	Drift         uint64        // differences that audits found without a loss to explain them
	RingBytes     uint64        // read from the rings; 0 if not counted
	KernelTime    time.Duration // in programs; 0 if the kernel did not count
	ProgramRuns   uint64        // 0 if the kernel did not count
	UserCPU       time.Duration
	MapBytes      uint64 // kernel memory of the maps
	ResidentBytes uint64 // of this process; 0 if not known
	Lost          []aggregate.Loss
	Ledger        aggregate.Counters
}

// Self is the document portwatch.self/1.
var Self = newDocument("portwatch.self/1", "Portwatch's own cost.", envelope[SelfReport](), Object[SelfReport]{
	one("elapsed_seconds", "seconds", "How long the cost was measured.", Real,
		func(_ *Context, s *SelfReport) Value { return Seconds(s.Elapsed) }),
	one("events", "events", "Events read from the kernel.", Integer,
		func(_ *Context, s *SelfReport) Value { return Count(s.Events) }),
	one("ring_bytes", "bytes", "Bytes read from the rings; null if they were not counted.", Integer,
		func(_ *Context, s *SelfReport) Value { return known(s.RingBytes) }),
	one("drift", "leases", "Differences that audits found without a loss to explain them.", Integer,
		func(_ *Context, s *SelfReport) Value { return Count(s.Drift) }),
	one("kernel_seconds", "seconds", "CPU time of the programs in the kernel; null if the kernel did not count.", Real,
		func(_ *Context, s *SelfReport) Value { return counted(s, Seconds(s.KernelTime)) }),
	one("program_runs", "runs", "Runs of the programs; null if the kernel did not count.", Integer,
		func(_ *Context, s *SelfReport) Value { return counted(s, Count(s.ProgramRuns)) }),
	one("user_cpu_seconds", "seconds", "CPU time of this process.", Real,
		func(_ *Context, s *SelfReport) Value { return Seconds(s.UserCPU) }),
	one("map_bytes", "bytes", "Kernel memory of the maps.", Integer,
		func(_ *Context, s *SelfReport) Value { return known(s.MapBytes) }),
	one("resident_bytes", "bytes", "Memory of this process.", Integer,
		func(_ *Context, s *SelfReport) Value { return known(s.ResidentBytes) }),
	rows("lost", "What did not reach the stream, by kind.", lossRow,
		func(s *SelfReport) ([]loss, bool) { return s.Lost, true }),
	nest("ledger", "The ledger's totals.", ledgerCounters, func(s *SelfReport) *counters { return &s.Ledger }),
})

// counted is v if the kernel counted the runs of its programs.
func counted(s *SelfReport, v Value) Value {
	if s.ProgramRuns == 0 {
		return Value{}
	}
	return v
}

// known is a size, absent if it is 0.
func known(n uint64) Value {
	if n == 0 {
		return Value{}
	}
	return Count(n)
}
