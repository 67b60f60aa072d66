package verify

import (
	"slices"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// Apart is the least time between two passes.
const Apart = time.Second

// Report is what came of a comparison.
type Report struct {
	// Listed is the sockets that the kernel listed in the second pass.
	Listed int
	// Checked is the sockets and leases that the second pass compared:
	// accepted sockets, half-open connections and what was born after the pass
	// had begun are none of them. Each was found alike, is a difference, or is
	// in flight.
	Checked int
	// Missing, Extra and StateDiffers count the differences by kind.
	Missing, Extra, StateDiffers int
	// InFlight is the sockets that the second pass found to differ, but not as
	// the first had, or with an event in between.
	InFlight int
	// Unattributed is the leases whose owner is not known.
	Unattributed int
	// BoundCompared is false where the kernel does not list sockets that are
	// bound and nothing else.
	BoundCompared bool
	Differences   []Difference // by kind, namespace, protocol and cookie
}

// Differ reports whether anything differs.
func (r *Report) Differ() bool { return len(r.Differences) > 0 }

// Verifier applies the rule of two passes. It is for one goroutine: the one that
// the ledger belongs to.
//
// The caller shows it every event before the ledger books it. When it likes, it
// lists the sockets and hands over the Picture; from then on Ready tells, tick by
// tick, when the ledger has been told everything up to that moment and Pass may
// be called.
type Verifier struct {
	ledger  *aggregate.Ledger
	picture *Picture
	began   event.Time // of the first picture
	// touched are the sockets that an event spoke of since.
	touched map[uint64]struct{}
	held    held
	first   map[Difference]struct{}
	passes  int

	compared bool // the picture was
	found    []Difference
	checked  int
}

// New makes a verifier for a ledger.
func New(l *aggregate.Ledger) *Verifier {
	return &Verifier{
		ledger: l, touched: map[uint64]struct{}{}, held: held{}, first: map[Difference]struct{}{},
	}
}

// Event notes which socket an event speaks of, and what the ledger says of it
// until then. The first news from after the picture are the moment to compare:
// what comes later is in the ledger, and not in the picture. If something from
// before is yet to come, it has come by the tick that [Verifier.Ready] waits for,
// and leaves its socket without a verdict.
func (v *Verifier) Event(ev *event.Event) {
	news := ev.Kind == event.KindAllocate || ev.Kind == event.KindState
	if news && v.picture != nil && ev.Time >= v.picture.Ended {
		v.compare()
	}
	id := ev.Lease.ID
	if id == (event.LeaseID{}) {
		return
	}
	v.touched[id.Cookie] = struct{}{}
	if v.picture != nil && !v.compared && ev.Time >= v.picture.Began {
		v.held.add(v.ledger, id)
	}
}

func (v *Verifier) compare() {
	if !v.compared {
		v.found, v.checked = compare(v.ledger, v.picture, v.held)
		v.compared = true
	}
}

// Due reports whether the next picture may be taken at a moment of the boot
// clock: no other is being compared, and the first is old enough.
func (v *Verifier) Due(now event.Time) bool {
	return v.picture == nil && (v.passes == 0 || now >= v.began+event.Time(Apart))
}

// Take begins a pass with a picture.
func (v *Verifier) Take(p *Picture) {
	if v.passes == 0 {
		v.began = p.Began
		clear(v.touched)
	}
	v.picture = p
	clear(v.held)
}

// Ready reports whether a tick proves that the ledger has been told everything
// that the picture shows.
func (v *Verifier) Ready(tick event.Time) bool { return v.picture != nil && tick >= v.picture.Ended }

// Pass ends a pass. After the second the report is there, and the next pass is a
// first one again.
func (v *Verifier) Pass() (r Report, done bool) {
	v.compare()
	bound, listed, found := v.picture.BoundListed, len(v.picture.Sockets), v.found
	v.picture, v.compared, v.found = nil, false, nil
	v.passes++
	if v.passes == 1 {
		for _, d := range found {
			v.first[d] = struct{}{}
		}
		return r, false
	}
	flying := map[uint64]struct{}{}
	r = Report{Listed: listed, Checked: v.checked, BoundCompared: bound, Unattributed: v.ledger.Snapshot(0).Unattributed}
	for _, d := range found {
		_, twice := v.first[d]
		_, touched := v.touched[d.Cookie]
		if !twice || touched {
			flying[d.Cookie] = struct{}{}
		} else {
			r.add(d)
		}
	}
	r.InFlight = len(flying)
	slices.SortFunc(r.Differences, order)
	v.passes = 0
	clear(v.first)
	clear(v.touched)
	return r, true
}

func (r *Report) add(d Difference) {
	switch d.Kind {
	case Missing:
		r.Missing++
	case Extra:
		r.Extra++
	case StateDiffers:
		r.StateDiffers++
	}
	r.Differences = append(r.Differences, d)
}
