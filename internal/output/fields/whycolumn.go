package fields

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// HolderColumns are the table of who is on a port, for these holders: a column that
// would be empty is left out. wide adds what a narrow screen has no room for.
func HolderColumns(holders []aggregate.PortHolder, elsewhere, wide bool) []Column[portHolderRow] {
	all := []Column[portHolderRow]{{Header: "HOLDER", Value: func(_ *Context, h *portHolderRow) Value { return holderWord(h) }}}
	if elsewhere {
		all = append(all, Column[portHolderRow]{Header: "NETNS", Value: func(_ *Context, h *portHolderRow) Value {
			return netnsWord(h.NetNSName, h.Lease.NetNS)
		}})
	} else {
		all = append(all, Column[portHolderRow]{Header: "BLOCKS", Value: func(_ *Context, h *portHolderRow) Value {
			return Text(answerWord(h.InTheWay))
		}})
	}
	if slices.ContainsFunc(holders, func(h portHolderRow) bool { return h.Sockets > 1 }) {
		all = append(all, numbers("SOCKETS", portHolder.Named("ports")))
	}
	all = append(all,
		Column[portHolderRow]{Header: "STATE", Value: portHolder.Named("state").value},
		Column[portHolderRow]{Header: "BY", Value: func(_ *Context, h *portHolderRow) Value {
			if h.Lease.Origin == event.OriginUnknown {
				return Value{}
			}
			return Text(h.Lease.Origin.String())
		}})
	if slices.ContainsFunc(holders, func(h portHolderRow) bool { return h.TimeWait > 0 }) {
		all = append(all, Column[portHolderRow]{Header: "ENDS IN", Right: true, Value: func(_ *Context, h *portHolderRow) Value { return endsIn(h) }})
	}
	all = append(all,
		Column[portHolderRow]{Header: "LOCAL", Value: func(_ *Context, h *portHolderRow) Value { return endpoint(h.Lease.Local) }},
		Column[portHolderRow]{Header: "REMOTE", Value: func(_ *Context, h *portHolderRow) Value { return endpoint(h.Lease.Remote) }})
	if wide {
		all = append(all, wideHolderColumns()...)
	}
	return all
}

func wideHolderColumns() []Column[portHolderRow] {
	of := func(header string, value func(*Context, *ownerInfo) Value) Column[portHolderRow] {
		return Column[portHolderRow]{Header: header, Value: func(c *Context, h *portHolderRow) Value { return value(c, h.Owner) }}
	}
	uid := of("UID", owner.Named("uid").value)
	uid.Right = true
	return []Column[portHolderRow]{
		of("CONFIDENCE", owner.Named("confidence").value), uid,
		numbers("PROCESSES", portHolder.Named("processes")),
		of("WHERE", func(_ *Context, o *ownerInfo) Value { return Text(Where(o)) }),
		of("EXE", owner.Named("exe").value),
	}
}

// holderWord is the process, with how many others have the socket too, or where the
// socket was made if no process is known.
func holderWord(h *portHolderRow) Value {
	where := Where(h.Owner)
	switch {
	case h.Processes > 1:
		return Text(string(processAndPID(h.Owner).AppendText(nil, nil)) + "+" + strconv.Itoa(h.Processes-1))
	case h.Owner.ID.Kind == event.OwnerCgroup && where != "":
		return Text(where)
	}
	return processAndPID(h.Owner)
}

func answerWord(a aggregate.Answer) string {
	return map[aggregate.Answer]string{aggregate.AnswerNo: "no", aggregate.AnswerYes: "yes", aggregate.AnswerUnknown: "unknown"}[a]
}

// endsIn is the whole seconds until a TIME_WAIT ends, never too few.
func endsIn(h *portHolderRow) Value {
	switch {
	case h.TimeWait == 0:
		return Value{}
	case !h.Expires:
		return Text("unknown")
	}
	return Text(secondsUp(h.ExpiresIn))
}

// BindChoice is the verdicts on one address: plain, with SO_REUSEADDR and with
// SO_REUSEPORT.
type BindChoice [3]aggregate.Bind

// BindColumns are the table of verdicts.
func BindColumns() []Column[BindChoice] {
	all := []Column[BindChoice]{{Header: "BIND TO", Value: func(_ *Context, b *BindChoice) Value { return Text(b[0].Local.String()) }}}
	for i, header := range [...]string{"PLAIN", "SO_REUSEADDR", "SO_REUSEPORT"} {
		all = append(all, Column[BindChoice]{Header: header, Value: func(_ *Context, b *BindChoice) Value { return bindVerdict(&b[i]) }})
	}
	return all
}

func bindVerdict(b *aggregate.Bind) Value {
	switch {
	case b.Fails == aggregate.AnswerNo:
		return Text("works")
	case b.Fails == aggregate.AnswerUnknown:
		return Text("unknown")
	case b.Errno == 0:
		return Text("fails")
	}
	return Text(b.Errno.String())
}

// ConnectColumns are the table of destinations.
func ConnectColumns() []Column[aggregate.ConnectAnswer] {
	of := func(header, name string) Column[aggregate.ConnectAnswer] {
		value := pool.Named(name).value
		return Column[aggregate.ConnectAnswer]{Header: header, Right: true, Value: func(c *Context, a *aggregate.ConnectAnswer) Value {
			if !a.Known {
				return Value{}
			}
			return value(c, &a.Pool)
		}}
	}
	return []Column[aggregate.ConnectAnswer]{
		{Header: "TO", Value: func(_ *Context, a *aggregate.ConnectAnswer) Value { return endpoint(a.Remote) }},
		{Header: "FROM", Value: connectAnswer.Named("local_addr").value},
		{Header: "HEADROOM", Right: true, Value: func(_ *Context, a *aggregate.ConnectAnswer) Value {
			if !a.Known {
				return Value{}
			}
			return headroomWord(&a.Pool)
		}},
		of("PORTS", "capacity"), of("IN USE", "in_use"), of("TIME_WAIT", "time_wait"), of("POISONED", "poisoned"),
	}
}

// HolderSheet and ConnectSheet are the tables of why for CSV.
var (
	HolderSheet  = SheetOf(heldPort)
	ConnectSheet = SheetOf(connectAnswer)
)

// HeldPort is a holder with the port that it is on.
type HeldPort struct {
	Port   *aggregate.PortAnswer
	Holder *aggregate.PortHolder
}

var heldPort = Object[HeldPort]{
	one("port", "", "The port asked about.", Integer, func(_ *Context, h *HeldPort) Value { return Plain(uint64(h.Port.Port)) }),
	words("protocol", "The transport protocol.", protocolWords, func(h *HeldPort) string { return h.Port.Protocol.String() }),
	nest("holder", "Who is on it.", portHolder, func(h *HeldPort) *portHolderRow { return h.Holder }),
}

// secondsUp is a time in whole seconds, rounded up.
func secondsUp(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) + " s" }
