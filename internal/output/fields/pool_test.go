package fields

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// tightPool has three of its four ports in use.
func tightPool() aggregate.Pool {
	return aggregate.Pool{
		PoolKey: aggregate.PoolKey{
			Request: aggregate.RequestConnect, NetNS: 7, Protocol: event.TCP, Family: event.IPv4,
			Local: netip.MustParseAddr("10.0.0.1"), Remote: netip.MustParseAddrPort("10.0.0.5:443"),
			Range: event.PortRange{Low: 40000, High: 40004},
		},
		Capacity: 4, Poisoned: 1, PoisonKnown: true,
		InUse: 3, TimeWait: 2, Reusable: 1, HeadroomLow: 1, UsedHigh: 0.75, Cliff: aggregate.CliffAhead,
		Life: aggregate.Spread{P50: time.Second, P95: 2 * time.Second}, ClosesFirst: 0.5,
		Forecast: aggregate.Forecast{
			Outcome: aggregate.OutcomeRunsDry, DryIn: 41500 * time.Millisecond, Sustainable: 2.5, Returning: [3]int{1, 2, 3},
		},
		Owners: []aggregate.PoolOwner{{Owner: &aggregate.OwnerInfo{}, Ports: 3, TimeWait: 2}},
	}
}

// heading is the tight pool with another forecast.
func heading(f aggregate.Forecast) aggregate.Pool {
	p := tightPool()
	p.Forecast = f
	return p
}

func poolJSON(p aggregate.Pool) string {
	return string(pool.AppendJSON(nil, &Context{Meta: &aggregate.Meta{}}, &p))
}

func TestPoolInJSON(t *testing.T) {
	own, blind, unlimited := tightPool(), tightPool(), tightPool()
	own.Own, own.Device = true, 3
	blind.PoisonKnown, blind.Cliff, blind.ClosesFirst = false, aggregate.CliffUnknown, -1
	unlimited.Range = event.PortRange{}
	tests := []struct {
		name string
		pool aggregate.Pool
		want []string
	}{
		{"all is known", tightPool(), []string{
			`"id":"7/tcp/10.0.0.1>10.0.0.5:443"`, `"capacity":4,"poisoned":1,"in_use":3,"time_wait":2,"time_wait_reusable":1,"headroom":2,"headroom_low":1,"used_ratio":0.75,"past_cliff":false`,
			`"life_seconds_p50":1,"life_seconds_p95":2,"closes_first_ratio":0.5`, `"share":1`, `"level":"critical"`,
			`"returning_10s":1,"returning_30s":2,"returning_60s":3`, `"sustainable_per_second":2.5,"forecast":{"outcome":"runs_dry","seconds":41.5,"levels_off_ratio":null},"time_to_exhaustion_seconds":41.5`,
		}},
		{"refusing", heading(aggregate.Forecast{Outcome: aggregate.OutcomeRefusing}), []string{
			`"sustainable_per_second":null,"forecast":{"outcome":"refusing","seconds":null,"levels_off_ratio":null},"time_to_exhaustion_seconds":0`,
		}},
		{"levels off", heading(aggregate.Forecast{Outcome: aggregate.OutcomeLevelsOff, LevelsOffAt: 0.65}), []string{
			`"forecast":{"outcome":"levels_off","seconds":null,"levels_off_ratio":0.65},"time_to_exhaustion_seconds":null`, `"level":"warning"`,
		}},
		{"sockets with a device and a range of their own", own, []string{`"id":"7/tcp/10.0.0.1%3[40000-40004]>10.0.0.5:443","request":"connect"`, `"device":3`}},
		{"who bound what is not known", blind, []string{`"poisoned":null,"in_use":3`, `"past_cliff":null`, `"closes_first_ratio":null`}},
		{"the range is not known", unlimited, []string{
			`"range":null,"capacity":null,"poisoned":null,"in_use":null,"time_wait":null,"time_wait_reusable":null,"headroom":null,"headroom_low":null,"used_ratio":null`,
			`"owners":null`, `"forecast":null,"time_to_exhaustion_seconds":null`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := poolJSON(tt.pool)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %s in\n%s", want, got)
				}
			}
		})
	}
}

// Where poisoned ports are not known, headroom is the most there can be, and the
// table says so.
func TestHeadroomInATable(t *testing.T) {
	known, blind := tightPool(), tightPool()
	blind.PoisonKnown = false
	for want, p := range map[string]*aggregate.Pool{"2": &known, "≤2": &blind} {
		if got := string(headroomWord(p).AppendText(nil, nil)); got != want {
			t.Errorf("headroom = %q, want %q", got, want)
		}
	}
}
