package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// cell is where a sample stands in the tables.
type cell struct{ load, tool string }

// results are the samples of each phase, in the order of their rounds.
type results struct {
	throughput, fixedRate, cost map[cell][]sample
	rate                        int // of the fixed-rate phase
	soaks                       []soak
}

// soak is one long load of the loss phase.
type soak struct {
	options loadOptions
	sample  sample
}

// phase is a set of rounds: every load beside every tool, again and again.
type phase struct {
	name    string
	loads   []string
	rounds  int
	counted bool // the kernel times the programs
	options loadOptions
}

// throughput measures how many connections the machine makes beside each tool.
func throughput(s *settings, r *results) (err error) {
	p := phase{
		name: "throughput", loads: []string{loadWeb, loadChurn}, rounds: s.rounds,
		options: loadOptions{Length: s.length},
	}
	r.throughput, err = p.run(s)
	return err
}

// fixedRate measures CPU time where neither load nor tool fills the machine.
func fixedRate(s *settings, r *results) error {
	if !s.wants("rate", loadChurn, nothing) {
		return nil
	}
	full, err := trial(tool{name: nothing}, loadOptions{Kind: loadChurn, Length: s.length}, nil)
	if err != nil {
		return err
	}
	r.rate = int(full.perSecond() / 2)
	p := phase{
		name: "rate", loads: []string{loadChurn}, rounds: s.rounds,
		options: loadOptions{Length: s.length, Rate: r.rate},
	}
	r.fixedRate, err = p.run(s)
	return err
}

// cost has the kernel count the programs' time, and waits until the last
// TIME_WAIT has ended: its end is part of a connection's cost.
func cost(s *settings, r *results) (err error) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return fmt.Errorf("switch statistics on: %w", err)
	}
	defer func() { err = errors.Join(err, stats.Close()) }()
	p := phase{
		name: "cost", loads: []string{loadWeb, loadChurn}, rounds: s.costRounds(), counted: true,
		options: loadOptions{Length: s.length, Expire: true},
	}
	r.cost, err = p.run(s)
	return err
}

// loss runs portwatch for long at the highest rate, with packets handled where
// they are sent and handed to other CPUs.
func loss(s *settings, r *results) error {
	for _, rps := range []bool{false, true} {
		for _, load := range []string{loadWeb, loadChurn} {
			if !s.wants("loss", load, portwatch) {
				continue
			}
			o := loadOptions{Kind: load, Length: s.soak, RPS: rps}
			progress("loss: %s beside %s for %s, rps %t", load, portwatch, s.soak, rps)
			got, err := uncounted(tools(s.binary)[1], o)
			if err != nil {
				return err
			}
			r.soaks = append(r.soaks, soak{o, got})
		}
	}
	return nil
}

// run goes through the rounds, each with another tool first, so that a drift of
// the machine falls on all alike.
func (p *phase) run(s *settings) (map[cell][]sample, error) {
	samples := map[cell][]sample{}
	all := tools(s.binary)
	for round := range p.rounds {
		for _, load := range p.loads {
			for i := range all {
				t := all[(i+round)%len(all)]
				if !s.wants(p.name, load, t.name) || p.counted && t.argv == nil {
					continue
				}
				progress("%s %d of %d: %s beside %s", p.name, round+1, p.rounds, load, t.name)
				got, err := p.trial(t, load)
				if err != nil {
					return nil, err
				}
				samples[cell{load, t.name}] = append(samples[cell{load, t.name}], got)
			}
		}
	}
	return samples, nil
}

func (p *phase) trial(t tool, load string) (sample, error) {
	o := p.options
	o.Kind = load
	if p.counted {
		return counted(t, o)
	}
	return uncounted(t, o)
}

// uncounted is a trial that refuses to measure speed while the kernel times
// every program. The setting tells of the sysctl; that somebody holds a
// BPF_ENABLE_STATS descriptor shows only in the counts, and may pass.
func uncounted(t tool, o loadOptions) (sample, error) {
	data, err := os.ReadFile("/proc/sys/kernel/bpf_stats_enabled")
	if err != nil {
		return sample{}, err
	}
	if strings.TrimSpace(string(data)) != "0" {
		return sample{}, errors.New("kernel.bpf_stats_enabled is on and slows every program; next: sysctl -w kernel.bpf_stats_enabled=0")
	}
	for range 5 {
		got, err := trial(t, o, nil)
		if err != nil || got.Kernel.Runs == 0 {
			return got, err
		}
		progress("again: another process had the kernel time BPF programs")
	}
	return sample{}, errors.New("a process has the kernel time BPF programs, which slows them; next: end it")
}

// progress tells a person on stderr what is going on.
func progress(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, format+"\n", args...)
}
