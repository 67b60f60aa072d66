package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// busyMinute is a random minute: ports are given, wait, come back and are
// refused, and the sockets are read again after a loss.
func busyMinute(seed uint64) []event.Event {
	r := rand.New(rand.NewPCG(seed, 11))
	owners := []event.Owner{process(10, "a"), process(20, "b"), process(30, "c")}
	events := outage()[:6]
	var live, waiting []event.Lease
	for now, cookie := 0.1, 0; now < 60; now += r.ExpFloat64() / 50 {
		switch pick := r.IntN(10); {
		case pick < 4 || len(live) == 0:
			cookie++
			l := connected(cookie, owners[r.IntN(3)])
			l.ID.Born = at(now)
			live = append(live, l)
			events = append(events, event.Event{Kind: event.KindAllocate, Time: at(now), Lease: l})
		case pick < 7:
			i := r.IntN(len(live))
			l := live[i]
			live = append(live[:i], live[i+1:]...)
			l.State, l.Substate, l.Expires = event.StateTimeWait, event.SubstateTimeWait, at(now+10)
			waiting = append(waiting, l)
			events = append(events, event.Event{Kind: event.KindTimeWait, Time: at(now - r.Float64()/1000), Lease: l})
		case pick < 9 && len(waiting) > 0:
			l := waiting[0]
			waiting = waiting[1:]
			events = append(events, event.Event{Kind: event.KindRelease, Time: at(now), Cause: event.CauseExpired, Lease: event.Lease{ID: l.ID, NetNS: l.NetNS}})
		default:
			events = append(events, event.Event{Kind: event.KindFailure, Time: at(now), Failure: &event.Failure{
				Operation: event.OperationConnect, Errno: event.EADDRNOTAVAIL, Reason: event.ReasonPoolExhausted, NetNS: hostNS,
				Protocol: event.TCP, Family: event.IPv4, Owner: owners[r.IntN(3)], Remote: connected(1, owners[0]).Remote,
				Count: 1, First: at(now), Last: at(now),
			}})
		}
		if r.IntN(100) == 0 {
			events = append(events, event.Event{Kind: event.KindTick, Time: at(now)})
		}
	}
	return append(events, event.Event{Kind: event.KindTick, Time: at(60)})
}

// picturesView remembers what status would say at each frame.
type picturesView struct {
	moments  []event.Time
	pictures [][]byte
}

func (v *picturesView) event(*aggregate.Record) error { return nil }

func (v *picturesView) frame(s *aggregate.Snapshot) error {
	v.moments = append(v.moments, s.At)
	v.pictures = append(v.pictures, statusOf(s))
	return nil
}

func statusOf(s *aggregate.Snapshot) []byte {
	return fields.Status.AppendJSON(nil, &fields.Context{Meta: &s.Meta, Location: time.UTC}, s)
}

// The picture of any moment of a recording is the one that was seen live.
func TestMomentOfARecordingIsTheLiveOne(t *testing.T) {
	for seed := range uint64(3) {
		file := filepath.Join(t.TempDir(), "minute.pwr")
		k, err := newKeeper(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		live := &picturesView{}
		a := app{stderr: io.Discard, kernel: tellingKernel(busyMinute(seed))}
		p := &pipeline{out: newOutbox(io.Discard), view: live, interval: time.Second, tap: k.keep}
		if _, _, err := a.observe(t.Context(), watchOptions{MaxLeases: 1000}, p); err != nil {
			t.Fatal(err)
		}
		if err := k.close(io.Discard); err != nil {
			t.Fatal(err)
		}
		if len(live.moments) < 50 {
			t.Fatalf("only %d moments", len(live.moments))
		}
		for i, at := range live.moments {
			o := readOptions{file: file, at: time.Unix(0, wallOf(at)).UTC().Format(time.RFC3339Nano), location: time.UTC}
			v := &picturesView{}
			again := &pipeline{out: newOutbox(io.Discard), view: v, interval: time.Hour}
			if _, _, err := a.observe(t.Context(), watchOptions{MaxLeases: 1000, Recording: o}, again); err != nil {
				t.Fatal(err)
			}
			if got := statusOf(again.ledger.Snapshot(again.now)); !bytes.Equal(got, live.pictures[i]) {
				t.Fatalf("seed %d, moment %d:\n%s\nwant\n%s", seed, i, got, live.pictures[i])
			}
		}
	}
}

// wallOf is the wall clock of the scripted host.
func wallOf(t event.Time) int64 { return startEvent().Start.WallNano + int64(t-at(0)) }
