package fields

import (
	"fmt"

	"github.com/portwatch/portwatch/internal/event"
)

// EventColumns are the lines of events: widths are fixed, because a stream
// cannot be measured before it is printed.
func EventColumns() []Column[record] {
	return []Column[record]{
		{Header: "TIME", Width: 12, Value: eventFields.Named("time").value},
		{Header: "KIND", Width: 10, Value: eventFields.Named("kind").value},
		{Header: "PROCESS", Width: 16, Value: func(_ *Context, r *record) Value {
			if !r.Owned {
				return Value{}
			}
			return processAndPID(&r.Owner)
		}},
		{Header: "NETNS", Width: 8, Value: func(_ *Context, r *record) Value {
			if r.NetNS == 0 && r.NetNSName == "" {
				return Value{}
			}
			return netnsWord(r.NetNSName, r.NetNS)
		}},
		{Header: "LOCAL", Width: 21, Value: choose(
			func(l *event.Lease) Value { return endpoint(l.Local) },
			func(f *event.Failure) Value { return endpoint(f.Local) })},
		{Header: "REMOTE", Width: 21, Value: choose(
			func(l *event.Lease) Value { return endpoint(l.Remote) },
			func(f *event.Failure) Value { return endpoint(f.Remote) })},
		{Header: "DETAIL", Value: func(_ *Context, r *record) Value { return Text(detail(&r.Event)) }},
	}
}

// detail is what an event says beside its lease.
func detail(ev *event.Event) string {
	switch ev.Kind {
	case event.KindAllocate:
		return ev.Lease.Origin.String() + " " + ev.Lease.State.String()
	case event.KindState:
		return ev.From.String() + " -> " + ev.Lease.State.String()
	case event.KindTimeWait:
		return ev.Lease.Substate.String()
	case event.KindRelease:
		return orUnknown(ev.Cause.String())
	case event.KindCorrection:
		return ev.Correction.String()
	case event.KindIdle:
		return idleText(ev)
	}
	return factDetail(ev)
}

// factDetail is the detail of events that speak of no lease.
func factDetail(ev *event.Event) string {
	switch {
	case ev.Failure != nil:
		f := ev.Failure
		what := fmt.Sprintf("%s %s, %s", f.Operation, orUnknown(f.Errno.String()), f.Reason)
		if f.Count == 1 {
			return what
		}
		return fmt.Sprintf("%s, %d times", what, f.Count)
	case ev.Limits != nil:
		return "range " + ev.Limits.Range.String()
	case ev.Namespace != nil && ev.Namespace.Gone:
		return "gone"
	case ev.Process != nil && ev.Process.Exited:
		return "exited"
	case ev.Lost != nil:
		return fmt.Sprintf("%d %s, %s", ev.Lost.Count, ev.Lost.What, ev.Lost.Cause)
	case ev.Accepted != nil:
		return fmt.Sprintf("port %d: %d live, %d TIME_WAIT", ev.Accepted.Port, ev.Accepted.Live, ev.Accepted.TimeWait)
	case ev.Fork != nil:
		return fmt.Sprintf("%d made process %d", ev.Fork.Parent.PID, ev.Fork.Child.PID)
	case ev.Start != nil:
		return ev.Start.Host + " " + ev.Start.Mode.String()
	}
	return ""
}

func orUnknown(word string) string {
	if word == "" {
		return "unknown"
	}
	return word
}

// idleText says whether a connection carries data.
func idleText(ev *event.Event) string {
	switch {
	case ev.Lease.ID == (event.LeaseID{}):
		return "all connections were looked at"
	case ev.IdleSince == 0:
		return "carries data again"
	}
	return fmt.Sprintf("no data for %d s", (ev.Time-ev.IdleSince)/1e9)
}
