package fields

import (
	"slices"
	"strings"

	"github.com/portwatch/portwatch/internal/aggregate"
)

type (
	blame      = aggregate.Blame
	culpritRow = aggregate.Culprit
)

// Blame is the document portwatch.blame/1.
var Blame = newDocument("portwatch.blame/1", "Who holds the ports, who was refused, and what helps.",
	answering(BlameSummary), blameFields)

var blameFields = Object[blame]{
	one("allocations", "allocations", "Ports that the kernel gave while it was watched.", Integer,
		func(c *Context, b *blame) Value { return ofRequests(c, Count(b.Allocations)) }),
	one("attempts", "attempts", "These, and the requests that were refused for want of ports.", Integer,
		func(c *Context, b *blame) Value { return ofRequests(c, Count(b.Attempts)) }),
	one("peak_time", "", "When the tightest pool was at its worst.", Time, func(_ *Context, b *blame) Value {
		if b.Peak == nil {
			return Value{}
		}
		return Moment(b.Peak.At)
	}),
	nest("peak", "The tightest pool at that moment, as far as it was looked at: once a second while it refuses, else every 6 s.", pool,
		func(b *blame) *poolRow {
			if b.Peak == nil {
				return nil
			}
			return &b.Peak.Pool
		}),
	rows("culprits", "Who holds ports of the tightest pools, or a port that was asked for.", culprit,
		func(b *blame) ([]culpritRow, bool) { return b.Culprits, true }),
	requestRows("victims", "Who was refused, the first in front.", victim,
		func(b *blame) ([]victimRow, bool) { return b.Victims, true }),
	requestRows("failures", "What was refused, newest first.", failure,
		func(b *blame) ([]failureRow, bool) { return b.Refused, true }),
	rows("pools", "The pools that were looked into, the tightest first.", pool,
		func(b *blame) ([]poolRow, bool) { return b.Tight, true }),
}

// BlameSummary is the answer in one sentence, about what is shown.
func BlameSummary(c *Context, b *blame) string {
	if b.Snapshot == nil {
		return ""
	}
	return Summary(c, b.Shown())
}

// culprit is who holds ports that others want.
var culprit = Object[culpritRow]{
	one("pool", "", "The id of the pool; null where a port was asked for by its number.", String,
		func(_ *Context, p *culpritRow) Value {
			if p.Pool == nil {
				return Value{}
			}
			return Text(poolID(&p.Pool.PoolKey))
		}),
	one("port", "", "The port that was asked for, if one was.", Integer, func(_ *Context, p *culpritRow) Value {
		if p.Pool != nil || p.Lease == nil {
			return Value{}
		}
		return Port(p.Lease.Local)
	}),
	nest("owner", "Who holds them.", owner, func(p *culpritRow) *ownerInfo { return p.Owner }),
	ownField(func(p *culpritRow) *ownerInfo { return p.Owner }),
	one("ports", "ports", "Of the pool's ports in use, or of those who have the port.", Integer,
		func(_ *Context, p *culpritRow) Value { return Count(uint64(p.Ports)) }),
	one("time_wait", "ports", "Of those, in TIME_WAIT.", Integer, func(_ *Context, p *culpritRow) Value { return Count(uint64(p.TimeWait)) }),
	one("poisoned", "ports", "Ports of the range that connect() skips because the owner bound them.", Integer,
		func(_ *Context, p *culpritRow) Value { return Count(uint64(p.Poisoned)) }),
	one("share", "", "Of all the pool's ports in use.", Real, func(_ *Context, p *culpritRow) Value {
		if share, ok := p.Share(); ok {
			return Number(share)
		}
		return Value{}
	}),
	one("allocations", "allocations", "Ports that the owner was given from the pool.", Integer,
		ofPool(func(p *culpritRow) uint64 { return p.Allocations })),
	one("attempts", "attempts", "These, and its requests that the pool could not meet.", Integer,
		ofPool(func(p *culpritRow) uint64 { return p.Attempts })),
	one("since", "", "When it was first seen in the pool, or took the port.", Time,
		func(_ *Context, p *culpritRow) Value { return Moment(p.Since) }),
	wordsOf("diagnoses", "Patterns in how it uses the ports; none is none of those that are known.",
		func(_ *Context, p *culpritRow) []string {
			found := make([]string, len(p.Diagnoses))
			for i, d := range p.Diagnoses {
				found[i] = string(d)
			}
			return found
		}),
	rows("evidence", "The numbers that diagnoses rest on, those that hold and those that do not.", fact,
		func(p *culpritRow) ([]aggregate.Fact, bool) { return p.Evidence, true }),
	rows("remedies", "What helps, soonest and with least risk first, each by itself. What needs no particular owner stands with the pool's first culprit.",
		remedy, func(p *culpritRow) ([]remedyRow, bool) { return remediesOf(p), true }),
}

// ofPool is a count of requests that only a pool's owner has.
func ofPool(get func(*culpritRow) uint64) func(*Context, *culpritRow) Value {
	return func(c *Context, p *culpritRow) Value {
		if p.Pool == nil {
			return Value{}
		}
		return ofRequests(c, Count(get(p)))
	}
}

