package aggregate

import (
	"fmt"

	"github.com/portwatch/portwatch/internal/event"
)

// FailureOf is the failure that a record tells of; nil if it tells of none.
func FailureOf(r *Record) *Failure {
	f := r.Event.Failure
	if f == nil {
		return nil
	}
	owner := r.Owner
	row := &Failure{
		Operation: f.Operation, Errno: f.Errno, Reason: f.Reason, NetNS: f.NetNS, NetNSName: r.NetNSName, Device: f.Device,
		Protocol: f.Protocol, Family: f.Family, Local: f.Local, Remote: f.Remote, Range: f.Range, Owner: &owner,
		Count: f.Count, First: f.First, Last: f.Last, Folded: f.Folded,
	}
	if row.First == 0 {
		row.First = r.Event.Time
	}
	if row.Last == 0 {
		row.Last = r.Event.Time
	}
	return row
}

// Refusal says who was refused what.
func (f *Failure) Refusal() string {
	said := fmt.Sprintf("%s was refused %s()", holderName(f.Owner), f.Operation)
	switch {
	case f.Remote.IsValid():
		said += " to " + f.Remote.String()
	case f.Local.IsValid() && f.Operation != event.OperationListen:
		said += " to " + f.Local.String()
	}
	if f.Protocol == event.UDP {
		said += " (UDP)"
	}
	if f.Errno != 0 {
		said += " with " + f.Errno.String()
	}
	return said + ": " + refusalWords[f.Reason] + "."
}

var refusalWords = map[event.Reason]string{
	event.ReasonOther:           "the kernel does not tell why",
	event.ReasonPoolExhausted:   "no local port remains towards it",
	event.ReasonRangeExhausted:  "no port of the range remains",
	event.ReasonPortHeld:        "the port is held",
	event.ReasonTupleTaken:      "the connection's addresses and ports are taken",
	event.ReasonPrivileged:      "the port takes CAP_NET_BIND_SERVICE",
	event.ReasonAddressNotLocal: "the namespace has no such address",
	event.ReasonNoSourceAddress: "there is no address to start from",
	event.ReasonPolicy:          "a program or security module of the host refused it",
	event.ReasonNoMemory:        "there was no memory for it",
}
