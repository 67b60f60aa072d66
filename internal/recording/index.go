package recording

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/portwatch/portwatch/internal/event"
)

// indexEntry is one block of events in the index: 48 bytes, the last four of
// which are 0.
type indexEntry struct {
	offset      uint64 // of the block in the file
	first, last event.Time
	length      uint32 // of the block, with its header
	events      uint32
	allocations uint32
	failures    uint32
}

const (
	indexEntryLen = 48
	trailerLen    = 16 // offset and length of the index block
)

func appendIndex(dst []byte, entries []indexEntry) []byte {
	le := binary.LittleEndian
	for i := range entries {
		e := &entries[i]
		for _, v := range [...]uint64{e.offset, uint64(e.first), uint64(e.last)} {
			dst = le.AppendUint64(dst, v)
		}
		for _, v := range [...]uint32{e.length, e.events, e.allocations, e.failures, 0, 0} {
			dst = le.AppendUint32(dst, v)
		}
	}
	return dst
}

func appendTrailer(dst []byte, offset, length int64) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, uint64(offset)), uint64(length))
}

// readIndex reads the index of a recording that was closed; any error means
// that there is none to rely on.
func readIndex(r io.ReaderAt, size int64) ([]indexEntry, error) {
	end, err := readBlockAt(r, size-headerLen-trailerLen, headerLen+trailerLen, typeTrailer)
	if err != nil {
		return nil, err
	}
	offset, length := binary.LittleEndian.Uint64(end), binary.LittleEndian.Uint64(end[8:])
	if offset > uint64(size) || length > uint64(size)-offset || length > headerLen+maxPayload {
		return nil, errHeader
	}
	payload, err := readBlockAt(r, int64(offset), int64(length), typeIndex)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	var entries []indexEntry
	for ; len(payload) >= indexEntryLen; payload = payload[indexEntryLen:] {
		entries = append(entries, indexEntry{
			offset: le.Uint64(payload), first: event.Time(le.Uint64(payload[8:])), last: event.Time(le.Uint64(payload[16:])),
			length: le.Uint32(payload[24:]), events: le.Uint32(payload[28:]),
			allocations: le.Uint32(payload[32:]), failures: le.Uint32(payload[36:]),
		})
	}
	return entries, nil
}

// readBlockAt is the payload of a block of the kind and length at offset.
func readBlockAt(r io.ReaderAt, offset, length int64, kind byte) ([]byte, error) {
	if offset < 0 || length < headerLen {
		return nil, errHeader
	}
	block := make([]byte, length)
	if _, err := r.ReadAt(block, offset); err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	h, err := parseHeader(block)
	if err != nil {
		return nil, err
	}
	if h.kind != kind || int64(h.payload) != length-headerLen || !h.holds(block[headerLen:]) {
		return nil, errHeader
	}
	return block[headerLen:], nil
}
