package fields

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/portwatch/portwatch/internal/event"
)

const (
	timeFormat  = "2006-01-02T15:04:05.000000000Z07:00"
	clockFormat = "15:04:05.000"
	hexDigits   = "0123456789abcdef"
)

// AppendJSON appends the value as JSON.
func (v Value) AppendJSON(dst []byte, c *Context) []byte {
	switch v.kind {
	case text:
		return appendString(dst, v.s)
	case comm:
		return v.appendComm(dst, true)
	case plain, count:
		return strconv.AppendUint(dst, v.a, 10)
	case number:
		return strconv.AppendFloat(dst, v.float(), 'g', -1, 64)
	case boolean:
		return strconv.AppendBool(dst, v.a != 0)
	case identity, address, leaseID, processID, moment:
		mark := len(dst)
		dst = v.AppendRaw(append(dst, '"'), c)
		if len(dst) > mark+1 {
			return append(dst, '"')
		}
		dst = dst[:mark] // a moment without wall time
	}
	return append(dst, "null"...)
}

// AppendRaw appends the value without quotes or separators, as CSV fields hold
// it before quoting; nothing if it is absent.
func (v Value) AppendRaw(dst []byte, c *Context) []byte {
	switch v.kind {
	case text:
		return append(dst, v.s...)
	case comm:
		return v.appendComm(dst, false)
	case identity, plain, count:
		return strconv.AppendUint(dst, v.a, 10)
	case number:
		return strconv.AppendFloat(dst, v.float(), 'g', -1, 64)
	case boolean:
		return strconv.AppendBool(dst, v.a != 0)
	case moment:
		if wall, ok := c.wall(v); ok {
			return wall.AppendFormat(dst, timeFormat)
		}
	case address:
		return v.addr().AppendTo(dst)
	case leaseID:
		return v.appendPair(dst, '-')
	case processID:
		return v.appendPair(dst, '@')
	}
	return dst
}

// AppendText appends the value for people: counts with thousands separators,
// real numbers with one decimal, moments as time of day in the reader's zone,
// "-" for what is absent, and nothing that a terminal could obey.
func (v Value) AppendText(dst []byte, c *Context) []byte {
	switch v.kind {
	case text:
		return append(dst, event.Printable(v.s)...)
	case comm:
		return append(dst, v.comm().String()...)
	case count:
		return AppendThousands(dst, v.a)
	case number:
		return appendDecimal(dst, v.float())
	case boolean:
		if v.a != 0 {
			return append(dst, "yes"...)
		}
		return append(dst, "no"...)
	case moment:
		if wall, ok := c.wall(v); ok {
			return wall.In(c.location()).AppendFormat(dst, clockFormat)
		}
		return append(dst, '-')
	case absent:
		return append(dst, '-')
	}
	return v.AppendRaw(dst, c)
}

func (c *Context) location() *time.Location {
	if c.Location == nil {
		return time.UTC
	}
	return c.Location
}

// AppendThousands appends n with a comma before each three digits.
func AppendThousands(dst []byte, n uint64) []byte {
	var buf [20]byte
	digits := strconv.AppendUint(buf[:0], n, 10)
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, d)
	}
	return dst
}

func appendDecimal(dst []byte, f float64) []byte {
	var buf [32]byte
	s := strconv.AppendFloat(buf[:0], f, 'f', 1, 64)
	whole, frac, _ := bytes.Cut(s, []byte{'.'})
	if n, err := strconv.ParseUint(string(whole), 10, 64); err == nil {
		dst = AppendThousands(dst, n)
	} else {
		dst = append(dst, whole...)
	}
	return append(append(dst, '.'), frac...)
}

// appendComm appends a task's name; the bytes are the process's own choice, so
// whatever is not printable becomes '?', as event.Comm.String has it. Plain
// ASCII, nearly every name, takes no allocation.
func (v Value) appendComm(dst []byte, quoted bool) []byte {
	c := v.comm()
	name := c[:]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	for _, b := range name {
		if b < ' ' || b >= utf8.RuneSelf-1 || b == '"' || b == '\\' {
			if quoted {
				return appendString(dst, c.String())
			}
			return append(dst, c.String()...)
		}
	}
	if !quoted {
		return append(dst, name...)
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"')
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become the
// replacement character, as encoding/json has it.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			dst = appendASCII(dst, b)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		dst = utf8.AppendRune(dst, r)
		i += size
	}
	return append(dst, '"')
}

func appendASCII(dst []byte, b byte) []byte {
	switch {
	case b == '"' || b == '\\':
		return append(dst, '\\', b)
	case b >= ' ' && b != 0x7f:
		return append(dst, b)
	case b == '\n':
		return append(dst, '\\', 'n')
	case b == '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xf])
}
