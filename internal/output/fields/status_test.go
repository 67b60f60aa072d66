package fields

import (
	"strings"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
)

// pooled is a pool with what its notes speak of.
func pooled(change func(*aggregate.Pool)) aggregate.Pool {
	var p aggregate.Pool
	change(&p)
	return p
}

func TestPoolNotes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		pool   aggregate.Pool
		normal time.Duration
		want   string
	}{
		{"nothing to say", aggregate.Pool{}, 0, ""},
		{
			"what comes back", pooled(func(p *aggregate.Pool) { p.Forecast.Returning = [3]int{512, 8100, 25400} }), 0,
			"back in 10/30/60 s: 512 / 8,100 / 25,400",
		},
		{"what is on its way", pooled(func(p *aggregate.Pool) { p.SynSent = 1 }), 0, "1 connect without an answer yet"},
		{
			"a dear connect()", pooled(func(p *aggregate.Pool) { p.Search.P50 = 610 * time.Microsecond }), 13 * time.Microsecond,
			"connect() costs 0.61 ms, 47 times normal",
		},
		{
			"not twice as dear", pooled(func(p *aggregate.Pool) { p.Search.P50 = 19 * time.Microsecond }), 10 * time.Microsecond,
			"connect() costs 19 µs",
		},
		{
			"twice as dear", pooled(func(p *aggregate.Pool) { p.Search.P50 = 20 * time.Microsecond }), 10 * time.Microsecond,
			"connect() costs 20 µs, 2 times normal",
		},
		{"what is normal is not known", pooled(func(p *aggregate.Pool) { p.Search.P50 = time.Millisecond }), 0, "connect() costs 1.00 ms"},
		{
			"past the cliff", pooled(func(p *aggregate.Pool) { p.Cliff = aggregate.CliffPassed }), 0,
			"past the cliff: connect() scans half of the range in vain",
		},
	} {
		if got := strings.Join(PoolNotes(&tt.pool, tt.normal), "; "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestNormalSearch(t *testing.T) {
	search := func(cost time.Duration, cliff aggregate.Cliff) aggregate.Pool {
		return pooled(func(p *aggregate.Pool) { p.Search.P50, p.Cliff = cost, cliff })
	}
	pools := []aggregate.Pool{
		search(600*time.Microsecond, aggregate.CliffPassed), search(13*time.Microsecond, aggregate.CliffAhead),
		search(15*time.Microsecond, aggregate.CliffAhead), search(0, aggregate.CliffAhead), search(9*time.Microsecond, aggregate.CliffUnknown),
	}
	if got := NormalSearch(pools); got != 13*time.Microsecond {
		t.Errorf("%v, want the least before a cliff", got)
	}
	if got := NormalSearch(pools[:1]); got != 0 {
		t.Errorf("%v, want nothing known: the one pool is past its cliff", got)
	}
}
