package aggregate

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// Ledger holds the leases that exist and what is remembered of those that
// ended. It is not safe for concurrent use.
type Ledger struct {
	opts Options

	index      map[event.LeaseID]uint32
	leases     slab[lease]
	accounts   accountTable
	owners     ownerTable
	namespaces namespaceTable
	failures   failureLog
	buckets    bucketTable
	pools      poolTable
	unknown    unknownTimeWait
	resync     resync
	departed   departures

	start    event.Start
	clock    Clock
	from     event.Time // of the stream
	now      event.Time // the newest event
	swept    event.Time // when retention was last enforced
	active   event.Time // the last allocation or failure
	refused  event.Time // the last refusal for want of ports
	events   ring       // all events but ticks, as "allocations"
	idleSeen event.Time // when all connections were last looked at for data; 0 if never
	complete bool
	losses   []Loss
	counters Counters

	version uint64 // grows with every event but ticks
	cache   cached
}

// New makes an empty ledger: its picture is incomplete until the first resync
// ends.
func New(o Options) *Ledger {
	l := &Ledger{opts: o.withDefaults(), index: make(map[event.LeaseID]uint32)}
	l.accounts.init()
	l.owners.init()
	l.namespaces.init()
	l.failures.init()
	l.buckets.init()
	l.pools.init()
	l.resync.init()
	return l
}

// Apply books one event. It keeps no reference to ev itself; what ev points at
// must not change afterwards. In steady state, when no table grows, it does not
// allocate.
func (l *Ledger) Apply(ev *event.Event) {
	l.advance(ev)
	if ev.Kind == event.KindTick {
		return
	}
	l.version++
	l.counters.Events++
	l.events.allocation(l.now)
	l.book(ev)
}

func (l *Ledger) book(ev *event.Event) {
	switch ev.Kind {
	case event.KindAllocate:
		l.allocate(ev)
	case event.KindState:
		l.changeState(ev)
	case event.KindTimeWait:
		l.timeWait(ev)
	case event.KindRelease:
		l.release(ev.Lease.ID, ev.Cause)
	case event.KindFailure:
		l.fail(ev)
	case event.KindCorrection:
		l.correct(ev)
	default:
		l.learn(ev)
	}
}

// learn books what is no lease's.
func (l *Ledger) learn(ev *event.Event) {
	switch ev.Kind {
	case event.KindLimits:
		l.setLimits(ev.Limits)
	case event.KindNetNS:
		l.setNamespace(ev.Namespace)
	case event.KindOwner:
		l.setProcess(ev.Process)
	case event.KindLost:
		l.lose(ev.Lost)
	case event.KindStart:
		l.begin(ev)
	case event.KindAccepted:
		l.setAccepted(ev.Accepted)
	case event.KindIdle:
		l.setIdle(ev)
	}
}

// advance moves event time forward, never back. A correction's time is that of
// the kernel's entry and says nothing about now.
func (l *Ledger) advance(ev *event.Event) {
	if ev.Kind == event.KindCorrection && ev.Correction == event.CorrectionHolds {
		return
	}
	if l.from == 0 {
		l.from, l.swept = ev.Time, ev.Time
	}
	if ev.Time <= l.now {
		return
	}
	l.now = ev.Time
	l.rollHistory()
	l.ripenDue()
	if l.now-l.swept >= event.Time(sweepEvery) {
		l.sweep(Retention)
	}
}

func (l *Ledger) begin(ev *event.Event) {
	if ev.Start == nil {
		return
	}
	l.start = *ev.Start
	l.from = ev.Time
	l.clock = ClockAt(ev.Time, ev.Start.WallNano)
}

// lose remembers a loss; nothing is complete before a resync that begins after
// it has ended.
func (l *Ledger) lose(lost *event.Lost) {
	if lost == nil {
		return
	}
	l.complete, l.resync.disturbed = false, true
	l.counters.LostEvents += lost.Count
	for i := range l.losses {
		known := &l.losses[i]
		if known.What == lost.What && known.Cause == lost.Cause && known.Errno == lost.Errno {
			known.Count += lost.Count
			return
		}
	}
	if len(l.losses) < maxLossKinds {
		l.losses = append(l.losses, Loss{What: lost.What, Cause: lost.Cause, Errno: lost.Errno, Count: lost.Count})
	}
}

// Clock turns the boot clock into wall time by the anchor of the stream's
// start. The zero Clock knows no anchor.
type Clock struct {
	wallAtBoot int64 // Unix nanoseconds at boot-clock zero
	known      bool
}

// ClockAt is the clock of a stream that began at t, when the wall clock showed
// wallNano Unix nanoseconds; 0 means that this is not known.
func ClockAt(t event.Time, wallNano int64) Clock {
	if wallNano == 0 {
		return Clock{}
	}
	return Clock{wallAtBoot: wallNano - int64(t), known: true}
}

// Wall is t in UTC, and false if t or the anchor is not known.
func (c Clock) Wall(t event.Time) (time.Time, bool) {
	if !c.known || t == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, c.wallAtBoot+int64(t)).UTC(), true
}
