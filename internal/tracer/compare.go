package tracer

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/portwatch/portwatch/internal/event"
)

// compareMaps reads both maps: it tells every lease if the walk is whole, and
// ends the entries without a socket. A full socket may be between two tables
// when the walk comes by, so it takes two walks to convict; a mini-socket can be
// asked.
func (w *walker) compareMaps(walked map[uint32]bool, res *walkResult) {
	clock, err := readClock(w.probes.progs["pw_read_clock"])
	if err != nil {
		res.note(err)
		return
	}
	maps := w.probes.maps.Maps
	next := map[uint64]suspect{}
	res.note(eachLease(maps["pw_leases"], func(key uint64, lease *bpfPwLease) error {
		res.entries++
		if w.missed(lease, walked, res.began) && w.convict(key, lease, next) {
			return w.bury(key, lease, res)
		}
		w.tell(lease, clock, res)
		w.idle.judge(lease, walked[lease.Netns], res.tellIdle)
		return nil
	}))
	w.idle.end(len(res.errs) == 0, res.tellIdle)
	w.suspects = next
	res.note(eachLease(maps["pw_timewait"], func(key uint64, lease *bpfPwLease) error {
		res.entries++
		if w.missed(lease, walked, res.began) {
			dead, err := w.ask(key, lease)
			if err != nil || dead {
				res.lose(lease)
				return err
			}
		}
		if w.tell(lease, clock, res) {
			res.waits[len(res.events)-1] = key
		}
		return nil
	}))
}

// convict reports whether the entry was a suspect already, and nothing happened
// to it since; else it is one now.
func (w *walker) convict(key uint64, lease *bpfPwLease, next map[uint64]suspect) bool {
	s := suspect{event.LeaseID{Cookie: lease.Cookie, Born: event.Time(lease.Born)}, event.Time(lease.Changed)}
	if w.suspects[key] == s {
		return true
	}
	next[key] = s
	return false
}

// ask looks at the mini-socket itself: its timer tells whether it lives.
func (w *walker) ask(key uint64, lease *bpfPwLease) (dead bool, err error) {
	question := bpfPwCheck{Tw: key, Cookie: lease.Cookie}
	if _, err := w.probes.progs["pw_check_tw"].Run(&ebpf.RunOptions{Context: &question, ContextOut: &question}); err != nil {
		return false, fmt.Errorf("run pw_check_tw: %w", err)
	}
	return question.Dead != 0, nil
}

// tell adds a lease to a resync, and reports whether that is what the walk is.
func (w *walker) tell(lease *bpfPwLease, clock bpfPwClock, res *walkResult) bool {
	if !res.whole || lease.LocalPort == 0 {
		return false
	}
	res.events = append(res.events, w.holds(lease, clock))
	return true
}

// lose tells that a lease has no socket any more.
func (r *walkResult) lose(lease *bpfPwLease) {
	ev := event.Event{Kind: event.KindCorrection, Correction: event.CorrectionGone, Time: bootNow(), Cause: event.CauseLost}
	toLease(lease, &ev.Lease)
	r.events = append(r.events, ev)
}

func (r *walkResult) tellIdle(ev event.Event) { r.idle = append(r.idle, ev) }

// holds is the correction that tells a lease as its map entry has it.
func (w *walker) holds(lease *bpfPwLease, clock bpfPwClock) event.Event {
	ev := event.Event{Kind: event.KindCorrection, Correction: event.CorrectionHolds, Time: event.Time(lease.Changed)}
	toLease(lease, &ev.Lease)
	if ev.Lease.State == event.StateTimeWait {
		tick, now := w.decode.tick, event.Time(clock.BootNs)
		ev.Lease.Expires = tick.dueTime(clock, lease.Expires, ev.Lease.Substate)
		ev.Lease.Entered = tick.enteredTime(now, uint32(clock.Jiffies), lease.Expires, ev.Lease.Substate)
	}
	return ev
}

// missed reports whether the walk went where the socket must be, and did not
// meet it. A port that is bound and nothing else may be on its way between two
// processes, where no table shows it: its end happens in a system call, and goes
// unseen only if something was lost since. A lease without a port is still being
// made.
func (w *walker) missed(lease *bpfPwLease, walked map[uint32]bool, began event.Time) bool {
	if lease.Word.Walk == w.number || !walked[lease.Netns] || lease.LocalPort == 0 {
		return false
	}
	if event.State(lease.Word.State) == event.StateBound && lease.Changed >= w.lossAt.Load() {
		return false
	}
	return event.Time(lease.Changed) < began && event.Time(lease.Born) < began
}

// bury ends an entry of pw_leases that has no socket.
func (w *walker) bury(key uint64, lease *bpfPwLease, res *walkResult) error {
	leases := w.probes.maps.Maps["pw_leases"]
	var now bpfPwLease
	if err := leases.Lookup(key, &now); err != nil || now.Changed != lease.Changed {
		return nil // it lives again, or has ended by itself
	}
	err := leases.Delete(key)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end lease: %w", err)
	}
	res.lose(lease)
	return nil
}

// eachLease reads a map in batches. Walking it key by key would, while it
// changes, show some keys twice and others never.
func eachLease(m *ebpf.Map, visit func(key uint64, lease *bpfPwLease) error) error {
	keys := make([]uint64, 4096)
	vals := make([]bpfPwLease, len(keys))
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, vals, nil)
		for i := range n {
			if err := visit(keys[i], &vals[i]); err != nil {
				return err
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read leases: %w", err)
		}
	}
}
