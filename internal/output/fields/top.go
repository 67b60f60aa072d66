package fields

import "github.com/portwatch/portwatch/internal/aggregate"

type snapshot = aggregate.Snapshot

// Top is the document portwatch.top/1: one frame of the live view.
var Top = newDocument("portwatch.top/1", "One frame of portwatch top.", answering(Summary), Object[snapshot]{
	rows("lost", "What did not reach the stream, by kind.", lossRow,
		func(s *snapshot) ([]loss, bool) { return s.Losses, true }),
	nest("ledger", "The ledger's totals since the start.", ledgerCounters,
		func(s *snapshot) *counters { return &s.Counters }),
	rows("namespaces", "The network namespaces, the most urgent first.", namespace,
		func(s *snapshot) ([]namespaceRow, bool) { return s.Namespaces, true }),
	rows("pools", "The pools of ports that are listed, the tightest first.", pool,
		func(s *snapshot) ([]poolRow, bool) { return s.Pools, true }),
	rows("owners", "Who holds ports, most ports first.", holding,
		func(s *snapshot) ([]ownerRow, bool) { return s.Owners, true }),
	requestRows("failures", "What was refused, newest first.", failure,
		func(s *snapshot) ([]failureRow, bool) { return s.Failures, true }),
})

// TopSheet is the table of owners for CSV, led by the frame's time.
var TopSheet = SheetOf(append(Object[ownerRow]{
	one("time", "", "The moment of the frame.", Time, func(c *Context, _ *ownerRow) Value { return Moment(c.Meta.At) }),
}, holding...))
