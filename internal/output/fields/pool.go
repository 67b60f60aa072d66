package fields

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
)

type poolRow = aggregate.Pool

// pool is the ports that one kind of request draws from.
var pool = append(append(append(Object[poolRow]{}, poolName...), poolState...), poolMotion...)

var poolName = Object[poolRow]{
	one("id", "", "<netns>/<protocol>/<local>[><remote>], with the device and a range of the sockets' own, if any.", String,
		func(_ *Context, p *poolRow) Value { return Text(poolID(&p.PoolKey)) }),
	words("request", "By what its ports are asked for.", "connect bind0 udp", func(p *poolRow) string { return p.Request.String() }),
	one("netns", "", "The inode of the network namespace.", Integer,
		func(_ *Context, p *poolRow) Value { return netns(p.NetNS) }),
	one("netns_cookie", "", "The namespace's cookie, unique per boot.", ID,
		func(_ *Context, p *poolRow) Value { return Identity(p.NetNSCookie) }),
	one("netns_name", "", "The namespace's name.", String,
		func(_ *Context, p *poolRow) Value { return Text(p.NetNSName) }),
	one("device", "", "The index of the interface that the sockets are bound to; null for none.", Integer,
		func(_ *Context, p *poolRow) Value { return netns(p.Device) }),
	words("protocol", "The transport protocol.", protocolWords, func(p *poolRow) string { return p.Protocol.String() }),
	words("family", "The family of the addresses.", familyWords, func(p *poolRow) string { return p.Family.String() }),
	one("local_addr", "", "The local address that ports are asked for at.", String,
		func(_ *Context, p *poolRow) Value { return Address(netip.AddrPortFrom(p.Local, 0)) }),
	one("remote_addr", "", "The far end's address; null but for connect.", String,
		func(_ *Context, p *poolRow) Value { return Address(p.Remote) }),
	one("remote_port", "", "The far end's port; null but for connect.", Integer,
		func(_ *Context, p *poolRow) Value { return Port(p.Remote) }),
	nest("range", "The range that the kernel searches; null while the namespace's limits are not known.", poolRange,
		func(p *poolRow) *poolRow {
			if p.Range.IsZero() {
				return nil
			}
			return p
		}),
}

var poolRange = Object[poolRow]{
	one("low", "", "The lowest port.", Integer, func(_ *Context, p *poolRow) Value { return Plain(uint64(p.Range.Low)) }),
	one("high", "", "The highest port.", Integer, func(_ *Context, p *poolRow) Value { return Plain(uint64(p.Range.High)) }),
}

var poolState = Object[poolRow]{
	ranged("capacity", "Ports that a request could be given if nobody held any.", func(p *poolRow) int { return p.Capacity }),
	one("poisoned", "ports", "Ports of the range that connect() skips because somebody bound them; null where that is not known.", Integer,
		func(_ *Context, p *poolRow) Value {
			if p.Request != aggregate.RequestConnect || !p.PoisonKnown {
				return Value{}
			}
			return ofRange(p, p.Poisoned)
		}),
	ranged("in_use", "Of the capacity, taken: tuples for connect, else ports.", func(p *poolRow) int { return p.InUse }),
	ranged("time_wait", "Of those, in TIME_WAIT.", func(p *poolRow) int { return p.TimeWait }),
	reused("time_wait_reusable", "Of those, what connect() may take over now; null where the mode does not tell.",
		func(p *poolRow) int { return p.Reusable }),
	reused("headroom", "How many further requests succeed now: at most, where poisoned is not known; null where time_wait_reusable is.",
		func(p *poolRow) int { return p.Headroom() }),
	reused("headroom_low", "The least headroom of the last 60 s.", func(p *poolRow) int { return p.HeadroomLow }),
	one("used_ratio", "", "1 - headroom_low ÷ capacity; 1 if there is no capacity.", Real,
		func(_ *Context, p *poolRow) Value { return usedRatio(p) }),
	one("past_cliff", "",
		"Whether no port of the parity is left that connect() tries first; null where it has none or that is not known.", Boolean,
		func(_ *Context, p *poolRow) Value {
			if p.Cliff == aggregate.CliffUnknown {
				return Value{}
			}
			return Bool(p.Cliff == aggregate.CliffPassed)
		}),
	ranged("syn_sent", "Of those in use, connections that are not answered yet.", func(p *poolRow) int { return p.SynSent }),
	ranged("returning_10s", "Ports whose TIME_WAIT ends within 10 s.", func(p *poolRow) int { return p.Forecast.Returning[0] }),
	ranged("returning_30s", "The same within 30 s.", func(p *poolRow) int { return p.Forecast.Returning[1] }),
	ranged("returning_60s", "The same within 60 s.", func(p *poolRow) int { return p.Forecast.Returning[2] }),
}

