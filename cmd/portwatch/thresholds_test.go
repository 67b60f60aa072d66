package main

import (
	"strings"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// asked is a pool with demand, so full and heading there.
func asked(used float64, headroom int, f aggregate.Forecast) aggregate.Pool {
	return aggregate.Pool{
		PoolKey:  aggregate.PoolKey{Request: aggregate.RequestConnect, Range: event.PortRange{Low: 1, High: 1000}},
		Capacity: 1000, InUse: 1000 - headroom, UsedHigh: used, PoisonKnown: true,
		Minute: aggregate.Demand{Allocations: 1}, Forecast: f,
	}
}

func TestThresholds(t *testing.T) {
	idle := asked(0.99, 10, aggregate.Forecast{})
	idle.Minute = aggregate.Demand{}
	unlimited := asked(0, 1000, aggregate.Forecast{})
	unlimited.Range = event.PortRange{}
	dryIn := func(d time.Duration) aggregate.Forecast {
		return aggregate.Forecast{Outcome: aggregate.OutcomeRunsDry, DryIn: d}
	}
	level := aggregate.Forecast{Outcome: aggregate.OutcomeLevelsOff}
	tests := []struct {
		name       string
		warn, crit string
		pools      []aggregate.Pool
		want       int
	}{
		{"at the ratio", "70%", "90%", []aggregate.Pool{asked(0.7, 300, level)}, checkWarning},
		{"below it", "70%", "90%", []aggregate.Pool{asked(0.699, 301, level)}, checkOK},
		{"at the critical one", "70%", "90%", []aggregate.Pool{asked(0.9, 100, level)}, checkCritical},
		{"the worst counts", "70%", "90%", []aggregate.Pool{asked(0.7, 300, level), asked(0.95, 50, level), asked(0.1, 900, level)}, checkCritical},
		{"without demand nobody is refused", "70%", "90%", []aggregate.Pool{idle}, checkOK},
		{"below the ports", "500", "", []aggregate.Pool{asked(0.6, 499, level)}, checkWarning},
		{"at the ports", "500", "", []aggregate.Pool{asked(0.6, 500, level)}, checkOK},
		{"no headroom", "", "1", []aggregate.Pool{asked(1, 0, level)}, checkCritical},
		{"dry in time", "5m", "1m", []aggregate.Pool{asked(0.6, 500, dryIn(5*time.Minute))}, checkWarning},
		{"dry later", "5m", "1m", []aggregate.Pool{asked(0.6, 500, dryIn(5*time.Minute+1))}, checkOK},
		{"dry soon", "5m", "1m", []aggregate.Pool{asked(0.6, 500, dryIn(time.Minute))}, checkCritical},
		{"dry already", "", "1m", []aggregate.Pool{asked(1, 0, aggregate.Forecast{Outcome: aggregate.OutcomeRefusing})}, checkCritical},
		{"never dry", "5m", "", []aggregate.Pool{asked(0.9, 100, level)}, checkOK},
		{"no forecast", "5m", "", []aggregate.Pool{asked(0.9, 100, aggregate.Forecast{})}, checkUnknown},
		{"another unit for each", "70%", "50", []aggregate.Pool{asked(0.96, 40, level)}, checkCritical},
		{"no range", "70%", "", []aggregate.Pool{unlimited}, checkUnknown},
		{"known to be bad beside one that is not known", "70%", "", []aggregate.Pool{unlimited, asked(0.7, 300, level)}, checkWarning},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limits, err := parseThresholds(tt.warn, tt.crit)
			if err != nil {
				t.Fatal(err)
			}
			s := &aggregate.Snapshot{Meta: aggregate.Meta{Complete: true}, Pools: tt.pools}
			if got := limits.judge(s, true); got.state != tt.want {
				t.Errorf("state = %s, want %s: %s", checkWords[got.state], checkWords[tt.want], got.why)
			}
		})
	}
}

func TestVerdictWithoutAPool(t *testing.T) {
	limits, err := parseThresholds("70%", "")
	if err != nil {
		t.Fatal(err)
	}
	v := limits.judge(&aggregate.Snapshot{Meta: aggregate.Meta{Complete: true}}, true)
	if line := limits.line(&v, "Nothing | happened."); line != "PORTWATCH OK - nobody asks for ports. Nothing / happened.\n" {
		t.Errorf("line = %q", line)
	}
	v = limits.judge(&aggregate.Snapshot{}, true)
	if line := limits.line(&v, ""); !strings.HasPrefix(line, "PORTWATCH UNKNOWN - the picture is not complete.") {
		t.Errorf("line = %q", line)
	}
}

// One look sees no requests: what is in use is judged, but a range that only
// connections fill alarms nobody, and what is not known is no answer.
func TestVerdictOfOneLook(t *testing.T) {
	limits, err := parseThresholds("70%", "90%")
	if err != nil {
		t.Fatal(err)
	}
	full := func(request aggregate.Request, reuseUnknown bool) aggregate.Pool {
		return aggregate.Pool{
			PoolKey:  aggregate.PoolKey{Request: request, Range: event.PortRange{Low: 1, High: 10}},
			Capacity: 10, InUse: 10, UsedHigh: 1, ReuseUnknown: reuseUnknown,
		}
	}
	for _, tt := range []struct {
		name string
		pool aggregate.Pool
		want int
	}{
		{"connect()", full(aggregate.RequestConnect, false), checkCritical},
		{"UDP", full(aggregate.RequestUDP, false), checkCritical},
		{"bind(0)", full(aggregate.RequestBind0, false), checkWarning},
		{"connect() that may take TIME_WAITs over", full(aggregate.RequestConnect, true), checkUnknown},
		{"nothing in use", aggregate.Pool{}, checkOK},
	} {
		s := &aggregate.Snapshot{Meta: aggregate.Meta{Complete: true}, Pools: []aggregate.Pool{tt.pool}}
		if got := limits.judge(s, false); got.state != tt.want {
			t.Errorf("%s: %s, want %s: %s", tt.name, checkWords[got.state], checkWords[tt.want], got.why)
		}
	}
}

func TestThresholdsWithoutMeaning(t *testing.T) {
	for _, tt := range [][3]string{
		{"0%", "", "--warn 0%: not a percentage above 0"},
		{"101%", "", "--warn 101%"},
		{"NaN%", "", "--warn NaN%"},
		{"", "-1", "--crit -1: not a headroom"},
		{"", "70000", "--crit 70000"},
		{"", "-5m", "--crit -5m: want"},
		{"80%", "70%", "--warn 80% is above --crit 70%"},
		{"1m", "5m", "--warn 1m is below --crit 5m"},
	} {
		if _, err := parseThresholds(tt[0], tt[1]); err == nil || !strings.HasPrefix(err.Error(), tt[2]) {
			t.Errorf("--warn %s --crit %s: %v, want %q", tt[0], tt[1], err, tt[2])
		}
	}
	if _, err := parseThresholds("70%", "70%"); err != nil {
		t.Errorf("the same for both: %v", err)
	}
}
