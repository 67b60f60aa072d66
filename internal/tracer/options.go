package tracer

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/portwatch/portwatch/internal/event"
)

// Options say what to watch and how. The zero value watches everything in the
// best mode that the kernel permits.
type Options struct {
	// Mode is the mode to run in; 0 takes the best that works.
	Mode event.Mode
	// Logger receives the talk; nil for none.
	Logger *zap.Logger
	// MaxLeases bounds the leases of live sockets and, apart from them, of
	// TIME_WAITs; 0 for DefaultMaxLeases, at most MaxMaxLeases.
	MaxLeases int
	// NewsBytes is the size of the ring for leases, a power of two; 0 for
	// DefaultNewsBytes.
	NewsBytes int
	// NetNS limits the watch to these namespaces, by inode. A pool never
	// crosses a namespace, so a limited picture is still exact.
	NetNS []uint32
	// Protocols limits the watch likewise; none for TCP and UDP.
	Protocols []event.Protocol
	// ExactTimeWait attaches the timer tracepoints whatever they cost.
	ExactTimeWait bool
	// HostRoot is where the host's root file system is seen; "" for "/".
	HostRoot string
	// Reason is why mode diag stands in for a better one; OpenDiag tells it.
	Reason string
	// Silent names hooks on kernel functions, as [SelfTestResult] does, that
	// attach to this kernel and do not fire: another one takes their place, or
	// their fact is lacking.
	Silent []string
	// without names programs that are not attached: tests see what their
	// absence does.
	without []string
	// renamed gives programs another target: tests see what a kernel without
	// the function, or with another of that name, does.
	renamed map[string]string
	// idleAfter is event.IdleAfter: tests have less patience.
	idleAfter time.Duration
}

// Bounds of Options.
const (
	DefaultMaxLeases = 1 << 18
	MaxMaxLeases     = 1 << 20
	DefaultNewsBytes = 1 << 23
	alarmBytes       = 1 << 20
)

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.MaxLeases <= 0 {
		o.MaxLeases = DefaultMaxLeases
	}
	o.MaxLeases = min(o.MaxLeases, MaxMaxLeases)
	if o.NewsBytes <= 0 {
		o.NewsBytes = DefaultNewsBytes
	}
	if o.idleAfter <= 0 {
		o.idleAfter = event.IdleAfter
	}
	if o.HostRoot == "" {
		o.HostRoot = "/"
	}
	return o
}

func (o Options) watches(p event.Protocol) bool {
	return len(o.Protocols) == 0 || slices.Contains(o.Protocols, p)
}
