package fields

import "github.com/portwatch/portwatch/internal/aggregate"

// envelope is what every document says about the stream that it comes from.
// All of it comes from the events, none from the process that prints, so that
// live and recorded documents agree.
func envelope[T any]() Object[T] {
	return summarized(func(*Context, *T) Value { return Value{} })
}

// answering is the envelope of a document that answers in a sentence, too. Its
// times are in UTC, whoever reads it.
func answering[T any](answer func(*Context, *T) string) Object[T] {
	return summarized(func(c *Context, v *T) Value {
		if c == nil || c.Meta == nil {
			return Value{}
		}
		return Text(answer(&Context{Meta: c.Meta}, v))
	})
}

func summarized[T any](summary func(*Context, *T) Value) Object[T] {
	meta := func(get func(*aggregate.Meta) Value) func(*Context, *T) Value {
		return func(c *Context, _ *T) Value {
			if c == nil || c.Meta == nil {
				return Value{}
			}
			return get(c.Meta)
		}
	}
	return append(append(streamFields[T](meta), healthFields[T](meta)...),
		one("summary", "", "The answer in one sentence, or a few.", String, summary))
}

func streamFields[T any](meta func(func(*aggregate.Meta) Value) func(*Context, *T) Value) Object[T] {
	return Object[T]{
		one("time", "", "The moment that the document speaks of.", Time,
			meta(func(m *aggregate.Meta) Value { return Moment(m.At) })),
		one("host", "", "The host's name.", String,
			meta(func(m *aggregate.Meta) Value { return Text(m.Start.Host) })),
		one("boot_id", "", "The host's boot id; pids, namespaces and lease ids hold for one boot.", String,
			meta(func(m *aggregate.Meta) Value { return Text(m.Start.BootID) })),
		one("mode", "", "How the kernel is watched: full, tracepoint or diag.", String,
			meta(func(m *aggregate.Meta) Value { return Text(m.Start.Mode.String()) })),
		one("mode_reason", "", "Why no better mode is used; null if none was asked for.", String,
			meta(func(m *aggregate.Meta) Value { return Text(m.Start.Reason) })),
		one("from", "", "The beginning of what was watched.", Time,
			meta(func(m *aggregate.Meta) Value { return Moment(m.From) })),
		one("to", "", "The end of what was watched.", Time,
			meta(func(m *aggregate.Meta) Value { return Moment(m.At) })),
		one("window_seconds", "seconds", "The time that rates are taken over.", Real,
			meta(func(m *aggregate.Meta) Value {
				if m.Window == 0 {
					return Value{}
				}
				return Seconds(m.Window)
			})),
	}
}

func healthFields[T any](meta func(func(*aggregate.Meta) Value) func(*Context, *T) Value) Object[T] {
	level := one("level", "", "How urgent it is.", String,
		meta(func(m *aggregate.Meta) Value {
			if m.At == 0 {
				return Value{}
			}
			return Text(m.Level())
		}))
	level.Words = []string{"ok", "warning", "critical", "unknown"}
	return Object[T]{
		one("complete", "", "False until all sockets were read, and after a loss until they were read again.", Boolean,
			meta(func(m *aggregate.Meta) Value {
				if m.At == 0 {
					return Value{}
				}
				return Bool(m.Complete)
			})),
		one("lost_events", "events", "Events that did not reach the stream.", Integer,
			meta(func(m *aggregate.Meta) Value {
				if m.At == 0 {
					return Value{}
				}
				return Count(m.Counters.LostEvents)
			})),
		one("unattributed_ratio", "", "Leases of the unknown owner divided by all leases.", Real,
			meta(func(m *aggregate.Meta) Value {
				if ratio, ok := m.UnattributedRatio(); ok {
					return Number(ratio)
				}
				return Value{}
			})),
		one("attribution_complete_in_seconds", "seconds",
			"Until the last TIME_WAIT without an owner gives its port back; null if there is none or that is not known.",
			Real, meta(func(m *aggregate.Meta) Value {
				if d, ok := m.AttributionCompleteIn(); ok {
					return Seconds(d)
				}
				return Value{}
			})),
		wordsOf("unavailable", "The facts that this mode cannot know.", func(c *Context, _ *T) []string {
			if c == nil || c.Meta == nil {
				return nil
			}
			return c.Meta.Start.Unavailable
		}),
		level,
	}
}
