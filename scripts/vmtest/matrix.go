package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// column is what one kernel did in one mode.
type column struct {
	kernel, mode string
	results      []*result // in the order in which the tests began
	problems     []string  // beyond those of single tests; a column with one has failed
	notes        []string  // what a reader should know although nothing failed
	took         time.Duration
}

func (c *column) name() string { return c.kernel + " " + c.mode }

// require makes every test that did not run one that failed.
func (c *column) require(pkg string, tests []string) {
	for _, name := range tests {
		if !slices.ContainsFunc(c.results, func(r *result) bool { return r.pkg == pkg && r.name == name }) {
			c.results = append(c.results, &result{pkg: pkg, name: name, cause: "it did not run"})
		}
	}
}

// failures are the tests that failed.
func (c *column) failures() []*result {
	return slices.DeleteFunc(slices.Clone(c.results), func(r *result) bool { return r.outcome != failed })
}

// cell is the worst of a row's outcomes. A sub-test may belong to one kernel
// or mode only: where it did not run, its parent answers for it.
func (c *column) cell(r *row) string {
	cell, worst := "-", passed
	for _, res := range c.results {
		if !r.holds(res) {
			continue
		}
		if res.outcome == failed || worst == passed {
			worst = res.outcome
		}
		cell = worst.String()
	}
	return cell
}

// row is a line of the matrix.
type row struct {
	numbers, level, title string
	holds                 func(*result) bool
}

// matrix is the table of everything that ran.
type matrix struct {
	scenarios []scenario
	columns   []*column
}

// rows are the scenarios, each followed by its sub-tests, and the other tests
// of each package.
func (m *matrix) rows() []row {
	var rows []row
	type place struct{ pkg, test string }
	isScenario := map[place]bool{}
	for _, s := range m.scenarios {
		isScenario[place{s.level.pkg, s.test}] = true
		rows = append(rows, testRow(s, s.test))
		for _, name := range m.collect(func(r *result) (string, bool) {
			return r.name, r.pkg == s.level.pkg && strings.HasPrefix(r.name, s.test+"/")
		}) {
			rows = append(rows, testRow(scenario{level: s.level}, name))
		}
	}
	isOther := func(r *result) bool { return !isScenario[place{r.pkg, r.root()}] }
	for _, pkg := range m.collect(func(r *result) (string, bool) { return r.pkg, isOther(r) }) {
		rows = append(rows, row{title: "other tests of " + pkg, holds: func(r *result) bool { return r.pkg == pkg && isOther(r) }})
	}
	return rows
}

func testRow(s scenario, test string) row {
	return row{s.numbers, s.level.word, test, func(r *result) bool { return r.pkg == s.level.pkg && r.name == test }}
}

// collect returns what pick picks from all results, each once.
func (m *matrix) collect(pick func(*result) (string, bool)) []string {
	var picked []string
	for _, c := range m.columns {
		for _, r := range c.results {
			if s, ok := pick(r); ok && !slices.Contains(picked, s) {
				picked = append(picked, s)
			}
		}
	}
	return picked
}

// print writes the table and what belongs to it.
func (m *matrix) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head, took := []string{"SCENARIO", "LEVEL", "TEST"}, []string{"", "", "took"}
	for _, c := range m.columns {
		head, took = append(head, c.name()), append(took, c.took.Round(time.Second).String())
	}
	fmt.Fprintln(table, strings.Join(head, "\t"))
	for _, row := range m.rows() {
		cells := []string{row.numbers, row.level, row.title}
		for _, c := range m.columns {
			cells = append(cells, c.cell(&row))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	fmt.Fprintln(table, strings.Join(took, "\t"))
	_ = table.Flush()

	for _, c := range m.columns {
		c.remark(w)
	}
}

// remark writes what does not fit into a cell.
func (c *column) remark(w io.Writer) {
	for _, r := range c.results {
		for _, fact := range r.facts {
			fmt.Fprintf(w, "cannot know: %s: %s: %s\n", c.name(), r.name, fact)
		}
	}
	for _, note := range c.notes {
		fmt.Fprintf(w, "note: %s: %s\n", c.name(), note)
	}
	for _, r := range c.failures() {
		fmt.Fprintf(w, "FAILED: %s: %s\n", c.name(), r)
	}
	for _, problem := range c.problems {
		fmt.Fprintf(w, "FAILED: %s: %s\n", c.name(), problem)
	}
}

// failed counts the columns that have.
func (m *matrix) failed() int {
	count := 0
	for _, c := range m.columns {
		if len(c.problems) > 0 || len(c.failures()) > 0 {
			count++
		}
	}
	return count
}
