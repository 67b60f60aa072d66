package recording

import (
	"encoding/binary"
	"net/netip"

	"github.com/portwatch/portwatch/internal/event"
)

// The parts of an event that is told apart, as bits of its mask. They follow in
// this order. Each such event stands behind its length: a reader leaves out the
// parts that it does not know, which are the last.
const (
	partLease = 1 << iota
	partCall
	partFailure
	partLimits
	partNamespace
	partProcess
	partLost
	partAccepted
	partStart
	partFork
	partIdle
)

// partsOf is the mask of an event.
func partsOf(ev *event.Event) (mask uint64) {
	for i, present := range [...]bool{
		ev.Lease != event.Lease{}, calls(ev), ev.Failure != nil, ev.Limits != nil, ev.Namespace != nil,
		ev.Process != nil, ev.Lost != nil, ev.Accepted != nil, ev.Start != nil, ev.Fork != nil,
		ev.IdleSince != 0,
	} {
		if present {
			mask |= 1 << i
		}
	}
	return mask
}

// calls reports whether an event has one of the small parts.
func calls(ev *event.Event) bool {
	return ev.From != 0 || ev.Cause != 0 || ev.Correction != 0 || ev.Successor != event.LeaseID{} || asks(ev) || ev.SearchNanos != 0
}

// asks reports whether an event tells of the call behind it.
func asks(ev *event.Event) bool {
	return ev.Thread != event.Thread{} || ev.SocketCgroup != 0 || ev.NamespaceRange != event.PortRange{}
}

// appendApart appends all of an event but its kind and time.
func appendApart(dst []byte, ev *event.Event) []byte {
	mask := partsOf(ev)
	dst = binary.AppendUvarint(dst, mask)
	if mask&partLease != 0 {
		dst = appendLease(dst, &ev.Lease)
	}
	if mask&partCall != 0 {
		dst = appendCall(dst, ev)
	}
	if mask&partFailure != 0 {
		dst = appendFailure(dst, ev.Failure)
	}
	if mask&partLimits != 0 {
		dst = appendLimits(dst, ev.Limits)
	}
	if mask&partNamespace != 0 {
		n := ev.Namespace
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(n.NetNS)), n.Cookie)
		dst = appendBit(appendString(dst, n.Name), n.Gone)
	}
	if mask&partProcess != 0 {
		dst = appendProcess(dst, ev.Process)
	}
	if mask&partLost != 0 {
		l := ev.Lost
		dst = appendVarint(appendString(dst, l.What), int64(l.CPU))
		dst = binary.AppendUvarint(append(dst, byte(l.Cause)), l.Count)
		dst = binary.AppendUvarint(dst, uint64(l.Errno))
	}
	if mask&partAccepted != 0 {
		a := ev.Accepted
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(a.NetNS)), uint64(a.Device))
		dst = binary.AppendUvarint(dst, uint64(a.Port))
		dst = appendVarint(appendVarint(dst, int64(a.Live)), int64(a.TimeWait))
	}
	if mask&partStart != 0 {
		dst = appendStart(dst, ev.Start)
	}
	if mask&partFork != 0 {
		dst = appendOwnerID(appendOwnerID(dst, &ev.Fork.Parent), &ev.Fork.Child)
	}
	if mask&partIdle != 0 {
		dst = binary.AppendUvarint(dst, uint64(ev.IdleSince))
	}
	return dst
}

