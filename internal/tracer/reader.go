package tracer

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/portwatch/portwatch/internal/event"
)

const (
	// pause is how long the reader sleeps while nothing comes. It bounds the
	// age of what is shown, and costs ten wake-ups a second.
	pause = 100 * time.Millisecond
	// slack is how far the time of two records may run back against their
	// order in the rings (110 µs seen).
	slack = event.Time(1e6)
	// idleSlack is how old a held event must be if nothing follows it.
	idleSlack = event.Time(5e6)
	// maxHeld bounds what waits for its place in the order.
	maxHeld = 8192
)

// rings drains the two rings and merges them: an alarm is handed on when the
// news before it have been.
type rings struct {
	news, alarms *ringbuf.Reader
	decoder      decoder
	record       ringbuf.Record
	refusals     *refusals

	check *ebpf.Program // pw_check_tw
	// countdown ends TIME_WAITs; nil while the timer tracepoint does.
	countdown *countdown

	// follower is told next: what comes before it was found out from it.
	follower event.Event

	// held are alarms that wait for their place.
	held      []event.Event
	newsTime  event.Time // of the last record of the news
	truncated uint64     // records that could not be decoded
	records   uint64
}

func openRings(p *probes, d decoder) (*rings, error) {
	news, err := ringbuf.NewReader(p.maps.Maps["pw_news"])
	if err != nil {
		return nil, fmt.Errorf("open news ring: %w", err)
	}
	alarms, err := ringbuf.NewReader(p.maps.Maps["pw_alarms"])
	if err != nil {
		news.Close()
		return nil, fmt.Errorf("open alarm ring: %w", err)
	}
	return &rings{news: news, alarms: alarms, decoder: d, refusals: newRefusals(p), check: p.progs["pw_check_tw"]}, nil
}

func (r *rings) Close() error { return errors.Join(r.news.Close(), r.alarms.Close()) }

// read fills dst with what is there, waiting until deadline for the first
// event. It returns 0 if nothing came.
func (r *rings) read(dst []event.Event, deadline time.Time) (int, error) {
	if err := r.readAlarms(); err != nil {
		return 0, err
	}
	n, drained, err := r.readNews(dst, deadline)
	if err != nil {
		return n, err
	}
	return n + r.release(dst[n:], drained), nil
}

// readNews decodes news straight into dst. drained is true if the ring is
// empty.
func (r *rings) readNews(dst []event.Event, deadline time.Time) (n int, drained bool, err error) {
	r.news.SetDeadline(deadline)
	for n < len(dst) {
		if r.follower.Kind != 0 {
			dst[n], r.follower = r.follower, event.Event{}
			n++
			continue
		}
		if n > 0 && r.news.AvailableBytes() == 0 {
			return n, true, nil
		}
		err := r.news.ReadInto(&r.record)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ringbuf.ErrFlushed) {
			return n, true, nil
		}
		if err != nil {
			return n, false, fmt.Errorf("read news: %w", err)
		}
		r.records++
		if r.accept(&dst[n]) {
			n++
		}
	}
	return n, false, nil
}

// accept decodes the current record. It returns false if the event is held
// back or void.
func (r *rings) accept(ev *event.Event) bool {
	r.newsTime = max(r.newsTime, recordTime(r.record.RawSample))
	if r.decoder.decode(r.record.RawSample, ev) != nil {
		r.truncated++
		return false
	}
	if r.countdown != nil && ev.Kind == event.KindTimeWait {
		r.countdown.add(&ev.Lease, timeWaitAddr(r.record.RawSample))
	}
	if r.countdown != nil && ev.Kind == event.KindAllocate {
		if end, ok := r.countdown.takenOver(&ev.Lease); ok {
			*ev, r.follower = end, *ev
		}
	}
	if question, early := earlyEnd(r.record.RawSample); early {
		return r.hasEnded(question)
	}
	return true
}

// hasEnded asks whether a TIME_WAIT whose timer stopped before its time has
// ended. If it was renewed instead, a record of that is on its way; if it has
// ended and was told, nobody needs to hear it twice.
func (r *rings) hasEnded(question bpfPwCheck) bool {
	if _, err := r.check.Run(&ebpf.RunOptions{Context: &question, ContextOut: &question}); err != nil {
		r.truncated++ // the next audit finds out
		return false
	}
	return question.Dead != 0
}

// readAlarms moves the alarms that are there to the held events.
func (r *rings) readAlarms() error {
	if r.alarms.AvailableBytes() == 0 {
		return nil
	}
	r.alarms.SetDeadline(time.Unix(1, 0))
	for len(r.held) < maxHeld {
		err := r.alarms.ReadInto(&r.record)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ringbuf.ErrFlushed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read alarms: %w", err)
		}
		r.records++
		r.hold()
	}
	return nil
}

// hold decodes the current alarm and counts it once.
func (r *rings) hold() {
	var ev event.Event
	record, ok := copyRecord[bpfPwFailureRecord](r.record.RawSample)
	if !ok || r.decoder.decode(r.record.RawSample, &ev) != nil {
		r.truncated++
		return
	}
	ev.Failure.Count = r.refusals.settle(record.Key, record.Value.Count)
	if ev.Failure.Count > 0 {
		r.held = append(r.held, ev)
	}
}

// release hands on the held events whose time has come: those that the news
// have passed, or if there are none, those that are old enough.
func (r *rings) release(dst []event.Event, drained bool) int {
	if len(r.held) == 0 {
		return 0
	}
	now := bootNow()
	n, kept := 0, r.held[:0]
	for i := range r.held {
		ev := &r.held[i]
		due := ev.Time+slack <= r.newsTime || drained && ev.Time+idleSlack <= now
		if due && n < len(dst) {
			dst[n] = *ev
			n++
			continue
		}
		kept = append(kept, *ev)
	}
	clear(r.held[len(kept):])
	r.held = kept
	return n
}