var poolMotion = Object[poolRow]{
	one("attempts_per_second", "per second", "Allocations and refusals.", Real,
		func(c *Context, p *poolRow) Value { return rate(c, p.Recent.Attempts()) }),
	one("allocations_per_second", "per second", "Allocations.", Real,
		func(c *Context, p *poolRow) Value { return rate(c, p.Recent.Allocations) }),
	one("refusals_per_second", "per second", "Refusals for want of ports.", Real,
		func(c *Context, p *poolRow) Value { return rate(c, p.Recent.Refusals) }),
	one("hold_seconds", "seconds", "How long a port is kept, TIME_WAIT included: the median, up to a quarter too long.", Real,
		func(_ *Context, p *poolRow) Value { return spent(p.Hold.P50) }),
	one("life_seconds_p50", "seconds", "How long a socket lives: the median, up to a quarter too long.", Real,
		func(_ *Context, p *poolRow) Value { return spent(p.Life.P50) }),
	one("life_seconds_p95", "seconds", "The same: 95 of 100 live no longer.", Real,
		func(_ *Context, p *poolRow) Value { return spent(p.Life.P95) }),
	one("closes_first_ratio", "", "The share of connections that were closed from here first, and left a TIME_WAIT here.", Real,
		func(_ *Context, p *poolRow) Value {
			if p.ClosesFirst < 0 {
				return Value{}
			}
			return Number(p.ClosesFirst)
		}),
	one("search_seconds_p50", "seconds", "How long the kernel looks for a port: the median; null where that is not measured.", Real,
		func(_ *Context, p *poolRow) Value { return spent(p.Search.P50) }),
	one("sustainable_per_second", "per second", "The rate of allocations that the pool bears for ever: capacity ÷ hold time.", Real,
		func(_ *Context, p *poolRow) Value {
			if p.Forecast.Sustainable == 0 || p.Range.IsZero() {
				return Value{}
			}
			return Number(p.Forecast.Sustainable)
		}),
	nest("forecast", "Where the pool is heading if things go on as in the last 10 s; null while its range is not known.", poolForecast,
		func(p *poolRow) *poolRow {
			if p.Range.IsZero() {
				return nil
			}
			return p
		}),
	one("time_to_exhaustion_seconds", "seconds", "Until the pool refuses: 0 if it does, null if it is not going to.", Real,
		func(_ *Context, p *poolRow) Value { return dryIn(p) }),
	one("failures", "failures", "Requests that were refused for want of ports, since the pool is remembered.", Integer,
		func(c *Context, p *poolRow) Value { return ofRequests(c, Count(p.Total.Refusals)) }),
	words("level", "How urgent it is.", "ok warning critical unknown", func(p *poolRow) string { return p.Level() }),
	rows("owners", "Who holds the ports in use, most first.", holder, holdersOf),
}

var poolForecast = Object[poolRow]{
	words("outcome", "Where it is heading: unknown with less than 10 s of data, or if over a fifth of the pool has no known end.",
		"refusing runs_dry levels_off draining unknown", func(p *poolRow) string { return p.Forecast.Outcome.String() }),
	one("seconds", "seconds", "Until the first refusal, if it runs dry.", Real,
		func(_ *Context, p *poolRow) Value {
			if p.Forecast.Outcome != aggregate.OutcomeRunsDry {
				return Value{}
			}
			return Seconds(p.Forecast.DryIn)
		}),
	one("levels_off_ratio", "", "The used_ratio at which it levels off, if it does.", Real,
		func(_ *Context, p *poolRow) Value {
			if p.Forecast.Outcome != aggregate.OutcomeLevelsOff {
				return Value{}
			}
			return Number(p.Forecast.LevelsOffAt)
		}),
}

// dryIn is the time until a refusal, where the forecast knows one.
func dryIn(p *poolRow) Value {
	switch {
	case p.Range.IsZero():
		return Value{}
	case p.Forecast.Outcome == aggregate.OutcomeRefusing:
		return Seconds(0)
	case p.Forecast.Outcome == aggregate.OutcomeRunsDry:
		return Seconds(p.Forecast.DryIn)
	}
	return Value{}
}

