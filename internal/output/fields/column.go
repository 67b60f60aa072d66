package fields

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// Column is a field in a table.
type Column[T any] struct {
	Header string
	Right  bool // numbers stand right
	Tail   bool // where a cell must be cut, its end says most
	// Width is the least width, for tables that are printed row by row; the
	// others take what they need.
	Width int
	Value func(*Context, *T) Value
}

// numbers is a column of a field's numbers.
func numbers[T any](header string, f Field[T]) Column[T] {
	return Column[T]{Header: header, Right: true, Value: f.value}
}

// ofOwner is a column of what an owner is.
func ofOwner(header string, value func(*Context, *ownerInfo) Value) Column[ownerRow] {
	return Column[ownerRow]{Header: header, Value: func(c *Context, o *ownerRow) Value { return value(c, o.Info) }}
}

// OwnerColumns are the table of owners in top, the most important first: a
// narrow terminal loses columns from the right. requests says whether the
// stream tells single requests; columns that it cannot fill are left out.
func OwnerColumns(wide, requests bool) []Column[ownerRow] {
	pid := ofOwner("PID", owner.Named("pid").value)
	pid.Right = true
	where := ofOwner("CGROUP", func(_ *Context, o *ownerInfo) Value { return Text(Where(o)) })
	where.Tail = true
	all := []Column[ownerRow]{
		pid,
		ofOwner("PROCESS", func(_ *Context, o *ownerInfo) Value { return processAndFate(o) }),
		{Header: "NETNS", Value: func(_ *Context, o *ownerRow) Value { return netnsWord(o.NetNSName, o.NetNS) }},
		numbers("PORTS", holding.Named("ports")),
		numbers("TIME_WAIT", holding.Named("time_wait")),
		numbers("TRY/s", holding.Named("attempts_per_second")),
		numbers("FAIL/s", holding.Named("failures_per_second")),
		where,
	}
	if wide {
		all = append(all, wideOwnerColumns()...)
	}
	return fillable(all, requests)
}

func wideOwnerColumns() []Column[ownerRow] {
	return []Column[ownerRow]{
		numbers("ALLOCATIONS", holding.Named("allocations")),
		numbers("FAILURES", holding.Named("failures")),
		ofOwner("EXITED", owner.Named("exited").value),
		ofOwner("CONFIDENCE", owner.Named("confidence").value),
		ofOwner("UID", owner.Named("uid").value),
		ofOwner("EXE", owner.Named("exe").value),
	}
}

// fillable leaves out the columns about requests where there are none.
func fillable[T any](all []Column[T], requests bool) []Column[T] {
	if requests {
		return all
	}
	return slices.DeleteFunc(all, func(c Column[T]) bool {
		return slices.Contains([]string{"TRY/s", "FAIL/s", "ALLOCATIONS", "FAILURES"}, c.Header)
	})
}

// NamespaceColumns are the table of namespaces in top; requests as in
// OwnerColumns.
func NamespaceColumns(requests bool) []Column[namespaceRow] {
	return fillable([]Column[namespaceRow]{
		{Header: "NETNS", Value: func(_ *Context, n *namespaceRow) Value { return netnsWord(n.Name, n.NetNS) }},
		{Header: "RANGE", Value: func(_ *Context, n *namespaceRow) Value {
			if n.Limits == nil {
				return Value{}
			}
			return Text(n.Limits.Range.String())
		}},
		{Header: "PORTS", Right: true, Value: func(_ *Context, n *namespaceRow) Value { return rangePorts(n) }},
		{Header: "TCP IN USE", Right: true, Value: func(_ *Context, n *namespaceRow) Value { return inRange(&n.TCP) }},
		{Header: "TIME_WAIT", Right: true, Value: func(_ *Context, n *namespaceRow) Value {
			return Count(uint64(n.TCP.TimeWait()))
		}},
		{Header: "UDP IN USE", Right: true, Value: func(_ *Context, n *namespaceRow) Value { return inRange(&n.UDP) }},
		numbers("TRY/s", namespace.Named("attempts_per_second")),
		numbers("FAIL/s", namespace.Named("failures_per_second")),
	}, requests)
}

// FailureColumns are the table of failures in top.
func FailureColumns() []Column[failureRow] {
	return []Column[failureRow]{
		{Header: "TIME", Value: failure.Named("time").value},
		numbers("COUNT", failure.Named("count")),
		{Header: "CALL", Value: failure.Named("operation").value},
		{Header: "ERROR", Value: failure.Named("errno").value},
		{Header: "PROCESS", Value: func(_ *Context, f *failureRow) Value { return processAndPID(f.Owner) }},
		{Header: "TOWARDS", Value: func(_ *Context, f *failureRow) Value { return towards(f) }},
		{Header: "REASON", Value: failure.Named("reason").value},
	}
}

// HookColumns are the table of all hooks in doctor.
func HookColumns() []Column[HookReport] {
	return []Column[HookReport]{
		{Header: "HOOK", Value: hook.Named("hook").value},
		{Header: "STATE", Value: hook.Named("state").value},
		{Header: "SELF-TEST", Value: hook.Named("self_test").value},
		{Header: "NEEDED", Value: hook.Named("required").value},
		{Header: "WITHOUT IT UNKNOWN", Value: hook.Named("lacks").value},
		{Header: "REASON", Value: hook.Named("reason").value},
	}
}

// LossColumns are the table of losses that commands print when they end.
func LossColumns() []Column[loss] {
	return []Column[loss]{
		{Header: "LOST", Value: lossRow.Named("what").value},
		{Header: "CAUSE", Value: lossRow.Named("cause").value},
		{Header: "ERROR", Value: lossRow.Named("errno").value},
		numbers("COUNT", lossRow.Named("count")),
	}
}

// netnsWord is what -N accepts: the name, else the inode; "unknown" without
// either.
func netnsWord(name string, inode uint32) Value {
	switch {
	case name != "":
		return Text(name)
	case inode != 0:
		return Text("inode:" + strconv.FormatUint(uint64(inode), 10))
	}
	return Text("unknown")
}

// processAndFate is the process, and that it has ended: its ports wait on.
func processAndFate(o *aggregate.OwnerInfo) Value {
	if !o.Exited {
		return Process(o)
	}
	return Text(string(Process(o).AppendText(nil, nil)) + " (exited)")
}

func processAndPID(o *aggregate.OwnerInfo) Value {
	if o.ID.Kind != event.OwnerProcess {
		return Text(o.ID.Kind.String())
	}
	name := string(Process(o).AppendText(nil, nil))
	return Text(name + "[" + strconv.FormatUint(uint64(o.ID.PID), 10) + "]")
}

// towards is what a failed call was about: its far end, or the local address
// that it asked for where there is none.
func towards(f *failureRow) Value {
	if f.Remote.IsValid() {
		return endpoint(f.Remote)
	}
	return endpoint(f.Local)
}

// endpoint is address and port, with port 0, any, as "*".
func endpoint(ap netip.AddrPort) Value {
	switch {
	case !ap.IsValid():
		return Value{}
	case ap.Port() != 0:
		return Text(ap.String())
	case ap.Addr().Is6() && !ap.Addr().Is4In6():
		return Text("[" + ap.Addr().String() + "]:*")
	}
	return Text(ap.Addr().Unmap().String() + ":*")
}