func remediesOf(p *culpritRow) []remedyRow {
	all := make([]remedyRow, len(p.Remedies))
	for i := range p.Remedies {
		all[i] = remedyRow{&p.Remedies[i], p}
	}
	return all
}

var fact = Object[aggregate.Fact]{
	one("fact", "", "What was measured.", String, func(_ *Context, f *aggregate.Fact) Value { return Text(f.Name) }),
	one("value", "", "How much it was.", Real, func(_ *Context, f *aggregate.Fact) Value { return Number(f.Value) }),
	one("unit", "", "Of the value; null for a ratio.", String, func(_ *Context, f *aggregate.Fact) Value { return Text(f.Unit) }),
}

// BlameSheet is the table of culprits for CSV, led by the document's time.
var BlameSheet = SheetOf(append(Object[culpritRow]{
	one("time", "", "The moment of the answer.", Time, func(c *Context, _ *culpritRow) Value { return Moment(c.Meta.At) }),
}, culprit...))

// CulpritColumns are the table of culprits; wide has all of them, else a column
// that says nothing is left out.
func CulpritColumns(c *Context, b *aggregate.Blame, wide bool) []Column[culpritRow] {
	all := []Column[culpritRow]{
		{Header: "HELD BY", Value: func(_ *Context, p *culpritRow) Value { return processWord(p.Owner) }},
		numbers("PORTS", culprit.Named("ports")),
		numbers("TIME_WAIT", culprit.Named("time_wait")),
		{Header: "SHARE %", Right: true, Value: func(_ *Context, p *culpritRow) Value {
			if share, ok := p.Share(); ok {
				return Number(100 * share)
			}
			return Value{}
		}},
		numbers("POISONED", culprit.Named("poisoned")),
		{Header: "PATTERN", Value: func(_ *Context, p *culpritRow) Value { return Text(pattern(p)) }},
		{Header: "POOL", Value: func(_ *Context, p *culpritRow) Value { return heldWord(p) }},
	}
	all = withOwn(c, all, culprit.Named("of_command"))
	poisons := func(p aggregate.Culprit) bool { return p.Poisoned > 0 }
	if !wide && !slices.ContainsFunc(b.Culprits, poisons) {
		all = slices.DeleteFunc(all, func(c Column[culpritRow]) bool { return c.Header == "POISONED" })
	}
	if wide {
		all = append(all, numbers("ALLOCATIONS", culprit.Named("allocations")), numbers("ATTEMPTS", culprit.Named("attempts")),
			Column[culpritRow]{Header: "SINCE", Value: culprit.Named("since").value},
			Column[culpritRow]{Header: "WHERE", Value: func(_ *Context, p *culpritRow) Value { return Text(Where(p.Owner)) }})
	}
	return all
}

func pattern(p *culpritRow) string {
	words := make([]string, len(p.Diagnoses))
	for i, d := range p.Diagnoses {
		words[i] = string(d)
	}
	return orWord(strings.Join(words, ","), "no pattern")
}

// heldWord is the pool, or the port.
func heldWord(p *culpritRow) Value {
	if p.Pool != nil {
		return Text(poolWord(&p.Pool.PoolKey))
	}
	if p.Lease == nil {
		return Value{}
	}
	return Text("port " + p.Lease.Local.String())
}

// RemedyRow is a remedy in a table.
type RemedyRow = remedyRow

// Remedies are those of all culprits, in their order.
func Remedies(b *aggregate.Blame) []RemedyRow {
	var all []remedyRow
	for i := range b.Culprits {
		all = append(all, remediesOf(&b.Culprits[i])...)
	}
	return all
}

// RemedyColumns are the table of what helps.
func RemedyColumns() []Column[RemedyRow] {
	return []Column[RemedyRow]{
		{Header: "WHAT HELPS", Value: remedy.Named("id").value},
		{Header: "HEADROOM", Right: true, Value: remedy.Named("headroom_after").value},
		{Header: "USED %", Right: true, Value: func(_ *Context, r *remedyRow) Value {
			if r.Effect == nil {
				return Value{}
			}
			return Number(100 * r.Effect.UsedRatio())
		}},
		{Header: "BEARS/s", Right: true, Value: bears},
		{Header: "IN", Right: true, Value: func(_ *Context, r *remedyRow) Value { return Text(aSpan(r.In)) }},
		{Header: "WHERE", Value: remedy.Named("where").value},
		{Header: "FOR", Value: func(_ *Context, r *remedyRow) Value { return heldWord(r.culprit) }},
	}
}

// boundless is the rate from which on ports are no bound: the kernel opens no
// connections faster.
const boundless = 100_000

// bears is the rate that a pool bears after a remedy.
func bears(_ *Context, r *remedyRow) Value {
	switch {
	case r.Effect == nil || r.Effect.Sustainable == 0:
		return Value{}
	case r.Effect.Sustainable > boundless:
		return Text(">" + grouped(boundless))
	}
	return Number(r.Effect.Sustainable)
}
