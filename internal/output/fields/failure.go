package fields

import (
	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

type failureRow = aggregate.Failure

// failure is a refusal, or several alike.
var failure = Object[failureRow]{
	one("time", "", "When it was last refused.", Time,
		func(_ *Context, f *failureRow) Value { return Moment(f.Last) }),
	one("count", "failures", "How often it was refused.", Integer,
		func(_ *Context, f *failureRow) Value { return Count(f.Count) }),
	one("first", "", "When it was first refused.", Time,
		func(_ *Context, f *failureRow) Value { return Moment(f.First) }),
	one("last", "", "When it was last refused.", Time,
		func(_ *Context, f *failureRow) Value { return Moment(f.Last) }),
	words("operation", "The call that was refused.", operationWords,
		func(f *failureRow) string { return f.Operation.String() }),
	one("errno", "", "The error's symbolic name; null where the mode cannot know it.", String,
		func(_ *Context, f *failureRow) Value { return Text(f.Errno.String()) }),
	words("reason", "Why the kernel refused.", reasonWords, func(f *failureRow) string { return f.Reason.String() }),
	one("netns", "", "The inode of the network namespace.", Integer,
		func(_ *Context, f *failureRow) Value { return netns(f.NetNS) }),
	one("netns_name", "", "The namespace's name.", String,
		func(_ *Context, f *failureRow) Value { return Text(f.NetNSName) }),
	words("protocol", "The transport protocol.", protocolWords, func(f *failureRow) string { return f.Protocol.String() }),
	words("family", "The family of the addresses.", familyWords, func(f *failureRow) string { return f.Family.String() }),
	one("local_addr", "", "The local address that was asked for.", String,
		func(_ *Context, f *failureRow) Value { return Address(f.Local) }),
	one("local_port", "", "The local port that was asked for; 0 asks for any.", Integer,
		func(_ *Context, f *failureRow) Value { return Port(f.Local) }),
	one("remote_addr", "", "The far end's address.", String,
		func(_ *Context, f *failureRow) Value { return Address(f.Remote) }),
	one("remote_port", "", "The far end's port.", Integer,
		func(_ *Context, f *failureRow) Value { return Port(f.Remote) }),
	one("folded", "", "True where there was no room to keep addresses apart: the count is exact.", Boolean,
		func(_ *Context, f *failureRow) Value { return Bool(f.Folded) }),
	nest("owner", "Who was refused.", owner, func(f *failureRow) *ownerInfo { return f.Owner }),
	one("pool", "", "The id of the pool that had no headroom; null for every other reason.", String,
		func(_ *Context, f *failureRow) Value {
			if f.Sight == nil || f.Sight.Pool == nil {
				return Value{}
			}
			return Text(poolID(f.Sight.Pool))
		}),
	rows("holders", "Who held its ports, or the port that was asked for, when it was last refused; null where that is not known.",
		holder, holdersAt),
	one("explanation", "", "What was asked for, and why it was refused, in one sentence.", String,
		func(c *Context, f *failureRow) Value { return Text(explanation(c, f)) }),
}

// holdersAt are the holders of the moment of the refusal. No holder is an answer
// only for reasons that are nobody's.
func holdersAt(f *failureRow) ([]held, bool) {
	if f.Sight == nil {
		return nil, !f.Reason.Exhaustion() && f.Reason != event.ReasonPortHeld && f.Reason != event.ReasonTupleTaken
	}
	if f.Sight.Pool == nil && len(f.Sight.Holders) == 0 {
		return nil, false
	}
	if f.Sight.Pool != nil && f.Sight.Headroom > 0 && !f.Sight.Complete {
		return nil, false
	}
	all := make([]held, len(f.Sight.Holders))
	for i := range f.Sight.Holders {
		all[i] = held{Holder: f.Sight.Holders[i], at: f.Sight.At}
	}
	return all, true
}
