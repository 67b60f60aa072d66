package tracer

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf/btf"

	"github.com/portwatch/portwatch/internal/event"
)

// readRules reads from the kernel's types by which rules connect() skips ports.
// A release number would not tell: distributions port changes back.
func (s *Support) readRules() error {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return fmt.Errorf("read kernel types: %w", err)
	}
	var tw *btf.Struct
	if err := kernel.TypeByName("inet_timewait_sock", &tw); err != nil {
		return fmt.Errorf("read kernel types: %w", err)
	}
	// A mini-socket that remembers that its port came from connect() lets the
	// kernel forget who else had bound it (6.18).
	s.poison = event.PoisonUntilEmpty
	if hasMember(tw, "tw_connect_bind") {
		s.poison = event.PoisonWhileBound
	}
	// The function that reads a socket's own range says since 6.8 whether there
	// is one: connect() then goes through it in one pass.
	var reads *btf.Func
	err = kernel.TypeByName("inet_sk_get_local_port_range", &reads)
	if errors.Is(err, btf.ErrNotFound) {
		return nil // no range of a socket's own
	}
	if err != nil {
		return fmt.Errorf("read kernel types: %w", err)
	}
	if proto, ok := reads.Type.(*btf.FuncProto); ok {
		_, void := btf.UnderlyingType(proto.Return).(*btf.Void)
		s.ownRangeInOnePass = !void
	}
	return nil
}

func hasMember(s *btf.Struct, name string) bool {
	for i := range s.Members {
		if s.Members[i].Name == name {
			return true
		}
	}
	return false
}
