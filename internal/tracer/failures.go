package tracer

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/portwatch/portwatch/internal/event"
)

// refusals makes exact totals of two sources: the ring tells some refusals at
// once, the map counts all of them. Each refusal has a running number under
// its key, so what was told is known, whichever of the two told it.
type refusals struct {
	maps [2]*ebpf.Map // pw_failures, pw_folded
	told map[bpfPwFailureKey]uint64
	keys []bpfPwFailureKey
	vals []bpfPwFailure
}

// quiet is how long a key must rest before its entry is taken out.
const quiet = event.Time(60e9)

func newRefusals(p *probes) *refusals {
	return &refusals{
		maps: [2]*ebpf.Map{p.maps.Maps["pw_failures"], p.maps.Maps["pw_folded"]},
		told: map[bpfPwFailureKey]uint64{},
		keys: make([]bpfPwFailureKey, 512),
		vals: make([]bpfPwFailure, 512),
	}
}

// settle turns the running number of an alarm into what it adds to the total;
// 0 if a poll was faster.
func (r *refusals) settle(key bpfPwFailureKey, number uint64) uint64 {
	told := r.told[key]
	if number <= told {
		return 0
	}
	r.told[key] = number
	return number - told
}

// poll reads the maps and tells what the ring did not.
func (r *refusals) poll(now event.Time, tell func(event.Event)) error {
	for _, m := range r.maps {
		if err := r.pollMap(m, now, tell); err != nil {
			return err
		}
	}
	return nil
}

func (r *refusals) pollMap(m *ebpf.Map, now event.Time, tell func(event.Event)) error {
	var cursor ebpf.MapBatchCursor
	var idle []bpfPwFailureKey
	for {
		n, err := m.BatchLookup(&cursor, r.keys, r.vals, nil)
		for i := range n {
			key, val := r.keys[i], r.vals[i]
			if add := r.settle(key, val.Count); add > 0 {
				tell(failureEvent(&key, &val, add))
			} else if event.Time(val.Last)+quiet < now {
				idle = append(idle, key)
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			break
		}
		if err != nil {
			return fmt.Errorf("read refusals: %w", err)
		}
	}
	return r.retire(m, idle, tell)
}

func failureEvent(key *bpfPwFailureKey, val *bpfPwFailure, add uint64) event.Event {
	f := toFailure(key, val)
	f.Count = add
	return event.Event{
		Kind:           event.KindFailure,
		Time:           f.Last,
		Failure:        f,
		NamespaceRange: event.PortRange{Low: val.NetLow, High: val.NetHigh},
	}
}

// retire makes room. The entry is read as it is deleted, so that a refusal
// that came in between still counts.
func (r *refusals) retire(m *ebpf.Map, idle []bpfPwFailureKey, tell func(event.Event)) error {
	for _, key := range idle {
		var val bpfPwFailure
		err := m.LookupAndDelete(key, &val)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("retire refusals: %w", err)
		}
		if add := r.settle(key, val.Count); add > 0 {
			tell(failureEvent(&key, &val, add))
		}
		delete(r.told, key)
	}
	return nil
}
