package main

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// The units of a threshold.
type thresholdUnit int

const (
	ofUsed     thresholdUnit = iota + 1 // percent of used_ratio, from which on
	ofHeadroom                          // ports, below which
	ofTime                              // until the pool runs dry, below which
)

// threshold is a value of --warn or --crit.
type threshold struct {
	flag, word string
	unit       thresholdUnit // 0 if the flag is absent
	value      float64       // ratio, ports or seconds
}

// parseThreshold reads "70%", "500" or "5m".
func parseThreshold(flag, word string) (threshold, error) {
	t := threshold{flag: flag, word: word}
	if word == "" {
		return t, nil
	}
	if number, isPercent := strings.CutSuffix(word, "%"); isPercent {
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(n) || n <= 0 || n > 100 {
			return t, fmt.Errorf("--%s %s: not a percentage above 0 and up to 100, such as 70%%", flag, word)
		}
		t.unit, t.value = ofUsed, n/100
		return t, nil
	}
	if n, err := strconv.Atoi(word); err == nil {
		if n < 0 || n > math.MaxUint16 {
			return t, fmt.Errorf("--%s %s: not a headroom within 0 to 65535 ports (a percentage is %s%%)", flag, word, word)
		}
		t.unit, t.value = ofHeadroom, float64(n)
		return t, nil
	}
	d, err := time.ParseDuration(word)
	if err != nil || d <= 0 {
		return t, fmt.Errorf("--%s %s: want a percentage (70%%), ports of headroom (500) or a time until dry (5m)", flag, word)
	}
	t.unit, t.value = ofTime, d.Seconds()
	return t, nil
}

// thresholds are --warn and --crit.
type thresholds struct{ warn, crit threshold }

func parseThresholds(warn, crit string) (thresholds, error) {
	var t thresholds
	var err error
	if t.warn, err = parseThreshold("warn", warn); err != nil {
		return t, err
	}
	if t.crit, err = parseThreshold("crit", crit); err != nil {
		return t, err
	}
	if t.warn.unit != 0 && t.warn.unit == t.crit.unit {
		switch above := cmp.Compare(t.warn.value, t.crit.value); {
		case t.warn.unit == ofUsed && above > 0:
			return t, fmt.Errorf("--warn %s is above --crit %s: it would never be told", warn, crit)
		case t.warn.unit != ofUsed && above < 0:
			return t, fmt.Errorf("--warn %s is below --crit %s: it would never be told", warn, crit)
		}
	}
	return t, nil
}

// forecasts reports whether one of them asks when a pool runs dry.
func (t *thresholds) forecasts() bool { return t.warn.unit == ofTime || t.crit.unit == ofTime }

// met reports whether a pool has reached the threshold, and false as the second
// if that is not known.
func (t *threshold) met(p *aggregate.Pool) (met, known bool) {
	ratio, known := p.UsedRatio()
	switch t.unit {
	case ofUsed:
		return known && ratio >= t.value, known
	case ofHeadroom:
		return known && float64(p.Headroom()) < t.value, known
	case ofTime:
		switch p.Forecast.Outcome {
		case aggregate.OutcomeUnknown:
			return false, false
		case aggregate.OutcomeRefusing:
			return true, true
		}
		return p.RunsDryWithin(time.Duration(t.value * float64(time.Second))), true
	}
	return false, true
}

// The states of a check, by exit code.
var checkWords = [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}

const (
	checkOK = iota
	checkWarning
	checkCritical
	checkUnknown
)

// verdict is a check's state, and the pool that decides it; nil if there is none.
type verdict struct {
	state int
	pool  *aggregate.Pool
	why   string
}

// judge finds the worst pool with demand: without demand nobody would be refused.
func (t *thresholds) judge(s *aggregate.Snapshot, seesRequests bool) verdict {
	worst, unknown := t.worst(s.Pools, func(p *aggregate.Pool) bool {
		return seesRequests && p.Minute.Attempts() > 0 || !seesRequests && p.InUse > 0
	})
	switch {
	case worst.state != checkOK:
	case !s.Complete:
		return verdict{state: checkUnknown, pool: worst.pool, why: "the picture is not complete"}
	case unknown != "":
		return verdict{state: checkUnknown, pool: worst.pool, why: unknown}
	case worst.pool == nil:
		worst.why = "nobody asks for ports"
		if !seesRequests {
			worst.why = "no port of any range is in use"
		}
	}
	return worst
}

// worst is the first of the worst pools that are asked, and why another one is
// not known; "" if all are.
func (t *thresholds) worst(pools []aggregate.Pool, asked func(*aggregate.Pool) bool) (worst verdict, unknown string) {
	for i := range pools {
		p := &pools[i]
		if !asked(p) {
			continue
		}
		state, known := t.stateOf(p)
		if p.Request == aggregate.RequestBind0 && p.Minute.Attempts() == 0 {
			// Connections fill it, and nobody is seen to ask for any port.
			state = min(state, checkWarning)
		}
		if !known && unknown == "" {
			unknown = fields.PoolWord(p) + ": " + whyUnknown(p)
		}
		if worst.pool == nil || state > worst.state {
			worst = verdict{state: state, pool: p}
		}
	}
	return worst, unknown
}

func whyUnknown(p *aggregate.Pool) string {
	if p.ReuseUnknown {
		return "how many of its TIME_WAITs connect() may take over is not known without watching (--for 3s)"
	}
	return "what was asked for is not known of it"
}

func (t *thresholds) stateOf(p *aggregate.Pool) (state int, known bool) {
	critical, knowsCrit := t.crit.met(p)
	warning, knowsWarn := t.warn.met(p)
	switch {
	case critical:
		return checkCritical, true
	case warning:
		return checkWarning, true
	}
	return checkOK, knowsCrit && knowsWarn
}

// line is the verdict as monitoring reads it.
func (t *thresholds) line(v *verdict, summary string) string {
	words := "PORTWATCH " + checkWords[v.state] + " - "
	if v.why != "" {
		words += v.why + ". "
	}
	words += strings.ReplaceAll(summary, "|", "/")
	if v.pool == nil {
		return strings.TrimSpace(words) + "\n"
	}
	return words + " | " + fields.Perfdata(v.pool, t.perf()) + "\n"
}

// perf is how perfdata has the thresholds; a value of another unit is left out.
func (t *thresholds) perf() fields.PerfThresholds {
	p := fields.PerfThresholds{Used: ";" + t.warn.percent() + ";" + t.crit.percent()}
	if t.warn.unit == ofHeadroom || t.crit.unit == ofHeadroom {
		p.Headroom = ";" + t.warn.ports() + ";" + t.crit.ports()
	}
	return p
}

func (t *threshold) percent() string {
	if t.unit != ofUsed {
		return ""
	}
	return strconv.FormatFloat(100*t.value, 'f', -1, 64)
}

// ports is a range that alerts below its start.
func (t *threshold) ports() string {
	if t.unit != ofHeadroom {
		return ""
	}
	return t.word + ":"
}
