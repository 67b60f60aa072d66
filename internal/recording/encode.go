package recording

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"

	"github.com/portwatch/portwatch/internal/event"
)

// row is one lease as a block knows it.
type row struct {
	id   event.LeaseID
	way  uint32
	who  uint32
	port uint16
}

// encoder collects the events of one block.
type encoder struct {
	cols    columns
	events  int
	opened  event.Time // of the first event that has a time of its own
	first   event.Time // smallest of these
	last    event.Time // largest
	prev    event.Time // of the event before
	codes   byte       // of up to four times
	before  int        // row of the event before
	refused uint64
	given   uint64

	shapes shapeTable
	ways   dictionary[way]
	whos   dictionary[who]
	ports  []uint16 // the last one of each way
	rows   []row
	index  rowIndex
	guess  rowGuess

	pack    *zstd.Encoder
	payload []byte
	scratch []byte
}

func newEncoder() (*encoder, error) {
	pack, err := newPacker()
	if err != nil {
		return nil, err
	}
	e := &encoder{ways: newDictionary[way](), whos: newDictionary[who](), pack: pack}
	e.reset()
	return e, nil
}

func (e *encoder) reset() {
	e.cols.reset()
	e.events, e.opened, e.first, e.last, e.prev, e.codes, e.before = 0, 0, 0, 0, 0, 0, -1
	e.refused, e.given = 0, 0
	e.shapes.reset()
	e.ways.reset()
	e.whos.reset()
	e.ports, e.rows = e.ports[:0], e.rows[:0]
	e.index.reset()
	e.guess = rowGuess{}
}

// maxApart closes a block early whose events are large ones.
const maxApart = 4 << 20

// full reports whether a block is to be closed before ev is added.
func (e *encoder) full(ev *event.Event) bool {
	return e.events == maxEvents || len(e.cols[sectionApart]) > maxApart ||
		(timed(ev) && e.opened != 0 && ev.Time >= e.opened+maxSpan)
}

// timed reports whether the event says what time it is: a row of a resync bears
// the time of its socket.
func timed(ev *event.Event) bool {
	return ev.Kind != event.KindCorrection || ev.Correction != event.CorrectionHolds
}

func (e *encoder) add(ev *event.Event) {
	e.note(ev)
	s := shape{kind: ev.Kind}
	if carriesLease(ev) {
		e.addLease(ev, &s)
	} else {
		s.flags = flagApart
		e.setShape(&s)
		e.scratch = appendApart(e.scratch[:0], ev)
		e.cols[sectionApart] = append(binary.AppendUvarint(e.cols[sectionApart], uint64(len(e.scratch))), e.scratch...)
	}
	e.addTime(ev.Time)
	e.events++
}

// note keeps what the block's header says.
func (e *encoder) note(ev *event.Event) {
	switch {
	case ev.Kind == event.KindAllocate:
		e.given++
	case ev.Kind == event.KindFailure && ev.Failure != nil:
		e.refused += ev.Failure.Count
	}
	if !timed(ev) {
		return
	}
	if e.opened == 0 {
		e.opened, e.first = ev.Time, ev.Time
	}
	e.first, e.last = min(e.first, ev.Time), max(e.last, ev.Time)
}

// carriesLease reports whether the event is one of a lease and nothing else.
func carriesLease(ev *event.Event) bool {
	return ev.Lease.ID != event.LeaseID{} && ev.Failure == nil && ev.Limits == nil && ev.Namespace == nil &&
		ev.Process == nil && ev.Lost == nil && ev.Accepted == nil && ev.Start == nil && ev.Fork == nil && ev.IdleSince == 0
}

