package recording

import (
	"encoding/binary"
	"net/netip"

	"github.com/portwatch/portwatch/internal/event"
)

// shape is what events of one kind have in common: it takes a byte of each
// event.
type shape struct {
	kind       event.Kind
	from       event.State
	state      event.State
	substate   event.Substate
	cause      event.Cause
	correction event.Correction
	flags      shapeFlags
}

// shapeFlags say where the rest of an event is.
type shapeFlags uint8

const (
	// flagWhole is an event whose lease is its row's; without it only ID, NetNS
	// and the local port are.
	flagWhole shapeFlags = 1 << iota
	// flagAsker is an event whose thread and socket's cgroup are its row's.
	flagAsker
	flagTimestamps // Lease.TimestampsSeen
	flagExpires    // a value in its column
	flagEntered
	flagSearch
	flagSuccessor
	// flagApart is an event that is told whole in the section of such events:
	// no lease is in it, or something that its kind does not carry.
	flagApart
)

func appendShape(dst []byte, s *shape) []byte {
	return append(dst, byte(s.kind), byte(s.from), byte(s.state), byte(s.substate), byte(s.cause), byte(s.correction), byte(s.flags))
}

func (c *cursor) shape() shape {
	return shape{
		kind: event.Kind(c.byte()), from: event.State(c.byte()), state: event.State(c.byte()),
		substate: event.Substate(c.byte()), cause: event.Cause(c.byte()), correction: event.Correction(c.byte()),
		flags: shapeFlags(c.byte()),
	}
}

// way is what leases towards one far end share: a lease without its identity,
// local port, owner and state.
type way struct{ lease event.Lease }

// wayOf is the way of a lease.
func wayOf(l *event.Lease) way {
	w := way{*l}
	w.lease.ID, w.lease.Owner = event.LeaseID{}, event.Owner{}
	w.lease.State, w.lease.Substate, w.lease.TimestampsSeen = 0, 0, false
	w.lease.Expires, w.lease.Entered = 0, 0
	w.lease.Local = netip.AddrPortFrom(l.Local.Addr(), 0)
	return w
}

func appendWay(dst []byte, w *way) []byte {
	l := &w.lease
	dst = binary.LittleEndian.AppendUint32(dst, l.NetNS)
	dst = binary.AppendUvarint(dst, uint64(l.Device))
	dst = append(dst, byte(l.Protocol), byte(l.Family), byte(l.Origin))
	dst = appendBit(dst, l.V6Only)
	dst = appendAddr(dst, l.Local.Addr())
	dst = appendAddrPort(dst, l.Remote)
	return appendRange(dst, l.Range)
}

func (c *cursor) way() (w way) {
	l := &w.lease
	l.NetNS, l.Device = c.u32(), c.u32varint()
	l.Protocol, l.Family, l.Origin = event.Protocol(c.byte()), event.Family(c.byte()), event.Origin(c.byte())
	l.V6Only = c.bit()
	l.Local = netip.AddrPortFrom(c.addr(), 0)
	l.Remote = c.addrPort()
	l.Range = c.portRange()
	return w
}

// who is who asked for a port: an owner, and what is known of the call.
type who struct {
	owner  event.Owner
	thread event.Thread
	cgroup uint64          // Event.SocketCgroup
	ports  event.PortRange // Event.NamespaceRange
}

func appendWho(dst []byte, w *who) []byte {
	dst = appendOwner(dst, &w.owner)
	dst = appendThread(dst, &w.thread)
	dst = binary.AppendUvarint(dst, w.cgroup)
	return appendRange(dst, w.ports)
}

func (c *cursor) who() who {
	return who{owner: c.owner(), thread: c.thread(), cgroup: c.uvarint(), ports: c.portRange()}
}

func appendOwner(dst []byte, o *event.Owner) []byte {
	dst = append(dst, byte(o.Kind), byte(o.Confidence))
	dst = binary.AppendUvarint(dst, uint64(o.PID))
	dst = binary.AppendUvarint(dst, uint64(o.StartTime))
	dst = binary.LittleEndian.AppendUint16(dst, o.Exec)
	dst = append(dst, o.Comm[:]...)
	dst = binary.AppendUvarint(dst, uint64(o.UID))
	return binary.AppendUvarint(dst, o.CgroupID)
}

func (c *cursor) owner() event.Owner {
	return event.Owner{
		Kind: event.OwnerKind(c.byte()), Confidence: event.Confidence(c.byte()), PID: c.u32varint(), StartTime: c.time(),
		Exec: c.u16(), Comm: c.comm(), UID: c.u32varint(), CgroupID: c.uvarint(),
	}
}

func appendOwnerID(dst []byte, id *event.OwnerID) []byte {
	dst = binary.AppendUvarint(append(dst, byte(id.Kind)), uint64(id.PID))
	dst = binary.AppendUvarint(dst, uint64(id.StartTime))
	return binary.AppendUvarint(binary.LittleEndian.AppendUint16(dst, id.Exec), id.Cgroup)
}

func (c *cursor) ownerID() event.OwnerID {
	return event.OwnerID{
		Kind: event.OwnerKind(c.byte()), PID: c.u32varint(), StartTime: c.time(), Exec: c.u16(), Cgroup: c.uvarint(),
	}
}

func appendThread(dst []byte, t *event.Thread) []byte {
	return append(binary.AppendUvarint(dst, uint64(t.TID)), t.Comm[:]...)
}

func (c *cursor) thread() event.Thread { return event.Thread{TID: c.u32varint(), Comm: c.comm()} }

// u32varint is a varint that must fit 32 bits.
func (c *cursor) u32varint() uint32 {
	v := c.uvarint()
	if v > 1<<32-1 {
		c.fail()
	}
	return uint32(v)
}
