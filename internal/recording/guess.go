package recording

import "github.com/portwatch/portwatch/internal/event"

// What follows guesses a value from those before it, the same way when a block
// is written and when it is read; only the distance is kept. Distances wrap, so
// that any value comes back.

// cookieGuess guesses cookies. The kernel gives them to each CPU in batches of
// 4,096, so that the next one of a batch is likely to be the last one plus 1.
type cookieGuess [256]uint64

const batchBits = 12

func (g *cookieGuess) encode(cookie uint64) (slot byte, distance int64) {
	slot = byte(cookie >> batchBits)
	distance = int64(cookie - g[slot])
	g[slot] = cookie
	return slot, distance
}

func (g *cookieGuess) decode(slot byte, distance int64) uint64 {
	g[slot] += uint64(distance)
	return g[slot]
}

// rowGuess guesses a new row's identity. What is allocated now is young: its
// cookie follows others of now, its birth is the event's time. What was there
// before the block follows others of its age.
type rowGuess struct {
	young, old cookieGuess
	born       event.Time // of the last old one
}

func (g *rowGuess) cookies(k event.Kind) *cookieGuess {
	if k == event.KindAllocate {
		return &g.young
	}
	return &g.old
}

func (g *rowGuess) encodeBorn(ev *event.Event) int64 {
	born := ev.Lease.ID.Born
	if ev.Kind == event.KindAllocate {
		return int64(ev.Time - born)
	}
	distance := int64(born - g.born)
	g.born = born
	return distance
}

func (g *rowGuess) decodeBorn(k event.Kind, at event.Time, distance int64) event.Time {
	if k == event.KindAllocate {
		return at - event.Time(distance)
	}
	g.born += event.Time(distance)
	return g.born
}

// refTo says which row an event is about: 0 is a new one, 1 that of the event
// before, the rest a distance from the row after the last one of its shape.
func refTo(row, before, ofShape int) uint64 {
	if row == before {
		return 1
	}
	return zigzag(int64(row-ofShape-1)) + 2
}

// refFrom is the row that refTo has encoded, for every ref but 0.
func refFrom(ref uint64, before, ofShape int) int {
	if ref == 1 {
		return before
	}
	return ofShape + 1 + int(unzigzag(ref-2))
}

// jiffy is what the distances of timers from now are multiples of, where HZ
// divides 1,000.
const jiffy = 1_000_000

// appendTimer appends a moment by its distance from the event's time: in
// jiffies, or, marked by a 0, in ns.
func appendTimer(dst []byte, at, moment event.Time) []byte {
	d := int64(moment - at)
	if d != 0 && d%jiffy == 0 {
		return appendVarint(dst, d/jiffy)
	}
	return appendVarint(append(dst, 0), d)
}

func (c *cursor) timer(at event.Time) event.Time {
	if d := c.varint(); d != 0 {
		return at + event.Time(d*jiffy)
	}
	return at + event.Time(c.varint())
}