func (e *encoder) addLease(ev *event.Event, s *shape) {
	l := &ev.Lease
	s.from, s.state, s.substate, s.cause, s.correction = ev.From, l.State, l.Substate, ev.Cause, ev.Correction
	s.flags = e.flagsOf(ev)
	number, known := e.find(ev, s)
	ofShape := e.setShape(s)
	if known {
		ofShape.refs = binary.AppendUvarint(ofShape.refs, refTo(number, e.before, ofShape.row))
	} else {
		ofShape.refs = append(ofShape.refs, 0)
		number = e.addRow(ev)
	}
	ofShape.row, e.before = number, number
	if s.flags&flagExpires != 0 {
		e.cols[sectionExpires] = appendTimer(e.cols[sectionExpires], ev.Time, l.Expires)
	}
	if s.flags&flagEntered != 0 {
		e.cols[sectionEntered] = appendTimer(e.cols[sectionEntered], ev.Time, l.Entered)
	}
	if s.flags&flagSearch != 0 {
		e.cols[sectionSearch] = binary.AppendUvarint(e.cols[sectionSearch], ev.SearchNanos)
	}
	if s.flags&flagSuccessor != 0 {
		by := appendVarint(e.cols[sectionSuccessor], int64(ev.Successor.Cookie-l.ID.Cookie))
		e.cols[sectionSuccessor] = appendVarint(by, int64(ev.Successor.Born-ev.Time))
	}
}

func (e *encoder) flagsOf(ev *event.Event) (f shapeFlags) {
	l := &ev.Lease
	if asks(ev) {
		f |= flagAsker | flagWhole
	} else if !bare(l) {
		f |= flagWhole
	}
	if l.TimestampsSeen {
		f |= flagTimestamps
	}
	if l.Expires != 0 {
		f |= flagExpires
	}
	if l.Entered != 0 {
		f |= flagEntered
	}
	if ev.SearchNanos != 0 {
		f |= flagSearch
	}
	if ev.Successor != (event.LeaseID{}) {
		f |= flagSuccessor
	}
	return f
}

// bare reports whether a lease has nothing but what every event of it has.
func bare(l *event.Lease) bool {
	return l.Protocol == 0 && l.Family == 0 && l.Device == 0 && l.Origin == 0 && !l.Local.Addr().IsValid() &&
		l.Remote == noAddrPort && l.Range.IsZero() && l.Owner == event.Owner{} && !l.V6Only
}

// find looks for the row that says what the event says.
func (e *encoder) find(ev *event.Event, s *shape) (number int, known bool) {
	number, known = e.index.find(ev.Lease.ID, e.rows)
	if !known {
		return 0, false
	}
	r := &e.rows[number]
	if r.port != ev.Lease.Local.Port() {
		return 0, false
	}
	if s.flags&flagWhole == 0 {
		return number, e.ways.list[r.way].lease.NetNS == ev.Lease.NetNS
	}
	by := &e.whos.list[r.who]
	if by.owner != ev.Lease.Owner || (s.flags&flagAsker != 0 && *by != askerOf(ev)) {
		return 0, false
	}
	return number, e.ways.list[r.way] == wayOf(&ev.Lease)
}

func askerOf(ev *event.Event) who {
	return who{owner: ev.Lease.Owner, thread: ev.Thread, cgroup: ev.SocketCgroup, ports: ev.NamespaceRange}
}

// addRow makes the row of a lease that the block does not know, or knows
// otherwise.
func (e *encoder) addRow(ev *event.Event) int {
	l := &ev.Lease
	r := row{id: l.ID, way: e.wayNumber(wayOf(l)), who: e.whoNumber(askerOf(ev)), port: l.Local.Port()}
	slot, distance := e.guess.cookies(ev.Kind).encode(l.ID.Cookie)
	e.cols[sectionRowSlots] = append(e.cols[sectionRowSlots], slot)
	e.cols[sectionRowCookies] = appendVarint(e.cols[sectionRowCookies], distance)
	e.cols[sectionRowBorn] = appendVarint(e.cols[sectionRowBorn], e.guess.encodeBorn(ev))
	e.cols[sectionRowWays] = binary.AppendUvarint(e.cols[sectionRowWays], uint64(r.way))
	e.cols[sectionRowWhos] = binary.AppendUvarint(e.cols[sectionRowWhos], uint64(r.who))
	step := r.port - e.ports[r.way]
	e.ports[r.way] = r.port
	e.cols[sectionRowPorts] = append(e.cols[sectionRowPorts], byte(step))
	e.cols[sectionRowPortsHigh] = append(e.cols[sectionRowPortsHigh], byte(step>>8))
	e.rows = append(e.rows, r)
	e.index.put(r.id, len(e.rows)-1, e.rows)
	return len(e.rows) - 1
}