// forecastWord is the forecast in a cell: "dry in 41 s", "levels off at 65 %".
func forecastWord(p *poolRow) Value {
	f := &p.Forecast
	switch f.Outcome {
	case aggregate.OutcomeRefusing:
		return Text("refusing")
	case aggregate.OutcomeRunsDry:
		return Text("dry in " + strconv.Itoa(int(f.DryIn.Seconds())) + " s")
	case aggregate.OutcomeLevelsOff:
		return Text("levels off at " + strconv.Itoa(int(100*f.LevelsOffAt+0.5)) + " %")
	case aggregate.OutcomeDraining:
		return Text("draining")
	}
	return Value{}
}

// reused is a number of ports that is not known either while it is not known what
// connect() may take over.
func reused(name, meaning string, get func(*poolRow) int) Field[poolRow] {
	return one(name, "ports", meaning, Integer, func(_ *Context, p *poolRow) Value {
		if p.ReuseUnknown {
			return Value{}
		}
		return ofRange(p, get(p))
	})
}

// ranged is a number of ports that means nothing while the range is not known.
func ranged(name, meaning string, get func(*poolRow) int) Field[poolRow] {
	return one(name, "ports", meaning, Integer, func(_ *Context, p *poolRow) Value { return ofRange(p, get(p)) })
}

func ofRange(p *poolRow, n int) Value {
	if p.Range.IsZero() {
		return Value{}
	}
	return Count(uint64(max(n, 0)))
}

func usedRatio(p *poolRow) Value {
	if ratio, known := p.UsedRatio(); known {
		return Number(ratio)
	}
	return Value{}
}

// spent is a measured time, absent if none was measured.
func spent(d time.Duration) Value {
	if d == 0 {
		return Value{}
	}
	return Seconds(d)
}

func poolID(p *aggregate.PoolKey) string {
	id := strconv.FormatUint(uint64(p.NetNS), 10) + "/" + p.Protocol.String() + "/" + p.Local.String()
	if p.Device != 0 {
		id += "%" + strconv.FormatUint(uint64(p.Device), 10)
	}
	if p.Own {
		id += "[" + p.Range.String() + "]"
	}
	if p.Remote.IsValid() {
		id += ">" + p.Remote.String()
	}
	return id
}

// PoolColumns are the table of the tightest pools in top; requests as in
// OwnerColumns.
func PoolColumns(requests bool) []Column[poolRow] {
	return fillable([]Column[poolRow]{
		{Header: "POOL", Value: func(_ *Context, p *poolRow) Value { return Text(poolWord(&p.PoolKey)) }},
		{Header: "NETNS", Value: func(_ *Context, p *poolRow) Value { return netnsWord(p.NetNSName, p.NetNS) }},
		{Header: "USED %", Right: true, Value: func(_ *Context, p *poolRow) Value {
			if ratio, known := p.UsedRatio(); known {
				return Number(100 * ratio)
			}
			return Value{}
		}},
		{Header: "HEADROOM", Right: true, Value: func(_ *Context, p *poolRow) Value { return headroomWord(p) }},
		{Header: "FORECAST", Value: func(_ *Context, p *poolRow) Value { return forecastWord(p) }},
		{Header: "MOST BY", Value: func(_ *Context, p *poolRow) Value {
			if len(p.Owners) == 0 || p.Owners[0].Ports == 0 {
				return Value{}
			}
			return processAndPID(p.Owners[0].Owner)
		}},
		numbers("IN USE", pool.Named("in_use")),
		numbers("TIME_WAIT", pool.Named("time_wait")),
		numbers("TRY/s", pool.Named("attempts_per_second")),
		numbers("FAIL/s", pool.Named("refusals_per_second")),
	}, requests)
}

// poolWord is what people call a pool: where it leads, or what asks for it where.
func poolWord(p *aggregate.PoolKey) string {
	word := p.Request.String() + " " + p.Local.String()
	if p.Remote.IsValid() {
		word = p.Local.String() + "→" + p.Remote.String()
	}
	if p.Own {
		word += " [" + p.Range.String() + "]"
	}
	return word
}

// headroomWord is the headroom, with a mark where it is the most there can be.
func headroomWord(p *poolRow) Value {
	if p.ReuseUnknown {
		return Value{}
	}
	v := ofRange(p, p.Headroom())
	if v.IsAbsent() || p.PoisonKnown || p.Request != aggregate.RequestConnect {
		return v
	}
	return Text("≤" + string(v.AppendText(nil, nil)))
}
