package host

import (
	"fmt"
	"math"

	"github.com/portwatch/portwatch/internal/event"
)

// Demand is a load for which ports are counted.
type Demand struct {
	// Connections are open at once; 0 if the load is a rate.
	Connections int
	// Rate is new connections a second, each open for Life seconds, closed by
	// this side.
	Rate, Life float64
	// Destinations is how many address-and-port pairs the load spreads over,
	// evenly; at least 1.
	Destinations int
}

// Need is what a demand takes.
type Need struct {
	Demand
	// Ports are taken towards each destination, with every TIME_WAIT waiting
	// its time. PortsReusing is the same where tcp_tw_reuse is on (1) and both
	// sides use timestamps; a rate only.
	Ports        int
	PortsReusing int
	// PortsNow is what the namespace's range gives for sure: without the poisoned
	// ports, as far as they are known, and of an odd number of ports a call passes
	// over one (__inet_hash_connect, 5.10 to 7.2).
	PortsNow int
	// Poisoned are the ports of the range that programs have bound, at least; nil
	// if that is not known.
	Poisoned *int
	// Sustained is the connections a second that the range sustains towards all
	// destinations from one local address, each closed by this side after Life
	// seconds; SustainedReusing the same where tcp_tw_reuse is effective. A rate
	// only.
	Sustained, SustainedReusing float64
	// ReuseOn reports whether tcp_tw_reuse is on for every destination here.
	ReuseOn bool
	// Addresses is how many local addresses the program must bind to, or into
	// how many times the destinations the load must be spread, so that each
	// pool holds its part; 0 where the range gives nothing.
	Addresses int
	// OpenFiles are the descriptors that the connections take by themselves.
	OpenFiles int
}

// Fits reports whether the range holds the demand from one local address.
func (n *Need) Fits() bool { return n.Addresses == 1 }

// NeedOf counts what a demand takes in a namespace. A load takes one port at
// least, however small it is.
func NeedOf(d Demand, in *NamespaceRange) *Need {
	l := &in.Limits
	n := &Need{Demand: d, PortsNow: max(certain(l)-valueOr0(in.Poisoned), 0), Poisoned: in.Poisoned}
	spread := float64(d.Destinations)
	if d.Connections > 0 {
		n.OpenFiles = d.Connections
		n.Ports = roundUp(float64(d.Connections) / spread)
		n.PortsReusing = n.Ports
	} else {
		n.OpenFiles = roundUp(d.Rate * d.Life)
		n.Ports = roundUp(d.Rate * (d.Life + waitSeconds) / spread)
		n.PortsReusing = roundUp(d.Rate * (d.Life + reuseDelay(l)) / spread)
		n.Sustained = math.Floor(float64(n.PortsNow) * spread / (d.Life + waitSeconds))
		n.SustainedReusing = math.Floor(float64(n.PortsNow) * spread / (d.Life + reuseDelay(l)))
	}
	_, n.ReuseOn = SustainedReusing(l, n.PortsNow)
	if n.PortsNow > 0 {
		n.Addresses = (n.counted() + n.PortsNow - 1) / n.PortsNow
	}
	return n
}

// certain is how many ports the kernel gives for sure.
func certain(l *event.Limits) int {
	dealt := Dealt(l.Range, l.Reserved).Count()
	if dealt > 1 && l.Range.Ports()%2 == 1 {
		return dealt - 1
	}
	return dealt
}

// roundUp is the next whole number, past what arithmetic adds to a whole one; 1 at
// least.
func roundUp(x float64) int { return max(int(math.Ceil(x-1e-6)), 1) }

// counted is the number of ports as the namespace is set now.
func (n *Need) counted() int {
	if n.ReuseOn {
		return n.PortsReusing
	}
	return n.Ports
}

func (n *Need) summary() string {
	destinations := "one destination"
	if n.Destinations > 1 {
		destinations = fmt.Sprintf("each of %d destinations", n.Destinations)
	}
	load := fmt.Sprintf("%d connections at once", n.Connections)
	if n.Connections == 0 {
		load = fmt.Sprintf("%g connections a second of %g s", n.Rate, n.Life)
	}
	takes := fmt.Sprintf("%s take %s towards %s; the range gives %d", load, plural(n.counted(), "port", "ports"), destinations, n.PortsNow)
	switch {
	case n.PortsNow == 0:
		return takes + "."
	case n.Fits():
		return takes + ": it fits."
	}
	return takes + fmt.Sprintf(": it takes %d local addresses, or %d times the destinations.", n.Addresses, n.Addresses)
}
