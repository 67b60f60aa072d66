package host

import (
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

// A rate that the range sustains fits, and one more does not, with and without
// reuse.
func TestNeedSustainsWhatFits(t *testing.T) {
	l := event.Limits{Range: ports("32768-60999"), TWReuse: 0, Timestamps: 1, TWReuseDelayMillis: new(1000)}
	for _, reuse := range []int{0, 1} {
		l.TWReuse = reuse
		for _, d := range []Demand{{Rate: 1, Destinations: 1}, {Rate: 1, Life: 1.2, Destinations: 1}, {Rate: 1, Life: 30, Destinations: 4}} {
			in := &NamespaceRange{Limits: l, Poisoned: new(7)}
			n := NeedOf(d, in)
			most := n.Sustained
			if reuse == 1 {
				most = n.SustainedReusing
			}
			d.Rate = most
			fits := NeedOf(d, in)
			d.Rate++
			if more := NeedOf(d, in); !fits.Fits() || more.Fits() {
				t.Errorf("reuse %d, life %g, %d destinations: %g a second fits %t, one more %t", reuse, d.Life, d.Destinations, most, fits.Fits(), more.Fits())
			}
		}
	}
}

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
		poisoned                             int
		ports, reusing, addresses, openFiles int
	}{
		{"fits to the last port", Demand{Connections: 28232, Destinations: 1}, usual, 0, 28232, 28232, 1, 28232},
		{"one too many", Demand{Connections: 28233, Destinations: 1}, usual, 0, 28233, 28233, 2, 28233},
		{"an odd range, to the last port for sure", Demand{Connections: 100, Destinations: 1}, odd, 0, 100, 100, 1, 100},
		{"an odd range, and the port that a call passes over", Demand{Connections: 101, Destinations: 1}, odd, 0, 101, 101, 2, 101},
		{"spread", Demand{Connections: 100000, Destinations: 4}, usual, 0, 25000, 25000, 1, 100000},
		{"a rate that fits", Demand{Rate: 433, Destinations: 1}, usual, 0, 28197, 433, 1, 1},
		{"a rate that does not", Demand{Rate: 434, Destinations: 1}, usual, 0, 28263, 434, 2, 1},
		{"a rate with life", Demand{Rate: 2000, Life: 1.2, Destinations: 1}, usual, 0, 132640, 4400, 5, 2400},
		{"reuse is on", Demand{Rate: 2000, Life: 1.2, Destinations: 1}, reusing, 0, 132640, 4400, 1, 2400},
		{"reuse by whole seconds", Demand{Rate: 2000, Life: 1.2, Destinations: 1}, old, 0, 132640, 6400, 1, 2400},
		{"a rate next to nothing", Demand{Rate: 1e-9, Destinations: 1}, usual, 0, 1, 1, 1, 1},
		{"fits beside what programs have bound", Demand{Connections: 28222, Destinations: 1}, usual, 10, 28222, 28222, 1, 28222},
		{"one too many beside what programs have bound", Demand{Connections: 28223, Destinations: 1}, usual, 10, 28223, 28223, 2, 28223},
		{"all bound", Demand{Connections: 1, Destinations: 1}, odd, 101, 1, 1, 0, 1},
		{"a range of nothing", Demand{Connections: 1, Destinations: 1}, nothing, 0, 1, 1, 0, 1},
	}
	for _, tt := range tests {
		n := NeedOf(tt.demand, &NamespaceRange{Limits: tt.limits, Poisoned: &tt.poisoned})
		if n.Ports != tt.ports || n.PortsReusing != tt.reusing || n.Addresses != tt.addresses || n.OpenFiles != tt.openFiles {
			t.Errorf("%s: ports %d, reusing %d, addresses %d, files %d; want %d, %d, %d, %d", tt.name,
				n.Ports, n.PortsReusing, n.Addresses, n.OpenFiles, tt.ports, tt.reusing, tt.addresses, tt.openFiles)
		}
	}
}
