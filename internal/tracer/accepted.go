package tracer

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

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
