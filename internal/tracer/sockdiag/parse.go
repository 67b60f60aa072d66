package sockdiag

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// The layout of struct inet_diag_msg (include/uapi/linux/inet_diag.h). Ports
// and addresses are in network byte order, everything else in the host's.
const (
	offFamily  = 0
	offState   = 1
	offTimer   = 2
	offID      = 4 // struct inet_diag_sockid
	offExpires = offID + sizeofID
	offRQueue  = offExpires + 4
	offWQueue  = offExpires + 8
	offUID     = offExpires + 12
	offInode   = offExpires + 16
	sizeofMsg  = offExpires + 20

	offLocalPort  = offID
	offRemotePort = offID + 2
	offLocal      = offID + 4
	offRemote     = offID + 20
	offDevice     = offID + 36
	offCookie     = offID + 40 // two words, the low one first
	sizeofID      = 48
)

// The attributes that are read, all told without asking
// (inet_diag_msg_attrs_fill, net/ipv4/inet_diag.c).
const (
	attrV6Only   = 11 // INET_DIAG_SKV6ONLY, u8
	attrCgroupID = 21 // INET_DIAG_CGROUP_ID, u64
)

// kernelBound is TCP_BOUND_INACTIVE (include/net/tcp_states.h), the number by
// which bound-only sockets are asked for from Linux 6.12 on.
const kernelBound = 13

// parse decodes one message of a dump: struct inet_diag_msg and attributes.
func parse(msg []byte, protocol event.Protocol) (Socket, error) {
	if len(msg) < sizeofMsg {
		return Socket{}, fmt.Errorf("parse inet_diag_msg: %d bytes are less than %d", len(msg), sizeofMsg)
	}
	u32 := func(off int) uint32 { return binary.NativeEndian.Uint32(msg[off:]) }
	s := Socket{
		Protocol: protocol,
		Device:   u32(offDevice),
		Cookie:   uint64(u32(offCookie)) | uint64(u32(offCookie+4))<<32,
		UID:      u32(offUID), Inode: u32(offInode),
		Timer:        Timer(msg[offTimer]),
		Expires:      time.Duration(u32(offExpires)) * time.Millisecond,
		ReceiveQueue: u32(offRQueue), SendQueue: u32(offWQueue),
	}
	local, remote, err := addresses(msg)
	if err != nil {
		return Socket{}, err
	}
	s.Local = netip.AddrPortFrom(local, binary.BigEndian.Uint16(msg[offLocalPort:]))
	if port := binary.BigEndian.Uint16(msg[offRemotePort:]); port != 0 || !remote.IsUnspecified() {
		s.Remote = netip.AddrPortFrom(remote, port)
	}
	s.Family = familyOf(local)
	s.State, s.Substate = stateOf(protocol, msg[offState], s.Timer)
	return s, s.attributes(msg[sizeofMsg:])
}

func addresses(msg []byte) (local, remote netip.Addr, err error) {
	switch msg[offFamily] {
	case unix.AF_INET:
		local = netip.AddrFrom4([4]byte(msg[offLocal:]))
		remote = netip.AddrFrom4([4]byte(msg[offRemote:]))
	case unix.AF_INET6:
		local = netip.AddrFrom16([16]byte(msg[offLocal:])).Unmap()
		remote = netip.AddrFrom16([16]byte(msg[offRemote:])).Unmap()
	default:
		err = fmt.Errorf("parse inet_diag_msg: address family %d is not IPv4 or IPv6", msg[offFamily])
	}
	return local, remote, err
}

func familyOf(addr netip.Addr) event.Family {
	if addr.Is4() {
		return event.IPv4
	}
	return event.IPv6
}

// stateOf tells what the kernel's state number means. A mini-socket shows its
// sub-state there and is known by its timer alone (inet_twsk_diag_fill,
// net/ipv4/inet_diag.c). A bound-only TCP socket is listed as CLOSE: one in
// that state is in no other table that a dump walks.
func stateOf(protocol event.Protocol, kernel uint8, timer Timer) (event.State, event.Substate) {
	state := event.State(kernel)
	if protocol == event.UDP {
		return udpStateOf(state), 0
	}
	switch {
	case protocol != event.TCP:
		return event.StateUnknown, 0
	case timer == TimerTimeWait && (state == event.StateFinWait2 || state == event.StateTimeWait):
		return event.StateTimeWait, event.Substate(kernel)
	case timer == TimerTimeWait:
		return event.StateTimeWait, event.SubstateUnknown
	case state == event.StateClose || state == kernelBound:
		return event.StateBound, 0
	case state <= event.StateNewSynRecv:
		return state, 0
	}
	return event.StateUnknown, 0
}

// udpStateOf: UDP borrows two of TCP's numbers.
func udpStateOf(state event.State) event.State {
	switch state {
	case event.StateEstablished:
		return event.StateConnected
	case event.StateClose:
		return event.StateUnconnected
	}
	return event.StateUnknown
}

// attributes reads struct nlattr after struct nlattr: length with header,
// type, payload, padding to four bytes.
func (s *Socket) attributes(b []byte) error {
	for len(b) > 0 {
		if len(b) < unix.NLA_HDRLEN {
			return fmt.Errorf("parse attribute: %d bytes are no header", len(b))
		}
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.NLA_HDRLEN || size > len(b) {
			return fmt.Errorf("parse attribute: length %d of %d bytes", size, len(b))
		}
		payload := b[unix.NLA_HDRLEN:size]
		switch binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER) {
		case attrV6Only:
			s.V6Only = len(payload) == 1 && payload[0] != 0
		case attrCgroupID:
			if len(payload) == 8 {
				s.CgroupID = binary.NativeEndian.Uint64(payload)
			}
		}
		b = b[min(len(b), (size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
	}
	return nil
}
