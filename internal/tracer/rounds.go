package tracer

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/portwatch/portwatch/internal/event"
)

// The pace of walks: after a walk of cost c, the next one waits for
// c × auditRest, or c × healRest if something was lost, and at least
// shortestRest: 0.1 % and 1 % of a core.
const (
	auditRest    = 1000
	healRest     = 100
	shortestRest = 2 * time.Second
)

// rounds paces the walks and runs them in one goroutine.
type rounds struct {
	walker   *walker
	asks     chan bool // true: the walk is to be whole
	results  chan walkResult
	cancel   context.CancelFunc
	running  bool
	waiting  *walkResult // done, waits until the rings are drained past its end
	wanted   bool        // something was lost
	last     time.Time
	lastCost time.Duration
	rest     time.Duration // auditRest: tests have less patience
}

func newRounds(ctx context.Context, w *walker) rounds {
	ctx, cancel := context.WithCancel(ctx)
	r := rounds{
		walker: w, cancel: cancel, wanted: true, rest: auditRest,
		asks: make(chan bool), results: make(chan walkResult, 1),
	}
	go func() {
		defer close(r.results)
		for whole := range r.asks {
			r.results <- w.walk(ctx, whole)
		}
	}()
	return r
}

// Close ends the goroutine and waits for it.
func (r *rounds) Close() {
	r.cancel()
	close(r.asks)
	for range r.results {
	}
}

// due says whether a walk is to begin now, and whether a whole one.
func (r *rounds) due(now time.Time) (whole, due bool) {
	if r.running || r.waiting != nil {
		return false, false
	}
	if r.last.IsZero() {
		return true, true
	}
	rest := r.rest * r.lastCost
	if r.wanted {
		rest = healRest * r.lastCost
	}
	return r.wanted, now.Sub(r.last) >= max(rest, shortestRest)
}

// walkResults begins a walk if one is due, and hands on what one brought home
// once the rings are drained past its end.
func (t *Tracer) walkResults(ctx context.Context) {
	if whole, due := t.rounds.due(time.Now()); due && ctx.Err() == nil {
		t.beginWalk(whole)
	}
	select {
	case res, open := <-t.rounds.results:
		if open {
			t.rounds.running = false
			t.rounds.waiting = &res
		}
	default:
	}
	if res := t.rounds.waiting; res != nil && t.rings.passed(res.ended) {
		t.rounds.waiting = nil
		t.endWalk(res)
	}
}

func (t *Tracer) beginWalk(whole bool) {
	t.rounds.running = true
	if whole {
		t.rounds.wanted = false
		t.push(event.Event{Kind: event.KindCorrection, Correction: event.CorrectionBegin, Time: bootNow()})
	}
	t.rounds.asks <- whole
}

// endWalk tells what a walk brought home.
func (t *Tracer) endWalk(res *walkResult) {
	now := bootNow()
	t.spaces.learn(res.namespaces, now, t.push)
	t.spaces.poll(now, t.push)
	for i := range res.events {
		t.names.meet(&res.events[i].Lease.Owner)
		t.push(res.events[i])
	}
	for _, err := range res.errs {
		t.log.Warn("walk", zap.Error(err))
	}
	t.rounds.last, t.rounds.lastCost = time.Now(), res.cost
	if !res.whole {
		t.stats.drift.Add(uint64(len(res.events)))
	} else {
		t.endWhole(res)
	}
	for i := range res.idle {
		t.push(res.idle[i])
	}
}

// endWhole says that the picture is complete, unless something went wrong.
func (t *Tracer) endWhole(res *walkResult) {
	if len(res.errs) > 0 {
		t.rounds.wanted = true
		return
	}
	t.push(event.Event{Kind: event.KindCorrection, Correction: event.CorrectionEnd, Time: res.ended})
	if c := t.rings.countdown; c != nil {
		for i, tw := range res.waits {
			c.add(&res.events[i].Lease, tw)
		}
	}
	if err := t.probes.set("pw_armed", uint32(1)); err != nil {
		t.log.Warn("walk", zap.Error(err))
	}
}

// passed reports whether everything up to the moment has been read from the
// news.
func (r *rings) passed(at event.Time) bool {
	return r.newsTime >= at+slack || r.news.AvailableBytes() == 0 && bootNow() >= at+idleSlack
}
