package fields

import "github.com/portwatch/portwatch/internal/event"

// refused is v for failures and absent for all other events.
func refused(value func(*event.Failure) Value) func(*Context, *record) Value {
	return func(_ *Context, r *record) Value {
		if r.Event.Failure == nil {
			return Value{}
		}
		return value(r.Event.Failure)
	}
}

var failureFields = Object[record]{
	closed("operation", "The call that was refused.", operationWords,
		refused(func(f *event.Failure) Value { return Text(f.Operation.String()) })),
	one("errno", "", "The error's symbolic name.", String, func(_ *Context, r *record) Value {
		switch {
		case r.Event.Failure != nil:
			return Text(r.Event.Failure.Errno.String())
		case r.Event.Lost != nil:
			return Text(r.Event.Lost.Errno.String())
		}
		return Value{}
	}),
	closed("reason", "Why the kernel refused.", reasonWords,
		refused(func(f *event.Failure) Value { return Text(f.Reason.String()) })),
	one("count", "", "How many refusals or lost events the event adds.", Integer, func(_ *Context, r *record) Value {
		switch {
		case r.Event.Failure != nil:
			return Count(r.Event.Failure.Count)
		case r.Event.Lost != nil:
			return Count(r.Event.Lost.Count)
		}
		return Value{}
	}),
	one("first", "", "The first of the refusals.", Time, refused(func(f *event.Failure) Value { return Moment(f.First) })),
	one("last", "", "The last of the refusals.", Time, refused(func(f *event.Failure) Value { return Moment(f.Last) })),
	one("folded", "", "True where there was no room to keep addresses apart: the count is exact.", Boolean,
		refused(func(f *event.Failure) Value { return Bool(f.Folded) })),
}

// factFields are what only one kind of event has.
var factFields = Object[record]{
	closed("cause", "How a lease ended, or how something was lost.", causeWords+" "+lostCauseWords,
		func(_ *Context, r *record) Value {
			if r.Event.Lost != nil {
				return Text(r.Event.Lost.Cause.String())
			}
			return Text(r.Event.Cause.String())
		}),
	one("what", "", "What was lost.", String, func(_ *Context, r *record) Value {
		if r.Event.Lost == nil {
			return Value{}
		}
		return Text(r.Event.Lost.What)
	}),
	one("cpu", "", "The CPU on which it was lost; null if it is not one CPU's.", Integer,
		func(_ *Context, r *record) Value {
			if r.Event.Lost == nil || r.Event.Lost.CPU < 0 {
				return Value{}
			}
			return Plain(uint64(r.Event.Lost.CPU))
		}),
	closed("correction", "The part that a correction plays.", correctionWords,
		func(_ *Context, r *record) Value { return Text(r.Event.Correction.String()) }),
	nest("limits", "The settings of a namespace.", limits, func(r *record) *event.Limits { return r.Event.Limits }),
	one("gone", "", "Whether the namespace has ended.", Boolean, func(_ *Context, r *record) Value {
		if r.Event.Namespace == nil {
			return Value{}
		}
		return Bool(r.Event.Namespace.Gone)
	}),
	one("netns_cookie", "", "The namespace's cookie, unique per boot.", ID, func(_ *Context, r *record) Value {
		if r.Event.Namespace == nil {
			return Value{}
		}
		return Identity(r.Event.Namespace.Cookie)
	}),
	nest("accepted", "How many accepted sockets a listen port has.", acceptedCount,
		func(r *record) *event.Accepted { return r.Event.Accepted }),
	one("idle_since", "", "When a connection last carried data, if that is a minute ago or more; null if it has carried some since.", Time,
		func(_ *Context, r *record) Value { return Moment(r.Event.IdleSince) }),
	nest("start", "What does not change while the stream lasts.", start,
		func(r *record) *event.Start { return r.Event.Start }),
	nest("fork", "Which process made which.", fork, func(r *record) *event.Fork { return r.Event.Fork }),
}

var acceptedCount = Object[event.Accepted]{
	one("local_port", "", "The port.", Integer, func(_ *Context, a *event.Accepted) Value { return Plain(uint64(a.Port)) }),
	one("device", "", "The index of the interface that they are bound to; null for none.", Integer,
		func(_ *Context, a *event.Accepted) Value { return netns(a.Device) }),
	one("live", "sockets", "Full sockets.", Integer, func(_ *Context, a *event.Accepted) Value { return Count(uint64(a.Live)) }),
	one("time_wait", "sockets", "Mini-sockets of either sub-state.", Integer,
		func(_ *Context, a *event.Accepted) Value { return Count(uint64(a.TimeWait)) }),
}

