package recording

import (
	"encoding/binary"
	"net/netip"

	"github.com/portwatch/portwatch/internal/event"
)

// cursor reads values from the front of b. Past the end, and after the first
// value that cannot be one, it yields zeros and is bad.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) fail() {
	c.b, c.bad = nil, true
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.bad = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

// bytes is the next n bytes, nil if there are fewer.
func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.fail()
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) uvarint() uint64 {
	if len(c.b) > 0 && c.b[0] < 0x80 {
		v := c.b[0]
		c.b = c.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint() int64 { return unzigzag(c.uvarint()) }

func (c *cursor) u16() uint16 {
	v := c.bytes(2)
	if v == nil {
		return 0
	}
	return binary.LittleEndian.Uint16(v)
}

func (c *cursor) u32() uint32 {
	v := c.bytes(4)
	if v == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(v)
}

// bit is a byte that is 0 or 1.
func (c *cursor) bit() bool {
	v := c.byte()
	if v > 1 {
		c.fail()
	}
	return v == 1
}

func (c *cursor) string() string { return string(c.bytes(c.uvarint())) }

func (c *cursor) time() event.Time { return event.Time(c.uvarint()) }

func (c *cursor) portRange() event.PortRange { return event.PortRange{Low: c.u16(), High: c.u16()} }

func (c *cursor) comm() (comm event.Comm) {
	copy(comm[:], c.bytes(uint64(len(comm))))
	return comm
}

func (c *cursor) leaseID() event.LeaseID {
	return event.LeaseID{Cookie: c.uvarint(), Born: c.time()}
}

// The forms of an address.
const (
	addrNone = iota
	addrIPv4
	addrIPv6
	addrZone
)

func (c *cursor) addr() netip.Addr {
	switch c.byte() {
	case addrNone:
		return netip.Addr{}
	case addrIPv4:
		if b := c.bytes(4); b != nil {
			return netip.AddrFrom4([4]byte(b))
		}
	case addrIPv6:
		if b := c.bytes(16); b != nil {
			return netip.AddrFrom16([16]byte(b))
		}
	case addrZone:
		if b := c.bytes(16); b != nil {
			return netip.AddrFrom16([16]byte(b)).WithZone(c.string())
		}
	}
	c.fail()
	return netip.Addr{}
}

func (c *cursor) addrPort() netip.AddrPort {
	addr := c.addr()
	return netip.AddrPortFrom(addr, c.u16())
}

func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func appendVarint(dst []byte, v int64) []byte { return binary.AppendUvarint(dst, zigzag(v)) }

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendBit(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendRange(dst []byte, r event.PortRange) []byte {
	return binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(dst, r.Low), r.High)
}

func appendLeaseID(dst []byte, id event.LeaseID) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, id.Cookie), uint64(id.Born))
}

func appendAddr(dst []byte, a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return append(dst, addrNone)
	case a.Is4():
		b := a.As4()
		return append(append(dst, addrIPv4), b[:]...)
	}
	b := a.As16()
	if zone := a.Zone(); zone != "" {
		return appendString(append(append(dst, addrZone), b[:]...), zone)
	}
	return append(append(dst, addrIPv6), b[:]...)
}

func appendAddrPort(dst []byte, a netip.AddrPort) []byte {
	return binary.LittleEndian.AppendUint16(appendAddr(dst, a.Addr()), a.Port())
}
