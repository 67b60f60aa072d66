package recording

import (
	"errors"
	"net/netip"

	"github.com/klauspost/compress/zstd"

	"github.com/portwatch/portwatch/internal/event"
)

var errEvents = errors.New("the block's events do not add up")

// decoder hands out the events of one block.
type decoder struct {
	cols   columns
	in     [sectionEnd]cursor
	events int // in the block
	next   int
	prev   event.Time
	before int
	shapes []shapeRead
	ways   []way
	ports  []uint16 // the last one of each way
	whos   []who
	rows   []row
	guess  rowGuess
	unpack *zstd.Decoder
}

// shapeRead is a shape in a block that is being read.
type shapeRead struct {
	shape
	row  int
	refs cursor
}

func newDecoder() (*decoder, error) {
	unpack, err := newUnpacker()
	if err != nil {
		return nil, err
	}
	return &decoder{unpack: unpack}, nil
}

// open unpacks a block. The payload may be used again afterwards.
func (d *decoder) open(h *header, payload []byte) error {
	d.events, d.next, d.prev, d.before = 0, 0, 0, -1
	d.shapes, d.ways, d.whos, d.rows, d.guess = d.shapes[:0], d.ways[:0], d.whos[:0], d.rows[:0], rowGuess{}
	if err := d.cols.parse(payload, d.unpack); err != nil {
		return err
	}
	for i := range d.in {
		d.in[i] = cursor{b: d.cols[i]}
	}
	n := int(h.records)
	high := len(d.cols[sectionShapeHigh])
	if len(d.cols[sectionShape]) != n || len(d.cols[sectionTimeCodes]) != (n+3)/4 || high != 0 && high != n {
		return errEvents
	}
	if !d.readShapes(n) || !d.readDictionaries(n) {
		return errEvents
	}
	d.events = n
	return nil
}

// readDictionaries reads the ways and the whos. Each is of an event: there are
// no more than most.
func (d *decoder) readDictionaries(most int) bool {
	ways, whos := &d.in[sectionWays], &d.in[sectionWhos]
	for len(ways.b) > 0 && !ways.bad && len(d.ways) <= most {
		d.ways = append(d.ways, ways.way())
	}
	for len(whos.b) > 0 && !whos.bad && len(d.whos) <= most {
		d.whos = append(d.whos, whos.who())
	}
	d.ports = append(d.ports[:0], make([]uint16, len(d.ways))...)
	return !ways.bad && !whos.bad && max(len(d.ways), len(d.whos)) <= most
}

func (d *decoder) readShapes(most int) bool {
	in, refs := &d.in[sectionShapes], &d.in[sectionReferences]
	for len(in.b) > 0 && !in.bad && len(d.shapes) <= most {
		d.shapes = append(d.shapes, shapeRead{shape: in.shape()})
	}
	lengths := make([]uint64, len(d.shapes))
	for i := range lengths {
		lengths[i] = refs.uvarint()
	}
	for i := range d.shapes {
		d.shapes[i].refs = cursor{b: refs.bytes(lengths[i])}
	}
	return !in.bad && !refs.bad && len(d.shapes) <= most
}

// left is how many events are still to come.
func (d *decoder) left() int { return d.events - d.next }

// read fills ev with the next event.
func (d *decoder) read(ev *event.Event) error {
	*ev = event.Event{}
	number := int(d.cols[sectionShape][d.next])
	if high := d.cols[sectionShapeHigh]; len(high) > 0 {
		number |= int(high[d.next]) << 8
	}
	if number >= len(d.shapes) {
		return errEvents
	}
	s := &d.shapes[number]
	at, ok := d.time()
	ev.Kind, ev.Time = s.kind, at
	if !ok {
		return errEvents
	}
	if s.flags&flagApart != 0 {
		in := &d.in[sectionApart]
		one := cursor{b: in.bytes(in.uvarint())}
		one.apart(ev)
		if in.bad || one.bad {
			return errEvents
		}
	} else if !d.lease(s, ev) {
		return errEvents
	}
	d.next++
	return nil
}

