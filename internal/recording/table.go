package recording

import (
	"hash/maphash"
	"net/netip"

	"github.com/portwatch/portwatch/internal/event"
)

var noAddrPort netip.AddrPort

// shapeUse is a shape in a block that is being written.
type shapeUse struct {
	shape
	row  int    // of the last event of this shape
	refs []byte // of its events
}

// shapeTable numbers shapes. A block has a few dozen.
type shapeTable struct {
	list  []shapeUse
	known map[shape]int
	// recent remembers the last shapes by a hash of them: a map for each event
	// would take a third of the time.
	recent [256]struct {
		shape
		number int // plus 1
	}
}

func (t *shapeTable) reset() {
	if t.known == nil {
		t.known = make(map[shape]int)
	}
	clear(t.known)
	clear(t.recent[:])
	t.list = t.list[:0]
}

func (t *shapeTable) number(s *shape) int {
	slot := &t.recent[s.hash()]
	if slot.number > 0 && slot.shape == *s {
		return slot.number - 1
	}
	n, known := t.known[*s]
	if !known {
		n = len(t.list)
		t.known[*s] = n
		if n < cap(t.list) {
			t.list = t.list[:n+1]
			use := &t.list[n] // with the memory of its references
			use.shape, use.row, use.refs = *s, 0, use.refs[:0]
		} else {
			t.list = append(t.list, shapeUse{shape: *s})
		}
	}
	slot.shape, slot.number = *s, n+1
	return n
}

func (s *shape) hash() byte {
	return byte(s.kind)*7 + byte(s.from)*31 + byte(s.state)*61 + byte(s.substate)*13 + byte(s.cause)*101 + byte(s.correction)*17 + byte(s.flags)*3
}

// rowIndex finds the last row of a lease: open addressing, at most half full.
type rowIndex struct {
	slots [2 * maxEvents]uint32 // row plus 1
	used  int
}

func (x *rowIndex) reset() {
	if x.used > 0 {
		clear(x.slots[:])
	}
	x.used = 0
}

func (x *rowIndex) slot(id event.LeaseID, rows []row) *uint32 {
	const mask = 2*maxEvents - 1
	at := (id.Cookie*0x9e3779b97f4a7c15 ^ uint64(id.Born)*0xc2b2ae3d27d4eb4f) >> 40
	for {
		slot := &x.slots[at&mask]
		if *slot == 0 || rows[*slot-1].id == id {
			return slot
		}
		at++
	}
}

func (x *rowIndex) find(id event.LeaseID, rows []row) (number int, known bool) {
	slot := x.slot(id, rows)
	return int(*slot) - 1, *slot != 0
}

func (x *rowIndex) put(id event.LeaseID, number int, rows []row) {
	*x.slot(id, rows) = uint32(number) + 1
	x.used++
}

// dictionary numbers values in the order in which they are met. A map would
// allocate for each key of this size.
type dictionary[T comparable] struct {
	list   []T
	hashes []uint64 // of list
	slots  []uint32 // number plus 1, by hash; a power of two, at most half full
	seed   maphash.Seed
}

func newDictionary[T comparable]() dictionary[T] {
	return dictionary[T]{slots: make([]uint32, 256), seed: maphash.MakeSeed()}
}

func (d *dictionary[T]) reset() {
	if len(d.list) > 0 {
		clear(d.slots)
	}
	d.list, d.hashes = d.list[:0], d.hashes[:0]
}

// number is that of v, whose bytes in the file are written, and whether it was
// met before.
func (d *dictionary[T]) number(v *T, written []byte) (n uint32, known bool) {
	mask := uint64(len(d.slots) - 1)
	hash := maphash.Bytes(d.seed, written)
	at := hash
	for ; d.slots[at&mask] != 0; at++ {
		if n = d.slots[at&mask] - 1; d.list[n] == *v {
			return n, true
		}
	}
	n = uint32(len(d.list))
	d.list, d.hashes = append(d.list, *v), append(d.hashes, hash)
	d.slots[at&mask] = n + 1
	if 2*len(d.list) > len(d.slots) {
		d.grow()
	}
	return n, false
}

func (d *dictionary[T]) grow() {
	d.slots = make([]uint32, 2*len(d.slots))
	mask := uint64(len(d.slots) - 1)
	for n, at := range d.hashes {
		for d.slots[at&mask] != 0 {
			at++
		}
		d.slots[at&mask] = uint32(n) + 1
	}
}
