package tracer

import (
	"time"

	"go.uber.org/zap"

	"github.com/portwatch/portwatch/internal/event"
)

// everySecond does what is done once a second: the counters of losses and
// refusals, the settings of the active namespaces, and the tick.
func (t *Tracer) everySecond() {
	now := time.Now()
	if now.Sub(t.second) < time.Second {
		return
	}
	t.second = now
	at := bootNow()
	t.tellLosses(at)
	if err := t.rings.refusals.poll(at, t.push); err != nil {
		t.log.Warn("poll", zap.Error(err))
	}
	t.spaces.poll(at, t.push)
	t.push(event.Event{Kind: event.KindTick, Time: at})
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
		}
		t.stats.lose(lost[i])
		t.push(event.Event{Kind: event.KindLost, Time: at, Lost: &lost[i]})
	}
}
