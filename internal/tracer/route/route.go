package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Route is the way to an address.
type Route struct {
	// Source is the address that a socket without one of its own starts from.
	Source netip.Addr
	// Type is that of the route: unix.RTN_UNICAST, unix.RTN_LOCAL, …
	Type uint8
}

// sizeofRoute is that of struct rtmsg (include/uapi/linux/rtnetlink.h).
const sizeofRoute = 12

const offType = 7 // rtm_type

// Find asks which way a socket of a user takes to an address, in the namespace of
// the calling thread. The error is that of the kernel's answer: ENETUNREACH and
// EHOSTUNREACH say that there is no way.
func Find(to netip.Addr, uid uint32) (r Route, err error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return Route{}, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	answers, err := conn.Execute(question(to.Unmap(), uid))
	if err != nil {
		return Route{}, fmt.Errorf("find route to %s: %w", to, err)
	}
	for _, m := range answers {
		if m.Header.Type == unix.RTM_NEWROUTE {
			return parseRoute(m.Data)
		}
	}
	return Route{}, fmt.Errorf("find route to %s: the kernel gave no answer", to)
}

func question(to netip.Addr, uid uint32) netlink.Message {
	family, bits := byte(unix.AF_INET), byte(32)
	if to.Is6() {
		family, bits = unix.AF_INET6, 128
	}
	data := append(make([]byte, 0, 64), family, bits)
	data = append(data, make([]byte, sizeofRoute-len(data))...)
	attrs := netlink.NewAttributeEncoder()
	attrs.Bytes(unix.RTA_DST, to.AsSlice())
	attrs.Uint32(unix.RTA_UID, uid)
	encoded, _ := attrs.Encode() // fails for what is longer than 64 KiB
	return netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETROUTE, Flags: netlink.Request}, Data: append(data, encoded...),
	}
}

func parseRoute(data []byte) (Route, error) {
	if len(data) < sizeofRoute {
		return Route{}, fmt.Errorf("parse route: %d bytes are less than %d", len(data), sizeofRoute)
	}
	r := Route{Type: data[offType]}
	attrs, err := netlink.NewAttributeDecoder(data[sizeofRoute:])
	if err != nil {
		return Route{}, fmt.Errorf("parse route: %w", err)
	}
	for attrs.Next() {
		if attrs.Type() == unix.RTA_PREFSRC {
			r.Source, _ = netip.AddrFromSlice(attrs.Bytes())
		}
	}
	if err := attrs.Err(); err != nil {
		return Route{}, fmt.Errorf("parse route: %w", err)
	}
	return r, nil
}

// IsLocal reports whether a socket may be bound to an address in the namespace of
// the calling thread, sysctls apart (__inet_bind and __inet6_bind of the kernel).
// Wildcards may always be bound.
func IsLocal(addr netip.Addr) (bool, error) {
	switch {
	case addr.IsUnspecified():
		return true, nil
	case addr.Is6():
		return hasAddress(addr)
	case addr.IsMulticast(), addr == limitedBroadcast: // wherever they lead
		return true, nil
	}
	r, err := Find(addr, 0)
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return false, nil
	}
	return r.Type == unix.RTN_LOCAL || r.Type == unix.RTN_BROADCAST, err
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// hasAddress reports whether an interface has the IPv6 address, and has proven
// that nobody else has.
func hasAddress(addr netip.Addr) (found bool, err error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return false, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETADDR, Flags: netlink.Request | netlink.Dump},
		Data:   []byte{unix.AF_INET6, 0, 0, 0, 0, 0, 0, 0},
	})
	if err != nil {
		return false, fmt.Errorf("list addresses: %w", err)
	}
	for _, m := range answers {
		has, flags, err := parseAddress(m.Data)
		if err != nil {
			return false, err
		}
		tentative := flags&unix.IFA_F_TENTATIVE != 0 && flags&unix.IFA_F_OPTIMISTIC == 0
		if has == addr && !tentative {
			return true, nil
		}
	}
	return false, nil
}

// parseAddress reads struct ifaddrmsg and its attributes.
func parseAddress(data []byte) (addr netip.Addr, flags uint32, err error) {
	const offFlags = 2
	if len(data) < unix.SizeofIfAddrmsg {
		return addr, 0, fmt.Errorf("parse address: %d bytes are less than %d", len(data), unix.SizeofIfAddrmsg)
	}
	flags = uint32(data[offFlags])
	attrs, err := netlink.NewAttributeDecoder(data[unix.SizeofIfAddrmsg:])
	if err != nil {
		return addr, 0, fmt.Errorf("parse address: %w", err)
	}
	for attrs.Next() {
		switch value := attrs.Bytes(); attrs.Type() {
		case unix.IFA_ADDRESS:
			if !addr.IsValid() { // of a point-to-point link it is the far end
				addr, _ = netip.AddrFromSlice(value)
			}
		case unix.IFA_LOCAL:
			addr, _ = netip.AddrFromSlice(value)
		case unix.IFA_FLAGS:
			if len(value) == 4 {
				flags = binary.NativeEndian.Uint32(value)
			}
		}
	}
	return addr, flags, attrs.Err()
}
