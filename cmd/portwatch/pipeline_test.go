package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
)

// framesView remembers the moments of frames.
type framesView struct {
	moments []float64
	events  int
}

func (v *framesView) event(*aggregate.Record) error { v.events++; return nil }

func (v *framesView) frame(s *aggregate.Snapshot) error {
	v.moments = append(v.moments, float64(s.At-at(0))/1e9)
	return nil
}

func TestFramesFollowEventTime(t *testing.T) {
	tests := []struct {
		name     string
		times    []float64
		interval time.Duration
		length   time.Duration
		want     []float64
	}{
		{"one per interval", []float64{0, 0.5, 1, 1.5, 2}, time.Second, 0, []float64{1, 2}},
		{"late events do not shift the next frame", []float64{0, 1.2, 2.1}, time.Second, 0, []float64{1, 2}},
		{"a gap is one frame", []float64{0, 10.5, 11}, time.Second, 0, []float64{10, 11}},
		{"a step back is none", []float64{0, 1, 0.999, 1.5}, time.Second, 0, []float64{1}},
		{"the length ends it", []float64{0, 1, 2, 3, 4}, time.Second, 2 * time.Second, []float64{1, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var events []event.Event
			for _, s := range tt.times {
				events = append(events, event.Event{Kind: event.KindTick, Time: at(s)})
			}
			v := &framesView{}
			p := pipeline{
				source: &script{events: events}, ledger: aggregate.New(aggregate.Options{}), view: v,
				out: newOutbox(io.Discard), interval: tt.interval, length: tt.length,
			}
			if err := errors.Join(p.run(t.Context()), p.out.close(t.Context())); err != nil {
				t.Fatal(err)
			}
			if len(v.moments) != len(tt.want) {
				t.Fatalf("frames at %v, want %v", v.moments, tt.want)
			}
			for i, want := range tt.want {
				if diff := v.moments[i] - want; diff < -1e-6 || diff > 1e-6 {
					t.Errorf("frame %d at %v, want %v", i, v.moments[i], want)
				}
			}
		})
	}
}

func TestOutboxKeepsOrder(t *testing.T) {
	var got bytes.Buffer
	out := newOutbox(&got)
	var want []string
	for i := range 10 * outboxBuffers {
		word := strings.Repeat("x", i)
		want = append(want, word)
		if _, err := io.WriteString(out, word+"\n"); err != nil {
			t.Fatal(err)
		}
		if err := out.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSuffix(got.String(), "\n"), "\n"); !slices.Equal(lines, want) {
		t.Errorf("got %d lines in another order than the %d written", len(lines), len(want))
	}
}

func TestOutboxNeverHangsOnABrokenReader(t *testing.T) {
	out := newOutbox(closedPipe{})
	var err error
	for range 10 * outboxBuffers {
		if _, werr := io.WriteString(out, "x"); werr != nil {
			t.Fatal(werr)
		}
		if err = out.flush(t.Context()); err != nil {
			break
		}
	}
	if closeErr := out.close(t.Context()); closeErr == nil {
		t.Errorf("close after %v = nil, want the reader's error", err)
	}
}

// TestEventsOnATerminal checks the short form: failures and rates.
func TestEventsOnATerminal(t *testing.T) {
	var got bytes.Buffer
	flags := newStreamFlags("table")
	flags.utc = true
	out := newOutbox(&got)
	v := &eventsView{
		flags: flags, filter: &filter{filterFlags: flags.filter}, out: out, brief: true,
		table: text.Table[aggregate.Record]{Columns: fields.EventColumns()},
	}
	p := pipeline{source: &script{events: outage()}, ledger: aggregate.New(aggregate.Options{}), view: v, out: out, interval: 2 * time.Second}
	if err := errors.Join(p.run(t.Context()), out.close(t.Context())); err != nil {
		t.Fatal(err)
	}
	want := `09:14:02 +00:00   try 750.0/s   fail 0.0/s   leases 1,500   TIME_WAIT 0   lost 0
TIME         KIND       PROCESS          NETNS    LOCAL                 REMOTE                DETAIL
09:14:02.400 failure    nginx[977]       host     10.20.3.17:*          10.0.0.5:443          connect EADDRNOTAVAIL, pool_exhausted, 40 times
09:14:03.500 lost       -                -        -                     -                     3 news, ring
09:14:04 +00:00   try 385.2/s   fail 10.0/s   leases 1,501   TIME_WAIT 1,401   lost 3
`
	if got.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", got.String(), want)
	}
}

// A reader of stdout that hangs does not keep the command from ending.
func TestStuckReaderDoesNotHoldUpTheEnd(t *testing.T) {
	stuck, writer := io.Pipe()
	defer stuck.Close()
	ctx, stop := context.WithCancel(t.Context())
	out := newOutbox(writer)
	ended := make(chan error)
	go func() {
		var err error
		for err == nil { // until every buffer waits for the reader
			fmt.Fprintln(out, "a line that nobody reads")
			err = out.flush(ctx)
		}
		ended <- errors.Join(err, out.close(ctx))
	}()
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v, want %v", err, context.Canceled)
	}
}
