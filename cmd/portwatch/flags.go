package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/portwatch/portwatch/internal/event"
)

// choice is a flag with a closed list of words.
type choice struct {
	word  string
	known []string
}

func newChoice(known ...string) choice { return choice{word: known[0], known: known} }

// String implements [pflag.Value].
func (c *choice) String() string { return c.word }

// Type implements [pflag.Value].
func (c *choice) Type() string { return strings.Join(c.known, "|") }

// Set implements [pflag.Value]; an unknown word is an error that lists the
// known ones.
func (c *choice) Set(word string) error {
	if !slices.Contains(c.known, word) {
		return fmt.Errorf("unknown word %q: known are %s", word, strings.Join(c.known, ", "))
	}
	c.word = word
	return nil
}

// watchFlags say how the kernel is watched, never what is shown.
type watchFlags struct {
	mode          choice
	logLevel      choice
	maxLeases     int
	ringKiB       int
	exactTimeWait bool
	searchTime    bool
	hostRoot      string
}

// How large the ring for events may be. A larger one bridges a longer pause of the
// reader; what does not fit is counted, and found again by a walk.
const (
	leastRingKiB   = 64
	defaultRingKiB = 8 << 10
	mostRingKiB    = 256 << 10
)

func newWatchFlags() *watchFlags {
	return &watchFlags{
		mode:     newChoice("auto", "full", "tracepoint", "diag"),
		logLevel: newChoice("warn", "error", "info", "debug"),
	}
}

func (w *watchFlags) register(fs *pflag.FlagSet) {
	fs.Var(&w.mode, "mode", "how to watch the kernel")
	fs.Var(&w.logLevel, "log-level", "what to log to stderr")
	fs.IntVar(&w.maxLeases, "max-leases", usualLeases, "leases of live sockets kept at most, and of TIME_WAITs as many")
	fs.IntVar(&w.ringKiB, "ring-kib", defaultRingKiB, "size of the ring for events, a power of two")
	fs.BoolVar(&w.exactTimeWait, "exact-time-wait", false, "follow TIME_WAIT by timers, whatever their rate")
	fs.BoolVar(&w.searchTime, "search-time", false, "measure how long the kernel looks for a port")
	fs.StringVar(&w.hostRoot, "host-root", "", "where the host's files are, for an agent in a pod")
}

// usualLeases is how many leases of live sockets are kept where nobody says
// otherwise.
const usualLeases = 1 << 18

// options checks the flags and makes of them what opens the kernel.
func (w *watchFlags) options(cmd *cobra.Command, a *app) (watchOptions, error) {
	if w.maxLeases < 1 || w.maxLeases > 1<<20 {
		return watchOptions{}, usagef(cmd, "--max-leases %d: not within 1 to %d", w.maxLeases, 1<<20)
	}
	if w.ringKiB < leastRingKiB || w.ringKiB > mostRingKiB || w.ringKiB&(w.ringKiB-1) != 0 {
		return watchOptions{}, usagef(cmd, "--ring-kib %d: not a power of two within %d to %d", w.ringKiB, leastRingKiB, mostRingKiB)
	}
	return watchOptions{
		Mode: modeOf(w.mode.word), Logger: newLogger(a, w.logLevel.word), MaxLeases: w.maxLeases, RingKiB: w.ringKiB,
		ExactTimeWait: w.exactTimeWait, SearchTime: w.searchTime, HostRoot: w.hostRoot,
	}, nil
}

// modeOf is the mode by its word; 0 for auto.
func modeOf(word string) event.Mode {
	for _, m := range []event.Mode{event.ModeFull, event.ModeTracepoint, event.ModeDiag} {
		if m.String() == word {
			return m
		}
	}
	return 0
}

// newLogger logs to stderr: stdout is data.
func newLogger(a *app, word string) *zap.Logger {
	level, err := zapcore.ParseLevel(word)
	if err != nil {
		level = zapcore.WarnLevel
	}
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.ISO8601TimeEncoder
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.AddSync(a.stderr), level)
	return zap.New(core).Named("portwatch")
}

// streamFlags are those of verbs that watch for a time.
type streamFlags struct {
	watch    *watchFlags
	filter   *filterFlags
	output   choice
	interval time.Duration
	length   time.Duration
	count    int
	rows     int
	utc      bool
	noHeader bool
	read     readOptions
}

func newStreamFlags(outputs ...string) *streamFlags {
	return &streamFlags{watch: newWatchFlags(), filter: &filterFlags{}, output: newChoice(outputs...)}
}

func (s *streamFlags) register(fs *pflag.FlagSet) {
	fs.VarP(&s.output, "output", "o", "how to print")
	fs.DurationVarP(&s.interval, "interval", "i", time.Second, "time between frames")
	fs.DurationVarP(&s.interval, "delay", "d", time.Second, "the same as --interval")
	fs.DurationVar(&s.length, "for", 0, "stop after this time (0: when stopped)")
	fs.IntVarP(&s.count, "count", "n", 0, "stop after so many frames or events (0: when stopped)")
	fs.BoolVar(&s.utc, "utc", false, "print times in UTC")
	fs.BoolVarP(&s.noHeader, "no-header", "H", false, "print no headers")
	s.read.register(fs, flagWindow)
	s.filter.register(fs)
	s.watch.register(fs)
}

// check refuses what cannot work before anything starts.
func (s *streamFlags) check(cmd *cobra.Command) error {
	switch {
	case s.interval < 100*time.Millisecond || s.interval > time.Hour:
		return usagef(cmd, "--interval %s: not within 100ms to 1h", s.interval)
	case s.length < 0:
		return usagef(cmd, "--for %s: must not be negative", s.length)
	case s.count < 0:
		return usagef(cmd, "--count %d: must not be negative", s.count)
	case s.rows < 0:
		return usagef(cmd, "--top %d: must not be negative", s.rows)
	}
	return nil
}

func (s *streamFlags) location() *time.Location {
	if s.utc {
		return time.UTC
	}
	return time.Local
}
