package fields

import (
	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

type record = aggregate.Record

// Event is the document portwatch.event/1: one event of the stream, with what
// the ledger knew about it.
var Event = newDocument("portwatch.event/1", "One event of the stream.", eventFields, leaseFields, failureFields, factFields)

// leased is v for events of a lease and absent for all others.
func leased(r *record, v Value) Value {
	if lease(r) == nil {
		return Value{}
	}
	return v
}

// lease is the event's lease, nil if it speaks of none.
func lease(r *record) *event.Lease {
	if r.Event.Lease.ID == (event.LeaseID{}) {
		return nil
	}
	return &r.Event.Lease
}

var eventFields = Object[record]{
	one("time", "", "When it happened.", Time, func(_ *Context, r *record) Value { return Moment(r.Event.Time) }),
	one("boot_ns", "nanoseconds", "When it happened, by the boot clock.", ID,
		func(_ *Context, r *record) Value { return Identity(uint64(r.Event.Time)) }),
	words("kind", "What the event tells.", kindWords, func(r *record) string { return r.Event.Kind.String() }),
	one("lease", "", "The lease: <cookie>-<born>.", String,
		func(_ *Context, r *record) Value { return LeaseID(r.Event.Lease.ID) }),
	one("socket_cookie", "", "The socket's cookie, unique per boot.", ID,
		func(_ *Context, r *record) Value { return Identity(r.Event.Lease.ID.Cookie) }),
	one("netns", "", "The inode of the network namespace.", Integer,
		func(_ *Context, r *record) Value { return netns(r.NetNS) }),
	one("netns_name", "", "The namespace's name.", String,
		func(_ *Context, r *record) Value { return Text(r.NetNSName) }),
	nest("owner", "Whom the event is about.", owner, func(r *record) *ownerInfo {
		if !r.Owned {
			return nil
		}
		return &r.Owner
	}),
	nest("thread", "The thread that called the kernel.", thread, func(r *record) *event.Thread {
		if r.Event.Thread.TID == 0 {
			return nil
		}
		return &r.Event.Thread
	}),
}

var thread = Object[event.Thread]{
	one("tid", "", "The thread's id.", Integer, func(_ *Context, t *event.Thread) Value { return Plain(uint64(t.TID)) }),
	one("comm", "", "The thread's name.", String, func(_ *Context, t *event.Thread) Value { return Name(t.Comm) }),
}

// choose is the lease's or the failure's value, whichever the event has.
func choose(fromLease func(*event.Lease) Value, fromFailure func(*event.Failure) Value) func(*Context, *record) Value {
	return func(_ *Context, r *record) Value {
		if r.Event.Failure != nil {
			return fromFailure(r.Event.Failure)
		}
		if el := lease(r); el != nil {
			return fromLease(el)
		}
		return Value{}
	}
}

var leaseFields = Object[record]{
	closed("protocol", "The transport protocol.", protocolWords, choose(
		func(l *event.Lease) Value { return Text(l.Protocol.String()) },
		func(f *event.Failure) Value { return Text(f.Protocol.String()) })),
	closed("family", "The family of the addresses.", familyWords, choose(
		func(l *event.Lease) Value { return Text(l.Family.String()) },
		func(f *event.Failure) Value { return Text(f.Family.String()) })),
	one("local_addr", "", "The local address; of a failure, the one that was asked for.", String, choose(
		func(l *event.Lease) Value { return Address(l.Local) },
		func(f *event.Failure) Value { return Address(f.Local) })),
	one("local_port", "", "The local port; of a failure, the one that was asked for, and 0 asks for any.", Integer, choose(
		func(l *event.Lease) Value { return Port(l.Local) },
		func(f *event.Failure) Value { return Port(f.Local) })),
	one("remote_addr", "", "The far end's address.", String, choose(
		func(l *event.Lease) Value { return Address(l.Remote) },
		func(f *event.Failure) Value { return Address(f.Remote) })),
	one("remote_port", "", "The far end's port.", Integer, choose(
		func(l *event.Lease) Value { return Port(l.Remote) },
		func(f *event.Failure) Value { return Port(f.Remote) })),
	closed("state", "The state of the lease's socket.", stateWords,
		func(_ *Context, r *record) Value { return leased(r, Text(r.Event.Lease.State.String())) }),
	closed("from", "The state before.", stateWords,
		func(_ *Context, r *record) Value { return Text(r.Event.From.String()) }),
	closed("substate", "Which kind of TIME_WAIT it is.", substateWords,
		func(_ *Context, r *record) Value { return leased(r, Text(r.Event.Lease.Substate.String())) }),
	closed("origin", "By which request the port was given.", originWords,
		func(_ *Context, r *record) Value { return leased(r, Text(r.Event.Lease.Origin.String())) }),
	one("expires", "", "When a TIME_WAIT gives its port back at the earliest.", Time,
		func(_ *Context, r *record) Value { return leased(r, Moment(r.Event.Lease.Expires)) }),
	one("successor", "", "The lease that took over a reused TIME_WAIT.", String,
		func(_ *Context, r *record) Value { return LeaseID(r.Event.Successor) }),
	one("search_seconds", "seconds", "How long the kernel looked for the port.", Real,
		func(_ *Context, r *record) Value {
			if r.Event.SearchNanos == 0 {
				return Value{}
			}
			return Number(float64(r.Event.SearchNanos) / 1e9)
		}),
}

// closed is a field with a closed list of words and a value of its own making.
func closed(name, meaning, known string, value func(*Context, *record) Value) Field[record] {
	f := words(name, meaning, known, func(*record) string { return "" })
	f.value = value
	return f
}
