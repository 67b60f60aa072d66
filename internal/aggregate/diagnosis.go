package aggregate

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// Diagnosis is a pattern in how an owner uses a pool's ports.
type Diagnosis string

// The diagnoses.
const (
	Churn             Diagnosis = "churn"
	Leak              Diagnosis = "leak"
	Idle              Diagnosis = "idle"
	Burst             Diagnosis = "burst"
	BindBeforeConnect Diagnosis = "bind_before_connect"
	Poisoning         Diagnosis = "poisoning"
	FixedPortInRange  Diagnosis = "fixed_port_in_range"
)

// The thresholds of the diagnoses.
const (
	churnWaits = 0.7         // share of the owner's ports that wait, at least
	churnLife  = time.Minute // its sockets' median life, less than
	leakFor    = time.Minute // without the end of a live lease, at least
	leakRise   = 10          // allocations meanwhile, at least
	idleShare  = 0.5         // of the live leases, without data for event.IdleAfter, at least
	burstOver  = 10          // peak second over the mean, more than
	burstLeast = 10          // requests in the peak second, at least: fewer are no burst
)

// Fact is a number that a diagnosis rests on.
type Fact struct {
	Name  string
	Value float64
	Unit  string // "" for a ratio
}

// diagnose judges an owner's part. The unknown owner is nobody: what holds for a
// crowd says nothing about one of it.
func (pt *part) diagnose(at event.Time) []Diagnosis {
	found := []Diagnosis{}
	if pt.owner.ID.Kind == event.OwnerUnknown {
		return found
	}
	for _, rule := range []struct {
		name  Diagnosis
		holds bool
	}{
		{Churn, pt.churns()},
		{Leak, pt.leaks(at)},
		{Idle, pt.idles()},
		{Burst, pt.bursts(at)},
		{BindBeforeConnect, pt.early > 0},
		{Poisoning, pt.poisoned > 0},
		{FixedPortInRange, len(pt.fixed) > 0},
	} {
		if rule.holds {
			found = append(found, rule.name)
		}
	}
	return found
}

func (pt *part) churns() bool {
	life, known := pt.lifeP50()
	return known && life < churnLife && pt.waitShare() >= churnWaits
}

// waitShare is the part of the owner's ports that wait.
func (pt *part) waitShare() float64 {
	if pt.ports == 0 {
		return 0
	}
	return float64(pt.waiting) / float64(pt.ports)
}

func (pt *part) leaks(at event.Time) bool {
	return pt.live > 0 && pt.risen >= leakRise && pt.rising(at) >= leakFor
}

// idles is false also where nobody has looked: no lease is idle then.
func (pt *part) idles() bool {
	return pt.idle > 0 && float64(pt.idle) >= idleShare*float64(pt.live)
}

// rising is how long no live lease has ended.
func (pt *part) rising(at event.Time) time.Duration {
	from := max(pt.since, pt.fell)
	if from == 0 {
		return 0
	}
	return time.Duration(at - min(at, from))
}

func (pt *part) bursts(at event.Time) bool {
	mean, known := pt.mean(at)
	return known && pt.peak >= burstLeast && float64(pt.peak) > burstOver*mean
}

// mean is the owner's requests a second since it was first seen, and false
// before a second has passed.
func (pt *part) mean(at event.Time) (float64, bool) {
	seen := time.Duration(at - min(at, pt.since))
	if pt.since == 0 || seen < time.Second {
		return 0, false
	}
	return float64(pt.allocations+pt.refusals) / seen.Seconds(), true
}

// evidence is what is known of the numbers behind all diagnoses, those that hold
// and those that do not.
func (pt *part) evidence(at event.Time) []Fact {
	facts := []Fact{{"time_wait_share", pt.waitShare(), ""}}
	if life, known := pt.lifeP50(); known {
		facts = append(facts, Fact{"life_seconds_p50", life.Seconds(), "seconds"})
	}
	facts = append(facts, Fact{"live", float64(pt.live), "ports"})
	if pt.deserted > 0 {
		facts = append(facts, Fact{"close_wait", float64(pt.deserted), "ports"})
	}
	if pt.looked != 0 {
		facts = append(facts, Fact{"idle", float64(pt.idle), "ports"},
			Fact{"idle_seen_seconds_ago", time.Duration(at - min(at, pt.looked)).Seconds(), "seconds"})
	}
	if pt.since != 0 {
		facts = append(facts, Fact{"rising_seconds", pt.rising(at).Seconds(), "seconds"},
			Fact{"allocated_meanwhile", float64(pt.risen), "allocations"}, Fact{"peak_per_second", float64(pt.peak), "per second"})
	}
	if mean, known := pt.mean(at); known {
		facts = append(facts, Fact{"mean_per_second", mean, "per second"})
	}
	for _, f := range []Fact{
		{"bound_before_connect", float64(pt.early), "ports"},
		{"poisoned", float64(pt.poisoned), "ports"},
		{"fixed_in_range", float64(len(pt.fixed)), "ports"},
	} {
		if f.Value > 0 {
			facts = append(facts, f)
		}
	}
	return facts
}
