package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// moment is a word for a time in a recording.
type moment struct {
	word   string
	anchor anchor
	offset time.Duration // from the start, or from the end
	wall   time.Time     // anchorWall; of anchorClock only the clock's time
}

// anchor is what a moment hangs on.
type anchor int

const (
	anchorStart anchor = iota
	anchorEnd
	anchorWall
	anchorClock
	anchorFailure
	anchorWorst
)

var namedAnchors = map[string]anchor{
	"start": anchorStart, "end": anchorEnd, "first-failure": anchorFailure, "worst": anchorWorst,
}

// extent is what a recording says of its times. What has to be searched for is
// asked for only if a word needs it.
type extent struct {
	first, last event.Time
	clock       aggregate.Clock
	location    *time.Location
	failure     func() (event.Time, error)
	worst       func() (event.Time, error)
}

// parseMoment reads a word without a zone as of the location.
func parseMoment(word string, location *time.Location) (moment, error) {
	m := moment{word: word}
	if named, known := namedAnchors[word]; known {
		m.anchor = named
		return m, nil
	}
	if strings.HasPrefix(word, "+") || strings.HasPrefix(word, "-") {
		d, err := time.ParseDuration(word)
		if err != nil {
			return m, fmt.Errorf("%q: no distance: want +90s from the start or -5m from the end", word)
		}
		if m.offset = d; word[0] == '-' {
			m.anchor = anchorEnd
		}
		return m, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, word, location); err == nil {
			m.anchor, m.wall = anchorWall, t
			return m, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, word); err == nil {
			m.anchor, m.wall = anchorClock, t
			return m, nil
		}
	}
	return m, fmt.Errorf("%q: no time: want 14:03, \"2026-11-20 14:03:05\", RFC 3339, +90s, -5m, start, end, worst or first-failure", word)
}

// in is the moment in a recording.
func (m moment) in(x extent) (event.Time, error) {
	var at event.Time
	var err error
	switch m.anchor {
	case anchorStart:
		at = x.first + event.Time(m.offset)
	case anchorEnd:
		at = x.last + event.Time(m.offset)
	case anchorFailure:
		return x.failure()
	case anchorWorst:
		return x.worst()
	case anchorWall:
		at, err = x.boot(m.wall)
	case anchorClock:
		return m.clockTime(x)
	}
	if err == nil && (at < x.first || at > x.last) {
		err = fmt.Errorf("%s is not in the recording, which goes %s", m.word, x.words())
	}
	return at, err
}

// clockTime looks for the one day on which the recording holds the time.
func (m moment) clockTime(x extent) (event.Time, error) {
	first, known := x.clock.Wall(x.first)
	if !known {
		return 0, errNoClock
	}
	var found []event.Time
	last, _ := x.clock.Wall(x.last)
	for day := first.In(x.location).AddDate(0, 0, -1); !day.After(last.AddDate(0, 0, 1)); day = day.AddDate(0, 0, 1) {
		for _, t := range m.onDay(day) {
			if at, err := x.boot(t); err == nil && at >= x.first && at <= x.last {
				found = append(found, at)
			}
		}
	}
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("%s is not in the recording, which goes %s", m.word, x.words())
	case 1:
		return found[0], nil
	}
	return 0, fmt.Errorf("%s is in the recording %d times, first %s and then %s: say which, as RFC 3339",
		m.word, len(found), x.wallWords(found[0]), x.wallWords(found[1]))
}

// onDay is the moments of a day at which the clock showed the time: two where it
// was set back in between, none where it was set past it.
func (m moment) onDay(day time.Time) []time.Time {
	t := time.Date(day.Year(), day.Month(), day.Day(), m.wall.Hour(), m.wall.Minute(), m.wall.Second(), 0, day.Location())
	var shown []time.Time
	for _, shift := range []time.Duration{-time.Hour, 0, time.Hour} {
		if c := t.Add(shift); c.Hour() == m.wall.Hour() && c.Minute() == m.wall.Minute() && c.Day() == day.Day() {
			shown = append(shown, c)
		}
	}
	return shown
}

var errNoClock = fmt.Errorf("the start of the recording is damaged, and its clock with it: want +90s or -5m")

// boot is a wall time on the clock of events.
func (x extent) boot(t time.Time) (event.Time, error) {
	first, known := x.clock.Wall(x.first)
	if !known {
		return 0, errNoClock
	}
	return x.first + event.Time(t.Sub(first)), nil
}

func (x extent) words() string { return "from " + x.wallWords(x.first) + " to " + x.wallWords(x.last) }

func (x extent) wallWords(t event.Time) string {
	wall, known := x.clock.Wall(t)
	if !known {
		return fmt.Sprintf("%.3f s after boot", float64(t)/1e9)
	}
	return wall.In(x.location).Format("2006-01-02 15:04:05 -07:00")
}
