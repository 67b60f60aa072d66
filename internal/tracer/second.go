package tracer

import (
	"time"

	"go.uber.org/zap"

	"github.com/portwatch/portwatch/internal/event"
)

// everySecond does what is done once a second: the counters of losses and
// refusals, the settings of the active namespaces. A tick follows.
func (t *Tracer) everySecond() {
	now := time.Now()
	if now.Sub(t.second) < time.Second {
		return
	}
	t.second = now
	at := bootNow()
	t.tellLosses(at)
	if err := t.pollRefusals(at); err != nil {
		t.log.Warn("poll", zap.Error(err))
	}
	if err := t.accepted.tell(at, t.push); err != nil {
		t.log.Warn("poll", zap.Error(err))
	}
	t.watchTimers()
	if c := t.rings.countdown; c != nil {
		if err := c.tell(at, t.push); err != nil {
			t.log.Warn("countdown", zap.Error(err))
		}
	}
	t.spaces.poll(at, t.push)
	t.ticks = append(t.ticks, at)
}

// tellTicks tells of each second that is over, once everything that happened in
// it has been told: a reader that lags behind brings its ticks late.
func (t *Tracer) tellTicks() {
	for len(t.ticks) > 0 && t.rings.passed(t.ticks[0]) {
		t.push(event.Event{Kind: event.KindTick, Time: t.ticks[0]})
		t.ticks = t.ticks[:copy(t.ticks, t.ticks[1:])]
	}
}

// pollRefusals tells what the ring of alarms did not. What the ring holds goes
// first: an alarm names the thread, and has its place among the news.
func (t *Tracer) pollRefusals(at event.Time) error {
	if err := t.rings.readAlarms(); err != nil {
		return err
	}
	return t.rings.refusals.poll(at, t.push)
}

func (t *Tracer) tellLosses(at event.Time) {
	lost, err := t.losses.read()
	if err != nil {
		t.log.Warn("poll", zap.Error(err))
	}
	if n := t.rings.truncated; n > 0 {
		t.rings.truncated = 0
		lost = append(lost, event.Lost{What: "record", CPU: -1, Cause: event.LostTruncated, Count: n})
	}
	if n := t.names.dropped; n > 0 {
		t.names.dropped = 0
		lost = append(lost, event.Lost{What: "owner_name", CPU: -1, Cause: event.LostReader, Count: n})
	}
	for i := range lost {
		if heals(lost[i]) {
			t.rounds.wanted = true
			t.rounds.walker.lossAt.Store(uint64(at))
		}
		t.stats.lose(lost[i])
		t.push(event.Event{Kind: event.KindLost, Time: at, Lost: &lost[i]})
	}
}

// watchTimers gives the timer tracepoint up if the host stops more timers than
// that is worth. From there the countdown ends TIME_WAITs; a whole walk hands it
// those that wait already.
func (t *Tracer) watchTimers() {
	if t.options.ExactTimeWait || !t.probes.attached["pw_timer_cancel"] {
		return
	}
	timers, err := t.losses.sum(bpfPwDropPW_TIMERS)
	if err != nil {
		t.log.Warn("poll", zap.Error(err))
		return
	}
	rate := timers - t.timers
	t.timers = timers
	if rate <= t.timerLimit {
		return
	}
	if err := t.probes.detach("pw_timer_cancel"); err != nil {
		t.log.Warn("detach", zap.Error(err))
		return
	}
	t.log.Info("timer tracepoint given up", zap.Uint64("timers_per_second", rate))
	t.rings.countdown = newCountdown(t.probes)
	t.rounds.wanted = true
}
