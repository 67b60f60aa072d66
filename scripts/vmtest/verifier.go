package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// verifierTest says how many instructions the kernel's verifier walked for each
// program; it runs on every kernel and in every mode.
const verifierTest = "TestVerifierBudget"

const verifierTable = "docs/verifier.md"

// growth is how much a program may grow before somebody must look at it.
const growth = 1.10

var verifiedProgram = regexp.MustCompile(`: verified: (\S+) (\S+) (\d+)`)

// program is one row of the table: constants differ by mode, and so does what
// is left of a program.
type program struct{ name, mode string }

func compareProgram(a, b program) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.mode, b.mode))
}

// budget is how many instructions the verifiers walked, by program and series.
type budget map[program]map[string]int

func (b budget) set(p program, series string, walked int) {
	if b[p] == nil {
		b[p] = map[string]int{}
	}
	b[p][series] = walked
}

// series are the kernels of the table, oldest first.
func (b budget) series() []string {
	seen := map[string]bool{}
	for _, row := range b {
		for series := range row {
			seen[series] = true
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b string) int {
		var aMajor, aMinor, bMajor, bMinor int
		_, _ = fmt.Sscanf(a, "%d.%d", &aMajor, &aMinor)
		_, _ = fmt.Sscanf(b, "%d.%d", &bMajor, &bMinor)
		return cmp.Or(cmp.Compare(aMajor, bMajor), cmp.Compare(aMinor, bMinor))
	})
}

// measured is what the columns said.
func measured(columns []*column) budget {
	b := budget{}
	for _, c := range columns {
		series := c.kernel
		if series == host {
			series = hostSeries()
		}
		for _, r := range c.results {
			for _, m := range verifiedProgram.FindAllSubmatch(r.output, -1) {
				walked, _ := strconv.Atoi(string(m[3])) // the pattern permits digits only
				b.set(program{name: string(m[2]), mode: string(m[1])}, series, walked)
			}
		}
	}
	return b
}

// hostSeries is the kernel at hand as "6.18"; "" if it does not say.
func hostSeries() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	parts := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	if len(parts) < 2 {
		return ""
	}
	return parts[0] + "." + parts[1]
}

// excess are the programs that need over a tenth more than the table says, and
// those that the table does not know. A kernel that is not in the table is not
// compared.
func (b budget) excess(table budget) []string {
	known := table.series()
	var found []string
	for _, p := range slices.SortedFunc(maps.Keys(b), compareProgram) {
		for _, series := range b.series() {
			walked, ran := b[p][series]
			if !ran || !slices.Contains(known, series) {
				continue
			}
			if allowed, ok := table[p][series]; !ok || float64(walked) > float64(allowed)*growth {
				found = append(found, fmt.Sprintf("%s in mode %s on %s: the verifier walks %d instructions, %s says %d; next: make it smaller, or scripts/vmtest/run -update-verifier",
					p.name, p.mode, series, walked, verifierTable, allowed))
			}
		}
	}
	return found
}

// readBudget reads the table; one that is not there is empty.
func readBudget(file string) (budget, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return budget{}, nil
	}
	if err != nil {
		return nil, err
	}
	b := budget{}
	var series []string
	for line := range bytes.Lines(text) {
		cells := tableCells(string(line))
		switch {
		case len(cells) < 3 || strings.HasPrefix(cells[0], "-"):
		case cells[0] == "program":
			series = cells[2:]
		default:
			for i, cell := range cells[2:] {
				if walked, err := strconv.Atoi(cell); err == nil && i < len(series) {
					b.set(program{name: cells[0], mode: cells[1]}, series[i], walked)
				}
			}
		}
	}
	return b, nil
}

// tableCells are the cells of a Markdown table's line; nil for another line.
func tableCells(line string) []string {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

const verifierHead = `# What the verifier walks

How many instructions the kernel's verifier walks for each program, by kernel. A
kernel gives up at one million; what matters is growth: over a tenth more than
stands here fails ` + "`make test-kernels`" + `, until somebody has looked and written the
table anew:

    scripts/vmtest/run -update-verifier

`

// writeBudget writes the table: what was measured now, and of the kernels and
// modes that did not run what stood there.
func writeBudget(file string, now, before budget) error {
	all := budget{}
	ran := map[program]bool{} // the name is the series here
	for p, row := range now {
		for series, walked := range row {
			all.set(p, series, walked)
			ran[program{series, p.mode}] = true
		}
	}
	for p, row := range before {
		for series, walked := range row {
			if !ran[program{series, p.mode}] {
				all.set(p, series, walked)
			}
		}
	}
	var b strings.Builder
	b.WriteString(verifierHead)
	series := all.series()
	fmt.Fprintf(&b, "| program | mode | %s |\n|---|---|%s\n", strings.Join(series, " | "), strings.Repeat("--:|", len(series)))
	for _, p := range slices.SortedFunc(maps.Keys(all), compareProgram) {
		fmt.Fprintf(&b, "| %s | %s |", p.name, p.mode)
		for _, s := range series {
			cell := ""
			if walked, ok := all[p][s]; ok {
				cell = strconv.Itoa(walked)
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteByte('\n')
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}
