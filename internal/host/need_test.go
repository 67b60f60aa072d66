package host

import (
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

func TestNeedOf(t *testing.T) {
	usual := event.Limits{Range: ports("32768-60999"), TWReuse: 2, Timestamps: 1, TWReuseDelayMillis: new(1000)}
	reusing := usual
	reusing.TWReuse = 1
	old := reusing
	old.TWReuseDelayMillis = nil
	nothing := event.Limits{Range: ports("5"), Reserved: []event.PortRange{ports("5")}}
	odd := event.Limits{Range: ports("41000-41100")}
	tests := []struct {
		name                                 string
		demand                               Demand
		limits                               event.Limits
		ports, reusing, addresses, openFiles int
	}{
		{"fits to the last port", Demand{Connections: 28232, Destinations: 1}, usual, 28232, 28232, 1, 28232},
		{"one too many", Demand{Connections: 28233, Destinations: 1}, usual, 28233, 28233, 2, 28233},
		{"an odd range, to the last port for sure", Demand{Connections: 100, Destinations: 1}, odd, 100, 100, 1, 100},
		{"an odd range, and the port that a call passes over", Demand{Connections: 101, Destinations: 1}, odd, 101, 101, 2, 101},
		{"spread", Demand{Connections: 100000, Destinations: 4}, usual, 25000, 25000, 1, 100000},
		{"a rate that fits", Demand{Rate: 433, Destinations: 1}, usual, 28197, 433, 1, 0},
		{"a rate that does not", Demand{Rate: 434, Destinations: 1}, usual, 28263, 434, 2, 0},
		{"a rate with life", Demand{Rate: 2000, Life: 1.2, Destinations: 1}, usual, 132640, 4400, 5, 2400},
		{"reuse is on", Demand{Rate: 2000, Life: 1.2, Destinations: 1}, reusing, 132640, 4400, 1, 2400},
		{"reuse by whole seconds", Demand{Rate: 2000, Life: 1.2, Destinations: 1}, old, 132640, 6400, 1, 2400},
		{"a range of nothing", Demand{Connections: 1, Destinations: 1}, nothing, 1, 1, 0, 1},
	}
	for _, tt := range tests {
		n := NeedOf(tt.demand, &tt.limits)
		if n.Ports != tt.ports || n.PortsReusing != tt.reusing || n.Addresses != tt.addresses || n.OpenFiles != tt.openFiles {
			t.Errorf("%s: ports %d, reusing %d, addresses %d, files %d; want %d, %d, %d, %d", tt.name,
				n.Ports, n.PortsReusing, n.Addresses, n.OpenFiles, tt.ports, tt.reusing, tt.addresses, tt.openFiles)
		}
	}
}
