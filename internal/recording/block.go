package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/portwatch/portwatch/internal/event"
)

// The version of the format. A reader refuses a higher major; a higher minor
// adds sections, types of blocks, kinds of events and keys of the header.
const (
	Major = 1
	Minor = 1
)

const (
	headerLen = 64
	// maxPayload bounds what a header may claim, and what is unpacked of one
	// block: a damaged length must not decide about memory.
	maxPayload = 64 << 20
	// maxEvents and maxSpan close an events block.
	maxEvents = 1 << 16
	maxSpan   = event.Time(1e9)
)

const marker = "PWB\x01"

// The types of blocks.
const (
	typeHeader  = 'H'
	typeEvents  = 'E'
	typeNote    = 'N'
	typeIndex   = 'I'
	typeTrailer = 'T'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is that of a block. The package's comment has the layout.
type header struct {
	kind        byte
	payload     uint32 // bytes
	checksum    uint32 // of the payload
	records     uint32
	number      uint64
	first, last event.Time
	before      uint64 // events
	failures    uint32
	allocations uint32
}

// appendHeader appends the 64 bytes of h.
func appendHeader(dst []byte, h *header) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = append(dst, marker...)
	dst = le.AppendUint32(dst, 0)
	dst = append(dst, h.kind, 0)
	dst = le.AppendUint16(dst, headerLen)
	dst = le.AppendUint32(dst, h.payload)
	dst = le.AppendUint32(dst, h.checksum)
	dst = le.AppendUint32(dst, h.records)
	dst = le.AppendUint64(dst, h.number)
	dst = le.AppendUint64(dst, uint64(h.first))
	dst = le.AppendUint64(dst, uint64(h.last))
	dst = le.AppendUint64(dst, h.before)
	dst = le.AppendUint32(dst, h.failures)
	dst = le.AppendUint32(dst, h.allocations)
	le.PutUint32(dst[start+4:], crc32.Checksum(dst[start+8:], castagnoli))
	return dst
}

var errHeader = errors.New("the block's header is damaged")

// parseHeader reads the header at the front of b, of 64 bytes at least.
func parseHeader(b []byte) (header, error) {
	le := binary.LittleEndian
	if string(b[:4]) != marker || le.Uint32(b[4:]) != crc32.Checksum(b[8:headerLen], castagnoli) {
		return header{}, errHeader
	}
	h := header{
		kind: b[8], payload: le.Uint32(b[12:]), checksum: le.Uint32(b[16:]), records: le.Uint32(b[20:]),
		number: le.Uint64(b[24:]), first: event.Time(le.Uint64(b[32:])), last: event.Time(le.Uint64(b[40:])),
		before: le.Uint64(b[48:]), failures: le.Uint32(b[56:]), allocations: le.Uint32(b[60:]),
	}
	if length := le.Uint16(b[10:]); length != headerLen {
		return header{}, fmt.Errorf("the block's header claims %d bytes", length)
	}
	if h.payload > maxPayload {
		return header{}, fmt.Errorf("the block claims %d bytes, more than a block has", h.payload)
	}
	if h.kind == typeEvents && h.records > maxEvents {
		return header{}, fmt.Errorf("the block claims %d events, more than a block has", h.records)
	}
	return h, nil
}

// appendBlock appends a block; h's length and checksum are made here.
func appendBlock(dst []byte, h header, payload []byte) []byte {
	h.payload, h.checksum = uint32(len(payload)), crc32.Checksum(payload, castagnoli)
	return append(appendHeader(dst, &h), payload...)
}

// holds reports whether the payload is the one that the header speaks of.
func (h *header) holds(payload []byte) bool {
	return crc32.Checksum(payload, castagnoli) == h.checksum
}
