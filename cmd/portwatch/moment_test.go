package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// clockOfDay is the extent of a recording from a wall time on.
func clockOfDay(tb testing.TB, from string, length time.Duration, zone string) extent {
	tb.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		tb.Fatal(err)
	}
	wall, err := time.Parse(time.RFC3339, from)
	if err != nil {
		tb.Fatal(err)
	}
	const first = event.Time(5000e9)
	return extent{
		first: first, last: first + event.Time(length), clock: aggregate.ClockAt(first, wall.UnixNano()), location: location,
		failure: func() (event.Time, error) { return first + 7e9, nil },
		worst:   func() (event.Time, error) { return 0, errors.New("worst: nothing was used") },
	}
}

func TestMoment(t *testing.T) {
	tests := []struct {
		word   string
		from   string
		length time.Duration
		zone   string
		want   float64 // seconds from the first event
		err    string
	}{
		{word: "start", want: 0},
		{word: "end", want: 600},
		{word: "+90s", want: 90},
		{word: "-5m", want: 300},
		{word: "-11m", err: "-11m is not in the recording, which goes from 2026-11-20 14:00:30 +00:00 to 2026-11-20 14:10:30 +00:00"},
		{word: "+soon", err: "no distance"},
		{word: "14:03", want: 150},
		{word: "14:03:05", want: 155},
		{word: "2026-11-20 14:03", want: 150},
		{word: "2026-11-20 14:03:05", want: 155},
		{word: "2026-11-20T14:03:05.5Z", want: 155.5},
		{word: "2026-11-20T16:03:05+02:00", want: 155},
		{word: "16:03", zone: "Europe/Helsinki", want: 150},
		{word: "14:00", err: "14:00 is not in the recording"},
		{word: "2026-11-21 14:03", err: "is not in the recording"},
		{word: "25:00", err: "no time: want 14:03"},
		{word: "first-failure", want: 7},
		{word: "worst", err: "nothing was used"},
		{word: "14:03", length: 25 * time.Hour, err: "14:03 is in the recording 2 times, first 2026-11-20 14:03:00 +00:00 and then 2026-11-21 14:03:00"},
		{word: "00:10", from: "2026-11-20T23:55:00Z", length: time.Hour, want: 900},
		// In Helsinki 03:30 came twice on 25 October 2026, and never on 29 March.
		{word: "03:30", from: "2026-10-25T00:00:00Z", length: 3 * time.Hour, zone: "Europe/Helsinki", err: "03:30 is in the recording 2 times"},
		{word: "03:30", from: "2026-03-29T00:00:00Z", length: 3 * time.Hour, zone: "Europe/Helsinki", err: "03:30 is not in the recording"},
	}
	for _, tt := range tests {
		t.Run(tt.word+" "+tt.from+tt.zone, func(t *testing.T) {
			if tt.from == "" {
				tt.from = "2026-11-20T14:00:30Z"
			}
			if tt.length == 0 {
				tt.length = 10 * time.Minute
			}
			x := clockOfDay(t, tt.from, tt.length, tt.zone)
			m, err := parseMoment(tt.word, x.location)
			var at event.Time
			if err == nil {
				at, err = m.in(x)
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("err = %v, want %q", err, tt.err)
				}
				return
			}
			if got := float64(at-x.first) / 1e9; err != nil || got != tt.want {
				t.Errorf("%v s, %v, want %v s", got, err, tt.want)
			}
		})
	}
}

// Without a clock there are distances only.
func TestMomentWithoutClock(t *testing.T) {
	x := extent{first: 10e9, last: 20e9, location: time.UTC}
	for _, word := range []string{"14:03", "2026-11-20 14:03"} {
		m, err := parseMoment(word, x.location)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.in(x); !errors.Is(err, errNoClock) {
			t.Errorf("%s: %v, want %v", word, err, errNoClock)
		}
	}
}