// apart reads what appendApart has written into ev.
func (c *cursor) apart(ev *event.Event) {
	mask := c.uvarint()
	if mask&partLease != 0 {
		ev.Lease = c.lease()
	}
	if mask&partCall != 0 {
		c.call(ev)
	}
	if mask&partFailure != 0 {
		ev.Failure = c.failure()
	}
	if mask&partLimits != 0 {
		ev.Limits = c.limits()
	}
	if mask&partNamespace != 0 {
		ev.Namespace = &event.Namespace{NetNS: c.u32varint(), Cookie: c.uvarint(), Name: c.string(), Gone: c.bit()}
	}
	if mask&partProcess != 0 {
		ev.Process = c.process()
	}
	if mask&partLost != 0 {
		ev.Lost = &event.Lost{
			What: c.string(), CPU: int(c.varint()), Cause: event.LostCause(c.byte()), Count: c.uvarint(), Errno: event.Errno(c.u16varint()),
		}
	}
	if mask&partAccepted != 0 {
		ev.Accepted = &event.Accepted{
			NetNS: c.u32varint(), Device: c.u32varint(), Port: c.u16varint(), Live: int(c.varint()), TimeWait: int(c.varint()),
		}
	}
	if mask&partStart != 0 {
		ev.Start = c.start()
	}
	if mask&partFork != 0 {
		ev.Fork = &event.Fork{Parent: c.ownerID(), Child: c.ownerID()}
	}
	if mask&partIdle != 0 {
		ev.IdleSince = c.time()
	}
}

// appendCall appends the small parts of an event.
func appendCall(dst []byte, ev *event.Event) []byte {
	dst = append(dst, byte(ev.From), byte(ev.Cause), byte(ev.Correction))
	dst = appendLeaseID(dst, ev.Successor)
	dst = appendThread(dst, &ev.Thread)
	dst = appendRange(binary.AppendUvarint(dst, ev.SocketCgroup), ev.NamespaceRange)
	return binary.AppendUvarint(dst, ev.SearchNanos)
}

func (c *cursor) call(ev *event.Event) {
	ev.From, ev.Cause, ev.Correction = event.State(c.byte()), event.Cause(c.byte()), event.Correction(c.byte())
	ev.Successor = c.leaseID()
	ev.Thread = c.thread()
	ev.SocketCgroup, ev.NamespaceRange = c.uvarint(), c.portRange()
	ev.SearchNanos = c.uvarint()
}

func appendLease(dst []byte, l *event.Lease) []byte {
	w := wayOf(l)
	dst = appendLeaseID(dst, l.ID)
	dst = appendWay(dst, &w)
	dst = binary.LittleEndian.AppendUint16(dst, l.Local.Port())
	dst = append(dst, byte(l.State), byte(l.Substate))
	dst = appendOwner(dst, &l.Owner)
	dst = binary.AppendUvarint(dst, uint64(l.Expires))
	dst = binary.AppendUvarint(dst, uint64(l.Entered))
	return appendBit(dst, l.TimestampsSeen)
}

func (c *cursor) lease() event.Lease {
	id, w := c.leaseID(), c.way()
	l := w.lease
	l.ID, l.Local = id, netip.AddrPortFrom(l.Local.Addr(), c.u16())
	l.State, l.Substate = event.State(c.byte()), event.Substate(c.byte())
	l.Owner = c.owner()
	l.Expires, l.Entered, l.TimestampsSeen = c.time(), c.time(), c.bit()
	return l
}

func appendFailure(dst []byte, f *event.Failure) []byte {
	dst = append(dst, byte(f.Operation), byte(f.Reason), byte(f.Protocol), byte(f.Family))
	dst = binary.AppendUvarint(dst, uint64(f.Errno))
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(f.NetNS)), uint64(f.Device))
	dst = appendAddrPort(appendAddrPort(dst, f.Local), f.Remote)
	dst = appendOwner(appendRange(dst, f.Range), &f.Owner)
	dst = binary.AppendUvarint(dst, f.Count)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(f.First)), uint64(f.Last))
	return appendBit(dst, f.Folded)
}

func (c *cursor) failure() *event.Failure {
	return &event.Failure{
		Operation: event.Operation(c.byte()), Reason: event.Reason(c.byte()), Protocol: event.Protocol(c.byte()),
		Family: event.Family(c.byte()), Errno: event.Errno(c.u16varint()), NetNS: c.u32varint(), Device: c.u32varint(),
		Local: c.addrPort(), Remote: c.addrPort(), Range: c.portRange(), Owner: c.owner(),
		Count: c.uvarint(), First: c.time(), Last: c.time(), Folded: c.bit(),
	}
}
