package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/verify"
)

// kernel is how the command reaches the kernel; tests put a list of events in
// its place.
type kernel struct {
	// open starts to watch. Its error is errUnsupported or errPermission
	// where one of these is the cause.
	open func(context.Context, watchOptions) (watcher, error)
	// probe says what would work and leaves nothing attached. A report may
	// come with an error that says why nothing works.
	probe func(context.Context, probeOptions) (fields.DoctorReport, error)
	// sockets lists the sockets of all namespaces, by another way than open.
	sockets func(context.Context) (*verify.Picture, error)
	// running reports whether there is a process of the id; nil where nobody
	// can tell.
	running func(pid uint32) bool
	// ground gets ready to answer questions about the ports of a namespace.
	// Its error is errUsage where there is no such namespace or process.
	ground func(context.Context, groundOptions) (ground, error)
}

// probeOptions say how the kernel is looked at.
type probeOptions struct {
	watchOptions
	// Repeat runs the self-test although its result is remembered.
	Repeat bool
}

// watchOptions say how the kernel is watched.
type watchOptions struct {
	Mode          event.Mode // 0 for the best that works
	Logger        *zap.Logger
	MaxLeases     int
	RingKiB       int
	ExactTimeWait bool
	SearchTime    bool
	HostRoot      string
	// FallBack lets mode diag stand in where no better mode works and none
	// was asked for.
	FallBack bool
	// Recording is read in the kernel's place, if one is named.
	Recording readOptions
}

// watcher is a source of events that accounts for its own cost.
type watcher interface {
	event.Source
	// cost may be called until Close.
	cost() cost
}

// searcher is a watcher that can measure how long the kernel looks for ports.
type searcher interface {
	// MeasureSearch is for the goroutine that reads the events.
	MeasureSearch(on bool) error
}

// forker is a watcher that can tell of every new process.
type forker interface {
	// FollowForks is for the goroutine that reads the events. It returns how
	// they name this process.
	FollowForks() (event.OwnerID, error)
}

// cost is what watching has taken so far.
type cost struct {
	Events      uint64
	Drift       uint64        // differences that audits found without a loss to explain them
	RingBytes   uint64        // 0 if not counted
	KernelTime  time.Duration // 0 if the kernel did not count
	ProgramRuns uint64        // 0 if the kernel did not count
	UserCPU     time.Duration
	MapBytes    uint64
	Lost        []event.Lost
}

// report joins the cost of watching with the ledger's counters.
func (c cost) report(s *aggregate.Snapshot, resident uint64) fields.SelfReport {
	return fields.SelfReport{
		Mode: s.Start.Mode, Elapsed: time.Duration(s.At - s.From), Events: c.Events, Drift: c.Drift, RingBytes: c.RingBytes,
		KernelTime: c.KernelTime, ProgramRuns: c.ProgramRuns, UserCPU: c.UserCPU,
		MapBytes: c.MapBytes, ResidentBytes: resident, Lost: losses(c.Lost), Ledger: s.Counters,
	}
}

func losses(all []event.Lost) []aggregate.Loss {
	var out []aggregate.Loss
	for _, l := range all {
		if l.Count > 0 {
			out = append(out, aggregate.Loss{What: l.What, Cause: l.Cause, Errno: l.Errno, Count: l.Count})
		}
	}
	return out
}
