package recording

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// The sections of an events block. A number is never used again for something
// else.
const (
	sectionShapes       = iota + 1 // the shapes
	sectionWays                    // the ways
	sectionWhos                    // who asked
	sectionRowSlots                // of each row: the batch of its cookie, see cookieGuess
	sectionRowCookies              // the cookie's distance from the last one of that batch
	sectionRowBorn                 // the distance of born, see rowGuess
	sectionRowWays                 // a way by its number
	sectionRowWhos                 // a who by its number
	sectionRowPorts                // the distance from the last port of that way: low bytes
	sectionRowPortsHigh            // high bytes
	sectionShape                   // of each event: its shape by number, low byte
	sectionShapeHigh               // high byte, if there are more than 256 shapes
	sectionTimeCodes               // how many bytes the distance from the last time takes, four to a byte
	sectionTime0                   // their lowest bytes
	sectionTime1                   // the next
	sectionTime2                   // the next
	sectionTimeRest                // five more, of the few
	sectionReferences              // per shape: which row, see refTo
	sectionExpires                 // Lease.Expires, of shapes that have it
	sectionEntered                 // Lease.Entered
	sectionSearch                  // Event.SearchNanos
	sectionSuccessor               // Event.Successor
	sectionApart                   // what is told apart
	sectionEnd
)

// sectionNames are the registry in the file's header.
var sectionNames = [sectionEnd]string{
	sectionShapes: "shapes", sectionWays: "ways", sectionWhos: "whos", sectionRowSlots: "row_slots",
	sectionRowCookies: "row_cookies", sectionRowBorn: "row_born", sectionRowWays: "row_ways", sectionRowWhos: "row_whos",
	sectionRowPorts: "row_ports", sectionRowPortsHigh: "row_ports_high", sectionShape: "shape", sectionShapeHigh: "shape_high",
	sectionTimeCodes: "time_codes", sectionTime0: "time_0", sectionTime1: "time_1", sectionTime2: "time_2",
	sectionTimeRest: "time_rest", sectionReferences: "references", sectionExpires: "expires", sectionEntered: "entered",
	sectionSearch: "search", sectionSuccessor: "successor", sectionApart: "apart",
}

// columns are the sections of one block, unpacked.
type columns [sectionEnd][]byte

func (c *columns) reset() {
	for i := range c {
		c[i] = c[i][:0]
	}
}

const (
	codecStored = 0
	codecZstd   = 1
	entryLen    = 12
	// worthPacking is the length below which zstd's own header eats the gain.
	worthPacking = 24
)

// newPacker makes the encoder of sections.
func newPacker() (*zstd.Encoder, error) {
	// Most columns are noise without matches: without this option the fast
	// levels leave them as they are.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithAllLitEntropyCompression(true), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<19), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	return enc, nil
}

// appendSections appends the payload of an events block: a table, then the
// sections that are not empty. scratch is used and given back.
func (c *columns) appendSections(dst, scratch []byte, pack *zstd.Encoder) (payload, again []byte) {
	count := 0
	for i := range c {
		if len(c[i]) > 0 {
			count++
		}
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(count))
	scratch = scratch[:0]
	for i := range c {
		raw := c[i]
		if len(raw) == 0 {
			continue
		}
		codec, start := byte(codecZstd), len(scratch)
		if len(raw) >= worthPacking {
			scratch = pack.EncodeAll(raw, scratch)
		}
		if packed := len(scratch) - start; packed == 0 || packed >= len(raw) {
			codec, scratch = codecStored, append(scratch[:start], raw...)
		}
		dst = binary.LittleEndian.AppendUint16(dst, uint16(i))
		dst = append(dst, codec, 0)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(raw)))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(scratch)-start))
	}
	return append(dst, scratch...), scratch
}

var errSections = errors.New("the block's sections do not add up")

// newUnpacker makes the decoder of sections.
func newUnpacker() (*zstd.Decoder, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPayload),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return dec, nil
}

// parse unpacks a payload. Sections that this version does not know are left
// out. What comes out is never larger than a block may be.
func (c *columns) parse(payload []byte, unpack *zstd.Decoder) error {
	c.reset()
	in := cursor{b: payload}
	count := uint64(in.u16())
	table := cursor{b: in.bytes(count * entryLen)}
	if in.bad {
		return errSections
	}
	budget := uint64(maxPayload)
	for range count {
		id, codec := table.u16(), table.u16()
		raw, stored := uint64(table.u32()), uint64(table.u32())
		data := in.bytes(stored)
		if in.bad || raw > budget {
			return errSections
		}
		budget -= raw
		if id == 0 || id >= sectionEnd {
			continue
		}
		if err := c.unpack(id, codec, raw, data, unpack); err != nil {
			return err
		}
	}
	return nil
}

func (c *columns) unpack(id, codec uint16, raw uint64, data []byte, unpack *zstd.Decoder) error {
	switch {
	case len(c[id]) > 0:
		return fmt.Errorf("section %s is there twice", sectionNames[id])
	case codec == codecStored && raw == uint64(len(data)):
		c[id] = append(c[id], data...)
		return nil
	case codec != codecZstd:
		return fmt.Errorf("section %s: codec %d", sectionNames[id], codec)
	}
	if uint64(cap(c[id])) < raw {
		c[id] = make([]byte, 0, raw)
	}
	out, err := unpack.DecodeAll(data, c[id][:0:raw])
	if err != nil {
		return fmt.Errorf("unpack section %s: %w", sectionNames[id], err)
	}
	if uint64(len(out)) != raw {
		return errSections
	}
	c[id] = out
	return nil
}
