package main

import (
	"math"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   spread
	}{
		{"one", []float64{3}, spread{3, 0, 3, 3}},
		{"odd", []float64{9, 1, 4}, spread{4, 3, 1, 9}},
		{"even", []float64{4, 2, 8, 6}, spread{5, 2, 2, 8}},
		{"outlier", []float64{10, 11, 10, 12, 99}, spread{11, 1, 10, 99}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := spreadOfValues(tt.values); got != tt.want {
				t.Errorf("spreadOfValues() = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestChange(t *testing.T) {
	tests := []struct {
		name string
		have spread
		want string
	}{
		{"slower", spread{median: 0.9, mad: 0.01}, "-10.0 % ± 1.0"},
		{"faster", spread{median: 1.2, mad: 0.05}, "+20.0 % ± 5.0"},
		{"within the spread", spread{median: 0.98, mad: 0.03}, "not measurable (spread ±3.0 %)"},
		{"nothing measured", spread{median: math.NaN()}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.have.change(); got != tt.want {
				t.Errorf("change() = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRatiosPairRounds(t *testing.T) {
	// The machine slows down to a half; the ratio within each round does not.
	rate := func(connections ...uint64) (samples []sample) {
		for _, n := range connections {
			samples = append(samples, sample{outcome: outcome{Connections: n, Elapsed: time.Second}})
		}
		return samples
	}
	got := ratios(rate(90, 60, 45), rate(100, 66, 50, 1), (*sample).perSecond)
	if math.Abs(got.median-0.9) > 1e-9 || got.high-got.low > 0.01 {
		t.Errorf("ratios() = %v, want 0.9 thrice", got)
	}
}

func TestFarewells(t *testing.T) {
	tests := []struct {
		tool string
		text string
		want farewell
	}{
		{portwatch, "1,313,710 events in 22.168s, lost 1,002; user CPU 3.1s, kernel CPU not counted\n", farewell{lost: 1002, events: 1313710}},
		{tcpstates, "lost 12 events on CPU #0!\nlost 30 events on CPU #1!\n", farewell{lost: 42}},
		{bpftrace, "Lost 7 events\n", farewell{lost: 7}},
		{bpftrace, "", farewell{}},
	}
	for _, tt := range tests {
		for _, tool := range tools("bin/portwatch") {
			if tool.name != tt.tool {
				continue
			}
			got := tool.read(tt.text)
			if got.lost != tt.want.lost || got.events != tt.want.events {
				t.Errorf("%s: read(%q) = %+v, want %+v", tt.tool, tt.text, got, tt.want)
			}
		}
	}
}

func TestLostPercent(t *testing.T) {
	tests := []struct {
		name string
		have sample
		want float64
	}{
		{"peer", sample{Kernel: kernelSide{Runs: 1000}, Printed: 750}, 25},
		{"peer with a header", sample{Kernel: kernelSide{Runs: 1000}, Printed: 1001}, 0},
		{"portwatch", sample{Said: farewell{events: 990, lost: 10}, Kernel: kernelSide{Runs: 9000}}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := lostPercent(&tt.have); math.Abs(got-tt.want) > 1e-9 {
				t.Errorf("lostPercent() = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSNMPField(t *testing.T) {
	const text = "Ip: Forwarding\nIp: 1\nTcp: RtoMin ActiveOpens PassiveOpens\nTcp: 200 4711 12\n"
	if got, err := snmpField(text, "Tcp", "ActiveOpens"); got != 4711 || err != nil {
		t.Errorf("snmpField() = %d, %v, want 4711", got, err)
	}
	if _, err := snmpField(text, "Tcp", "CurrEstab"); err == nil {
		t.Error("snmpField() found what is not there")
	}
}
