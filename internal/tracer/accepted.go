package tracer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/portwatch/portwatch/internal/event"
)

// acceptedNews tells the counts of accepted sockets that have changed since they
// were told last.
type acceptedNews struct {
	counts *ebpf.Map
	told   map[bpfPwAcceptedKey]bpfPwAcceptedCount
}

func newAcceptedNews(p *probes) *acceptedNews {
	return &acceptedNews{counts: p.maps.Maps["pw_accepted"], told: map[bpfPwAcceptedKey]bpfPwAcceptedCount{}}
}

func (n *acceptedNews) tell(now event.Time, tell func(event.Event)) error {
	counts, err := readAccepted(n.counts)
	if err != nil {
		return err
	}
	for _, key := range slices.SortedFunc(maps.Keys(counts), compareAccepted) {
		count := counts[key]
		if told := n.told[key]; told.Live != count.Live || told.TimeWait != count.TimeWait {
			n.tellCount(key, count, now, tell)
		}
	}
	return nil
}

// tellPort tells the count of one port at once, whether it has changed or not:
// whose sockets they are can be seen only while the listener is there. Where
// sockets are bound to a device, the next second tells.
func (n *acceptedNews) tellPort(netns uint32, port uint16, now event.Time, tell func(event.Event)) {
	key := bpfPwAcceptedKey{Netns: netns, Port: port}
	var count bpfPwAcceptedCount
	if n.counts.Lookup(key, &count) == nil {
		n.tellCount(key, count, now, tell)
	}
}

func (n *acceptedNews) tellCount(key bpfPwAcceptedKey, count bpfPwAcceptedCount, now event.Time, tell func(event.Event)) {
	n.told[key] = count
	tell(event.Event{Kind: event.KindAccepted, Time: now, Accepted: &event.Accepted{
		NetNS: key.Netns, Device: key.Device, Port: key.Port,
		// One CPU may see the end of a socket before another its beginning.
		Live: int(max(count.Live, 0)), TimeWait: int(max(count.TimeWait, 0)),
	}})
}

func compareAccepted(a, b bpfPwAcceptedKey) int {
	return cmp.Or(cmp.Compare(a.Netns, b.Netns), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Device, b.Device))
}

// clearAccepted empties what the last namespace's walk counted.
func (w *walker) clearAccepted() error {
	m := w.probes.maps.Maps["pw_walked"]
	counts, err := readAccepted(m)
	if err != nil {
		return err
	}
	for key := range counts {
		if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("clear accepted sockets: %w", err)
		}
	}
	return nil
}

// settleAccepted corrects the counts of accepted sockets by what the walk of a
// namespace counted, listen port by listen port, unless a socket of the port
// came or went meanwhile: then the next walk will.
func (w *walker) settleAccepted() error {
	counted, err := readAccepted(w.probes.maps.Maps["pw_walked"])
	if err != nil {
		return err
	}
	m := w.probes.maps.Maps["pw_accepted"]
	for key, want := range counted {
		var have bpfPwAcceptedCount
		err := m.Lookup(key, &have)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("read accepted sockets: %w", err)
		}
		if have.Changes != w.acceptedChanges[key] || (have.Live == want.Live && have.TimeWait == want.TimeWait) {
			w.acceptedChanges[key] = have.Changes
			continue
		}
		want.Changes = have.Changes
		if err := m.Put(key, want); err != nil {
			return fmt.Errorf("correct accepted sockets: %w", err)
		}
	}
	return nil
}

func readAccepted(m *ebpf.Map) (map[bpfPwAcceptedKey]bpfPwAcceptedCount, error) {
	counts := map[bpfPwAcceptedKey]bpfPwAcceptedCount{}
	keys := make([]bpfPwAcceptedKey, 1024)
	vals := make([]bpfPwAcceptedCount, len(keys))
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, vals, nil)
		for i := range n {
			counts[keys[i]] = vals[i]
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return counts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read accepted sockets: %w", err)
		}
	}
}