func (e *encoder) wayNumber(w way) uint32 {
	e.scratch = appendWay(e.scratch[:0], &w)
	n, known := e.ways.number(&w, e.scratch)
	if !known {
		e.ports = append(e.ports, 0)
		e.cols[sectionWays] = append(e.cols[sectionWays], e.scratch...)
	}
	return n
}

func (e *encoder) whoNumber(w who) uint32 {
	e.scratch = appendWho(e.scratch[:0], &w)
	n, known := e.whos.number(&w, e.scratch)
	if !known {
		e.cols[sectionWhos] = append(e.cols[sectionWhos], e.scratch...)
	}
	return n
}

// setShape notes the next event's shape.
func (e *encoder) setShape(s *shape) *shapeUse {
	n := e.shapes.number(s)
	e.cols[sectionShape] = append(e.cols[sectionShape], byte(n))
	e.cols[sectionShapeHigh] = append(e.cols[sectionShapeHigh], byte(n>>8))
	return &e.shapes.list[n]
}

// addTime notes the next event's time: 1, 2, 3 or 8 bytes.
func (e *encoder) addTime(t event.Time) {
	d := zigzag(int64(t - e.prev))
	e.prev = t
	code := byte(0)
	e.cols[sectionTime0] = append(e.cols[sectionTime0], byte(d))
	if d >= 1<<8 {
		code = 1
		e.cols[sectionTime1] = append(e.cols[sectionTime1], byte(d>>8))
	}
	if d >= 1<<16 {
		code = 2
		e.cols[sectionTime2] = append(e.cols[sectionTime2], byte(d>>16))
	}
	if d >= 1<<24 {
		code = 3
		e.cols[sectionTimeRest] = append(e.cols[sectionTimeRest], byte(d>>24), byte(d>>32), byte(d>>40), byte(d>>48), byte(d>>56))
	}
	shift := e.events % 4 * 2
	e.codes |= code << shift
	if shift == 6 {
		e.cols[sectionTimeCodes] = append(e.cols[sectionTimeCodes], e.codes)
		e.codes = 0
	}
}

// close returns the block's payload, which is valid until the next call, and
// empties the encoder.
func (e *encoder) close() (header, []byte) {
	h := header{
		kind: typeEvents, records: uint32(e.events), first: e.first, last: e.last,
		failures: uint32(min(e.refused, 1<<32-1)), allocations: uint32(e.given),
	}
	if e.events%4 != 0 {
		e.cols[sectionTimeCodes] = append(e.cols[sectionTimeCodes], e.codes)
	}
	if len(e.shapes.list) <= 256 {
		e.cols[sectionShapeHigh] = e.cols[sectionShapeHigh][:0]
	}
	for i := range e.shapes.list {
		use := &e.shapes.list[i]
		e.cols[sectionShapes] = appendShape(e.cols[sectionShapes], &use.shape)
		e.cols[sectionReferences] = binary.AppendUvarint(e.cols[sectionReferences], uint64(len(use.refs)))
	}
	for i := range e.shapes.list {
		e.cols[sectionReferences] = append(e.cols[sectionReferences], e.shapes.list[i].refs...)
	}
	e.payload, e.scratch = e.cols.appendSections(e.payload[:0], e.scratch, e.pack)
	e.reset()
	return h, e.payload
}
