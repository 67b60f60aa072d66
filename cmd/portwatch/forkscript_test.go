package main

import (
	"context"

	"github.com/portwatch/portwatch/internal/event"
)

// forkingScript is a script that names this process in its forks.
type forkingScript struct{ script }

func (*forkingScript) FollowForks() (event.OwnerID, error) { return watcherID, nil }

var watcherID = event.OwnerID{Kind: event.OwnerProcess, PID: 70, StartTime: at(-1)}

func forkingKernel(events []event.Event) kernel {
	k := tellingKernel(nil)
	k.open = func(context.Context, watchOptions) (watcher, error) {
		return &forkingScript{script{events: events}}, nil
	}
	return k
}

func lostForks() event.Event {
	return event.Event{Kind: event.KindLost, Time: at(2), Lost: &event.Lost{What: "fork", Cause: event.LostRing, CPU: -1, Count: 2}}
}

// forks is a command whose grandchild is given a port and refused another, beside
// a process that nobody knows of.
func forks() []event.Event {
	id := func(pid uint32) event.OwnerID {
		return event.OwnerID{Kind: event.OwnerProcess, PID: pid, StartTime: at(0.1)}
	}
	owner := func(pid uint32, name string) event.Owner {
		o := process(pid, name)
		o.StartTime = at(0.1)
		return o
	}
	return []event.Event{
		startEvent(),
		{Kind: event.KindNetNS, Time: at(0), Namespace: &event.Namespace{NetNS: hostNS, Cookie: 1, Name: "host"}},
		{Kind: event.KindCorrection, Time: at(0), Correction: event.CorrectionBegin},
		{Kind: event.KindCorrection, Time: at(0.01), Correction: event.CorrectionEnd},
		{Kind: event.KindFork, Time: at(0.1), Fork: &event.Fork{Parent: watcherID, Child: id(71)}},
		{Kind: event.KindFork, Time: at(0.1), Fork: &event.Fork{Parent: id(71), Child: id(72)}},
		{Kind: event.KindFork, Time: at(0.1), Fork: &event.Fork{Parent: id(80), Child: id(81)}},
		{Kind: event.KindAllocate, Time: at(0.2), Lease: connected(1, owner(72, "third-test"))},
		{Kind: event.KindAllocate, Time: at(0.3), Lease: connected(2, owner(81, "neighbour"))},
		{Kind: event.KindFailure, Time: at(0.4), Failure: &event.Failure{
			Operation: event.OperationConnect, Errno: event.EADDRNOTAVAIL, Reason: event.ReasonPoolExhausted, NetNS: hostNS,
			Protocol: event.TCP, Family: event.IPv4, Owner: owner(72, "third-test"), Remote: connected(1, event.Owner{}).Remote,
			Count: 3, First: at(0.4), Last: at(0.5),
		}},
		{Kind: event.KindTick, Time: at(1)},
	}
}