var fork = Object[event.Fork]{
	one("parent", "", "The process that called the kernel: <pid>@<start>.", String,
		func(_ *Context, f *event.Fork) Value { return OwnerID(f.Parent) }),
	one("child", "", "The process that it made, likewise.", String, func(_ *Context, f *event.Fork) Value { return OwnerID(f.Child) }),
}

var start = Object[event.Start]{
	one("host", "", "The host's name.", String, func(_ *Context, s *event.Start) Value { return Text(s.Host) }),
	one("boot_id", "", "The host's boot id.", String, func(_ *Context, s *event.Start) Value { return Text(s.BootID) }),
	one("kernel", "", "The kernel's release.", String, func(_ *Context, s *event.Start) Value { return Text(s.Kernel) }),
	words("mode", "How the kernel is watched.", "full tracepoint diag",
		func(s *event.Start) string { return s.Mode.String() }),
	one("mode_reason", "", "Why no better mode is used.", String,
		func(_ *Context, s *event.Start) Value { return Text(s.Reason) }),
	wordsOf("unavailable", "The facts that this mode cannot know.",
		func(_ *Context, s *event.Start) []string { return s.Unavailable }),
	one("tick_hz", "hertz", "The kernel's timer frequency.", Integer, func(_ *Context, s *event.Start) Value {
		if s.TickHz <= 0 {
			return Value{}
		}
		return Count(uint64(s.TickHz))
	}),
	words("poison", "Until when connect() skips a port that somebody bound: until nothing is left on it, or while it is bound.",
		"until_empty while_bound", func(s *event.Start) string { return s.Poison.String() }),
	one("own_range_in_one_pass", "", "Whether connect() goes through a socket's own range without regard to parity.", Boolean,
		func(_ *Context, s *event.Start) Value { return Bool(s.OwnRangeInOnePass) }),
}

var limits = Object[event.Limits]{
	one("low", "", "The lowest port of the range.", Integer,
		func(_ *Context, l *event.Limits) Value { return Plain(uint64(l.Range.Low)) }),
	one("high", "", "The highest port of the range.", Integer,
		func(_ *Context, l *event.Limits) Value { return Plain(uint64(l.Range.High)) }),
	wordsOf("reserved", "The reserved ports, as low-high.", func(_ *Context, l *event.Limits) []string {
		all := make([]string, len(l.Reserved))
		for i, r := range l.Reserved {
			all[i] = r.String()
		}
		return all
	}),
	setting("tcp_tw_reuse", "", "0 off, 1 on, 2 for loopback only.", func(l *event.Limits) *int { return &l.TWReuse }),
	setting("tcp_tw_reuse_delay", "milliseconds", "The age at which a TIME_WAIT may be reused; null where the kernel has no such setting.",
		func(l *event.Limits) *int { return l.TWReuseDelayMillis }),
	setting("tcp_timestamps", "", "0 off, 1 on with random offsets, 2 on.", func(l *event.Limits) *int { return &l.Timestamps }),
	setting("tcp_max_tw_buckets", "sockets", "How many TIME_WAIT sockets there may be.",
		func(l *event.Limits) *int { return &l.MaxTWBuckets }),
	setting("tcp_fin_timeout_seconds", "seconds", "How long an orphaned FIN_WAIT2 lasts.",
		func(l *event.Limits) *int { return &l.FinTimeoutSeconds }),
	setting("ip_unprivileged_port_start", "", "The first port that needs no privilege.",
		func(l *event.Limits) *int { return &l.UnprivilegedStart }),
	setting("ip_local_port_step_width", "ports", "The step of the search; null where the kernel has no such setting.",
		func(l *event.Limits) *int { return l.StepWidth }),
}

// setting is a sysctl: a number of its own, or absent.
func setting(name, unit, meaning string, get func(*event.Limits) *int) Field[event.Limits] {
	return one(name, unit, meaning, Integer, func(_ *Context, l *event.Limits) Value {
		n := get(l)
		if n == nil || *n < 0 {
			return Value{}
		}
		return Plain(uint64(*n))
	})
}
