package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"runtime"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed performance.md.tmpl
var page string

// report is what the page shows.
type report struct {
	Date, Machine, Kernel, Command, Script string
	Settings                               map[string]any
	Rate                                   int
	Throughput, FixedRate, Cost            [][]string
	Soaks                                  [][]string
	Farewells                              []string
}

func render(s *settings, r *results) ([]byte, error) {
	funcs := template.FuncMap{"row": func(cells ...string) string { return row(cells) }, "rows": rows}
	t, err := template.New("page").Funcs(funcs).Parse(page)
	if err != nil {
		return nil, err
	}
	kernel, err := kernelRelease()
	if err != nil {
		return nil, err
	}
	w := report{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: machine(), Kernel: kernel,
		Command: s.command, Script: bpftraceScript, Rate: r.rate,
		Settings: map[string]any{
			"rounds": s.rounds, "cost": s.costRounds(), "seconds": int(s.length.Seconds()), "soak": int(s.soak.Seconds()),
		},
		Throughput: throughputRows(r.throughput), FixedRate: fixedRateRows(r.fixedRate), Cost: costRows(r.cost),
	}
	for _, k := range r.soaks {
		w.Soaks = append(w.Soaks, soakRow(k))
		w.Farewells = append(w.Farewells, k.name()+":\n"+k.sample.Said.text)
	}
	var out bytes.Buffer
	err = t.Execute(&out, w)
	return out.Bytes(), err
}

// eachCell calls fn for every cell that was measured, in a fixed order.
func eachCell(samples map[cell][]sample, fn func(cell, []sample)) {
	for _, load := range []string{loadWeb, loadChurn} {
		for _, tool := range []string{nothing, portwatch, tcpstates, bpftrace} {
			c := cell{load, tool}
			if got := samples[c]; len(got) > 0 {
				fn(c, got)
			}
		}
	}
}

func throughputRows(samples map[cell][]sample) (table [][]string) {
	eachCell(samples, func(c cell, got []sample) {
		line := []string{
			c.load, c.tool, spreadOf(got, (*sample).perSecond).format(0), "", "", "", "", "",
		}
		if c.tool != nothing {
			line[3] = ratios(got, samples[cell{c.load, nothing}], (*sample).perSecond).change()
			line[4] = spreadOf(got, toolMicros).format(1)
			line[5] = spreadOf(got, func(s *sample) float64 { return mebibytes(s.RSS) }).format(0)
			line[6] = spreadOf(got, func(s *sample) float64 { return mebibytes(s.Kernel.MapBytes) }).format(1)
			line[7] = spreadOf(got, func(s *sample) float64 { return float64(s.Said.lost) }).format(0)
		}
		table = append(table, line)
	})
	return table
}

func fixedRateRows(samples map[cell][]sample) (table [][]string) {
	micros := func(s *sample) float64 { return s.perConnection(s.Busy.Seconds() * 1e6) }
	eachCell(samples, func(c cell, got []sample) {
		line := []string{c.tool, spreadOf(got, (*sample).perSecond).format(0), spreadOf(got, micros).format(1), "", ""}
		if c.tool != nothing {
			line[3] = ratios(got, samples[cell{c.load, nothing}], micros).change()
			line[4] = spreadOf(got, toolMicros).format(1)
		}
		table = append(table, line)
	})
	return table
}

func costRows(samples map[cell][]sample) (table [][]string) {
	perConnection := func(s *sample) float64 { return s.perConnection(float64(s.Kernel.RunTime)) }
	eachCell(samples, func(c cell, got []sample) {
		line := []string{
			c.load, c.tool,
			spreadOf(got, func(s *sample) float64 { return float64(s.Kernel.RunTime) / float64(s.Kernel.Runs) }).format(0),
			spreadOf(got, func(s *sample) float64 { return s.perConnection(float64(s.Kernel.Runs)) }).format(1),
			spreadOf(got, perConnection).format(0),
			"", "",
			spreadOf(got, lostPercent).format(2),
		}
		if peer := samples[cell{c.load, tcpstates}]; len(peer) > 0 && c.tool != tcpstates {
			line[5] = fmt.Sprintf("%.1f", 1/ratios(got, peer, perConnection).median)
		}
		if c.tool == portwatch {
			line[6] = spreadOf(got, func(s *sample) float64 { return s.perConnection(float64(s.Said.events)) }).format(2)
		}
		table = append(table, line)
	})
	return table
}

// lostPercent is the part of its events that a tool lost. A run of a peer's
// program is one event and becomes one line; portwatch counts its losses.
func lostPercent(s *sample) float64 {
	if s.Said.events > 0 {
		return 100 * float64(s.Said.lost) / float64(s.Said.events+s.Said.lost)
	}
	// The lines also hold what happened before the load.
	return 100 * max(0, 1-float64(s.Printed)/float64(s.Kernel.Runs))
}

func soakRow(k soak) []string {
	s := &k.sample
	return []string{
		k.name(), fmt.Sprint(s.Connections), fmt.Sprintf("%.0f", s.perSecond()), fmt.Sprint(s.Said.events),
		fmt.Sprint(s.Said.lost), fmt.Sprint(s.Kernel.Skipped), fmt.Sprintf("%.0f", mebibytes(s.RSS)),
	}
}

func (k *soak) name() string {
	if k.options.RPS {
		return k.options.Kind + ", RPS"
	}
	return k.options.Kind
}

func toolMicros(s *sample) float64 { return s.perConnection(s.ToolCPU.Seconds() * 1e6) }

func mebibytes(n uint64) float64 { return float64(n) / (1 << 20) }

func row(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" }

func rows(table [][]string) string {
	lines := make([]string, len(table))
	for i, cells := range table {
		lines[i] = row(cells)
	}
	return strings.Join(lines, "\n")
}

func kernelRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:]), nil
}

// machine names the processor and what there is of it.
func machine() string {
	name := runtime.GOARCH
	data, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		if _, rest, found := strings.Cut(string(data), "model name\t: "); found {
			name, _, _ = strings.Cut(rest, "\n")
		}
	}
	return fmt.Sprintf("%s, %d CPUs", name, runtime.NumCPU())
}