// time is that of the next event.
func (d *decoder) time() (t event.Time, ok bool) {
	code := d.cols[sectionTimeCodes][d.next/4] >> (d.next % 4 * 2) & 3
	v := uint64(d.in[sectionTime0].byte())
	ok = !d.in[sectionTime0].bad
	if code >= 1 {
		v |= uint64(d.in[sectionTime1].byte()) << 8
		ok = ok && !d.in[sectionTime1].bad
	}
	if code >= 2 {
		v |= uint64(d.in[sectionTime2].byte()) << 16
		ok = ok && !d.in[sectionTime2].bad
	}
	if code == 3 {
		rest := d.in[sectionTimeRest].bytes(5)
		for i, b := range rest {
			v |= uint64(b) << (24 + 8*i)
		}
		ok = ok && rest != nil
	}
	d.prev += event.Time(unzigzag(v))
	return d.prev, ok
}

// lease fills in what an event of a lease says.
func (d *decoder) lease(s *shapeRead, ev *event.Event) bool {
	number := d.rowOf(s, ev.Time)
	if number < 0 || number >= len(d.rows) {
		return false
	}
	s.row, d.before = number, number
	r := &d.rows[number]
	l := &ev.Lease
	if s.flags&flagWhole != 0 {
		*l = d.ways[r.way].lease
		l.Owner = d.whos[r.who].owner
	} else {
		l.NetNS = d.ways[r.way].lease.NetNS
	}
	l.ID, l.Local = r.id, netip.AddrPortFrom(l.Local.Addr(), r.port)
	l.State, l.Substate, l.TimestampsSeen = s.state, s.substate, s.flags&flagTimestamps != 0
	ev.From, ev.Cause, ev.Correction = s.from, s.cause, s.correction
	if s.flags&flagAsker != 0 {
		by := &d.whos[r.who]
		ev.Thread, ev.SocketCgroup, ev.NamespaceRange = by.thread, by.cgroup, by.ports
	}
	return s.flags&(flagExpires|flagEntered|flagSearch|flagSuccessor) == 0 || d.optional(s, ev)
}

func (d *decoder) optional(s *shapeRead, ev *event.Event) bool {
	if s.flags&flagExpires != 0 {
		ev.Lease.Expires = d.in[sectionExpires].timer(ev.Time)
	}
	if s.flags&flagEntered != 0 {
		ev.Lease.Entered = d.in[sectionEntered].timer(ev.Time)
	}
	if s.flags&flagSearch != 0 {
		ev.SearchNanos = d.in[sectionSearch].uvarint()
	}
	if s.flags&flagSuccessor != 0 {
		in := &d.in[sectionSuccessor]
		ev.Successor.Cookie = ev.Lease.ID.Cookie + uint64(in.varint())
		ev.Successor.Born = ev.Time + event.Time(in.varint())
	}
	return !d.in[sectionExpires].bad && !d.in[sectionEntered].bad && !d.in[sectionSearch].bad && !d.in[sectionSuccessor].bad
}

// rowOf is the number of the next event's row, which may be a new one.
func (d *decoder) rowOf(s *shapeRead, at event.Time) int {
	ref := s.refs.uvarint()
	if s.refs.bad {
		return -1
	}
	if ref != 0 {
		return refFrom(ref, d.before, s.row)
	}
	way, who := d.in[sectionRowWays].uvarint(), d.in[sectionRowWhos].uvarint()
	if way >= uint64(len(d.ways)) || who >= uint64(len(d.whos)) {
		return -1
	}
	slot, distance := d.in[sectionRowSlots].byte(), d.in[sectionRowCookies].varint()
	r := row{way: uint32(way), who: uint32(who)}
	r.id.Cookie = d.guess.cookies(s.kind).decode(slot, distance)
	r.id.Born = d.guess.decodeBorn(s.kind, at, d.in[sectionRowBorn].varint())
	d.ports[way] += uint16(d.in[sectionRowPorts].byte()) | uint16(d.in[sectionRowPortsHigh].byte())<<8
	r.port = d.ports[way]
	for i := sectionRowSlots; i <= sectionRowPortsHigh; i++ {
		if d.in[i].bad {
			return -1
		}
	}
	d.rows = append(d.rows, r)
	return len(d.rows) - 1
}
