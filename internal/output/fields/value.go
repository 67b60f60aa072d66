package fields

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// Context is what formatting needs beside the row.
type Context struct {
	// Meta is of the snapshot that the row belongs to; for events, only its
	// Clock and At are read.
	Meta *aggregate.Meta
	// Location is the reader's time zone for tables; nil means UTC. JSON and
	// CSV are always UTC.
	Location *time.Location
	// Own tells the command that was run, and what it started, from others; nil
	// if there is none, or if that is not known.
	Own func(*aggregate.OwnerInfo) bool
}

type valueKind uint8

const (
	absent    valueKind = iota
	text                // s
	comm                // a, b: the bytes of an event.Comm
	identity            // a, printed as a string in JSON
	plain               // a, a number that is a name: a pid, a port
	count               // a, a number that counts
	number              // a: float64 bits
	boolean             // a
	moment              // a: event.Time
	address             // a, b: 16 bytes; s is not used
	leaseID             // a: cookie, b: born
	processID           // a: pid, b: start
)

// Value is the content of one field of one row. The zero Value is absent: null
// in JSON, empty in CSV, "-" in a table. A Value holds no pointer but a string's
// and is made without allocating.
type Value struct {
	kind valueKind
	a, b uint64
	s    string
}

// Text is a string; "" is absent.
func Text(s string) Value {
	if s == "" {
		return Value{}
	}
	return Value{kind: text, s: s}
}

// Name is the name of a task; an empty one is absent.
func Name(c event.Comm) Value {
	if c[0] == 0 {
		return Value{}
	}
	return Value{kind: comm, a: binary.NativeEndian.Uint64(c[:8]), b: binary.NativeEndian.Uint64(c[8:])}
}

// Identity is a 64-bit name; 0 is absent.
func Identity(id uint64) Value {
	if id == 0 {
		return Value{}
	}
	return Value{kind: identity, a: id}
}

// Plain is a number that is a name, such as a pid: tables print it without
// separators. 0 is a value.
func Plain(n uint64) Value { return Value{kind: plain, a: n} }

// Count is a number of things.
func Count(n uint64) Value { return Value{kind: count, a: n} }

// Number is a real number; NaN and infinities are absent.
func Number(f float64) Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Value{}
	}
	return Value{kind: number, a: math.Float64bits(f)}
}

// Seconds is a duration.
func Seconds(d time.Duration) Value { return Number(d.Seconds()) }

// Bool is true or false.
func Bool(b bool) Value {
	v := Value{kind: boolean}
	if b {
		v.a = 1
	}
	return v
}

// Moment is a time of the boot clock, printed as wall time; 0 is absent, and
// so is any moment of a stream without an anchor.
func Moment(t event.Time) Value {
	if t == 0 {
		return Value{}
	}
	return Value{kind: moment, a: uint64(t)}
}

// Address is the address of an endpoint; an invalid one is absent.
func Address(ap netip.AddrPort) Value {
	if !ap.IsValid() {
		return Value{}
	}
	b := ap.Addr().As16()
	return Value{kind: address, a: binary.BigEndian.Uint64(b[:8]), b: binary.BigEndian.Uint64(b[8:])}
}

// Port is the port of an endpoint; that of an invalid one is absent.
func Port(ap netip.AddrPort) Value {
	if !ap.IsValid() {
		return Value{}
	}
	return Plain(uint64(ap.Port()))
}

// LeaseID is the identity of a lease; the zero one is absent.
func LeaseID(id event.LeaseID) Value {
	if id == (event.LeaseID{}) {
		return Value{}
	}
	return Value{kind: leaseID, a: id.Cookie, b: uint64(id.Born)}
}

// OwnerID is the identity of an owner.
func OwnerID(id event.OwnerID) Value {
	if id.Kind == event.OwnerProcess {
		return Value{kind: processID, a: uint64(id.PID), b: uint64(id.StartTime)}
	}
	return Text(id.String())
}

// IsAbsent reports whether there is nothing to print. A moment counts as
// present even if its stream has no anchor.
func (v Value) IsAbsent() bool { return v.kind == absent }

func (v Value) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], v.a)
	binary.BigEndian.PutUint64(b[8:], v.b)
	return netip.AddrFrom16(b).Unmap()
}

func (v Value) comm() event.Comm {
	var c event.Comm
	binary.NativeEndian.PutUint64(c[:8], v.a)
	binary.NativeEndian.PutUint64(c[8:], v.b)
	return c
}

func (v Value) appendPair(dst []byte, separator byte) []byte {
	dst = strconv.AppendUint(dst, v.a, 10)
	dst = append(dst, separator)
	return strconv.AppendUint(dst, v.b, 10)
}

func (v Value) float() float64 { return math.Float64frombits(v.a) }

func (c *Context) wall(v Value) (time.Time, bool) {
	if c == nil || c.Meta == nil {
		return time.Time{}, false
	}
	return c.Meta.Clock.Wall(event.Time(v.a))
}
