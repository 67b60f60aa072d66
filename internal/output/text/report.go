package text

import (
	"fmt"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// AppendSelf appends portwatch's own cost.
func AppendSelf(dst []byte, s *fields.SelfReport) []byte {
	dst = appendPair(dst, "watched", s.Elapsed.Round(time.Millisecond).String())
	dst = appendPair(dst, "events", thousands(s.Events)+perSecond(s.Events, s.Elapsed))
	dst = appendPair(dst, "lost", lossTotal(s.Lost))
	dst = appendPair(dst, "drift", thousands(s.Drift))
	dst = appendPair(dst, "kernel CPU", kernelCost(s))
	dst = appendPair(dst, "user CPU", s.UserCPU.Round(time.Microsecond).String()+share(s.UserCPU, s.Elapsed))
	dst = appendPair(dst, "map memory", mapMemory(s))
	return appendPair(dst, "own memory", size(s.ResidentBytes))
}

// AppendFarewell appends what a command that ends says on stderr: the losses
// and the cost, in two lines or a few more.
func AppendFarewell(dst []byte, s *fields.SelfReport) []byte {
	dst = fmt.Appendf(dst, "%s events in %s, lost %s; user CPU %s, kernel CPU %s, map memory %s\n",
		thousands(s.Events), s.Elapsed.Round(time.Millisecond), lossTotal(s.Lost),
		s.UserCPU.Round(time.Microsecond), kernelCost(s), mapMemory(s))
	if s.Drift > 0 {
		dst = fmt.Appendf(dst, "%s differences were found by audits, with no loss to explain them\n", thousands(s.Drift))
	}
	if len(s.Lost) > 0 {
		dst = Table[aggregate.Loss]{Columns: fields.LossColumns()}.Append(dst, &fields.Context{}, s.Lost)
	}
	return dst
}

func kernelCost(s *fields.SelfReport) string {
	switch {
	case s.Mode == event.ModeDiag:
		return "none"
	case s.ProgramRuns == 0:
		return "not counted"
	}
	return fmt.Sprintf("%s%s, %s runs", s.KernelTime.Round(time.Microsecond), share(s.KernelTime, s.Elapsed), thousands(s.ProgramRuns))
}

// mapMemory is that of the maps; mode diag has none.
func mapMemory(s *fields.SelfReport) string {
	if s.Mode == event.ModeDiag {
		return "none"
	}
	return size(s.MapBytes)
}

func lossTotal(all []aggregate.Loss) string {
	total := uint64(0)
	for i := range all {
		total += all[i].Count
	}
	return thousands(total)
}

func perSecond(n uint64, d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return fmt.Sprintf(" (%.1f/s)", float64(n)/d.Seconds())
}

func share(part, whole time.Duration) string {
	if whole <= 0 {
		return ""
	}
	return fmt.Sprintf(" (%.2f %% of a core)", 100*part.Seconds()/whole.Seconds())
}

// size is a number of bytes in binary units, "unknown" for 0.
func size(n uint64) string {
	const unit = 1024
	switch {
	case n == 0:
		return "unknown"
	case n < unit*unit:
		return fmt.Sprintf("%.1f KiB", float64(n)/unit)
	case n < unit*unit*unit:
		return fmt.Sprintf("%.1f MiB", float64(n)/(unit*unit))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(unit*unit*unit))
}

func appendPair(dst []byte, name, value string) []byte {
	return fmt.Appendf(dst, "%-13s %s\n", name, value)
}
