package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/portwatch/portwatch/scripts/vmtest/plan"
)

func TestScenariosOf(t *testing.T) {
	const source = `package tracer
// Scenario 4: UDP.
func TestUDP(t *testing.T) {}
// Scenarios 17 and 18: losses.
func TestLoss(t *testing.T) {}
// As in scenario 3: no number of its own.
func TestOther(t *testing.T) {}
// Scenario 5: no test.
func helper() {}
func (s *stage) TestMethod() {}
`
	file, err := parser.ParseFile(token.NewFileSet(), "x_test.go", source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	lv := levels[0]
	want := []scenario{{lv, "TestUDP", "4"}, {lv, "TestLoss", "17, 18"}, {lv, "TestOther", ""}}
	if got := lv.scenariosOf(file); !slices.Equal(got, want) {
		t.Errorf("scenariosOf() = %+v, want %+v", got, want)
	}
}

// The tests that exist are found, by number, and each of the 26 scenarios is
// proven at each level.
func TestReadScenarios(t *testing.T) {
	scenarios, err := readScenarios("../..")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(scenarios, func(a, b scenario) int { return a.first() - b.first() }) {
		t.Errorf("not in order: %+v", scenarios)
	}
	for _, lv := range levels {
		proven := map[string]bool{}
		for _, s := range scenarios {
			if s.level == lv {
				for number := range strings.SplitSeq(s.numbers, ", ") {
					proven[number] = true
				}
			}
		}
		for number := 1; number <= 26; number++ {
			// Event by event there is no diagnosis and no capacity.
			if number := fmt.Sprint(number); !proven[number] && (lv.word == "ledger" || number != "5" && number != "6" && number != "14") {
				t.Errorf("no test proves scenario %s at the level of %s", number, lv.word)
			}
		}
	}
	if _, err := readScenarios("."); err == nil {
		t.Error("a tree without scenarios is no error")
	}
}

func TestMatrix(t *testing.T) {
	good := &column{kernel: "6.1", mode: "full", results: []*result{
		{pkg: "p", name: "TestA", outcome: unknowable, facts: []string{"the errno"}},
		{pkg: "p", name: "TestA/sub", outcome: passed},
		{pkg: "p", name: "TestUnit", outcome: passed},
		{pkg: "q", name: "TestQ", outcome: unknowable},
		{pkg: "q", name: "TestA", outcome: passed},
	}}
	bad := &column{kernel: "7.2", mode: "full", results: []*result{
		{pkg: "p", name: "TestA", outcome: passed},
		{pkg: "p", name: "TestUnit", outcome: passed},
		{pkg: "p", name: "TestUnit2", outcome: failed},
		{pkg: "p", name: "TestUnit3", outcome: unknowable},
	}, notes: []string{"crashed once"}}
	bad.require("p", []string{"TestA", "TestB"})
	p, q := &level{"events", "p"}, &level{"ledger", "q"}
	m := &matrix{scenarios: []scenario{{p, "TestA", "1"}, {q, "TestA", "2"}, {p, "TestB", ""}}, columns: []*column{good, bad}}
	var out strings.Builder
	m.print(&out)
	const want = `
SCENARIO  LEVEL   TEST              6.1 full     7.2 full
1         events  TestA             cannot know  passed
          events  TestA/sub         passed       -
2         ledger  TestA             passed       -
          events  TestB             -            FAILED
                  other tests of p  passed       FAILED
                  other tests of q  cannot know  -
                  took              0s           0s
cannot know: 6.1 full: TestA: the errno
note: 7.2 full: crashed once
FAILED: 7.2 full: TestUnit2
FAILED: 7.2 full: TestB: it did not run
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("printed%s\nwant%s", got, want)
	}
	if got := m.failed(); got != 1 {
		t.Errorf("failed() = %d, want 1", got)
	}
}

// A binary whose exit status does not fit its tests has failed.
func TestJudge(t *testing.T) {
	passing := framed("=== RUN   TestA", "--- PASS: TestA (0.00s)", "PASS")
	failing := framed("=== RUN   TestA", "--- FAIL: TestA (0.00s)", "FAIL")
	tests := []struct {
		name   string
		output []byte
		code   int
		want   string // within the only problem; "" for none
	}{
		{"good", passing, 0, ""},
		{"bad", failing, 1, ""},
		{"bad at exit", passing, 2, "which no test explains"},
		{"bad in secret", failing, 0, "although a test failed"},
		{"empty", nil, 0, "no test ran"},
		{"never began", nil, -1, "which no test explains"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, l := &column{}, &lab{settings: &settings{}}
			err := l.judge(c, "q", ending{tt.output, plan.Note{Code: tt.code, Text: "exit status 0"}})
			if err != nil {
				t.Fatal(err)
			}
			if len(c.problems) > 1 || strings.Join(c.problems, "") == "" != (tt.want == "") || !strings.Contains(strings.Join(c.problems, ""), tt.want) {
				t.Errorf("problems %q, want %q", c.problems, tt.want)
			}
		})
	}
}

func TestParseFlags(t *testing.T) {
	for _, args := range [][]string{{"-kernels", ","}, {"-modes", ""}, {"-jobs", "0"}, {"-limit", "1s"}, {"-run", "("}} {
		if _, err := parseFlags(args); err == nil {
			t.Errorf("parseFlags(%q) is no error", args)
		}
	}
	s, err := parseFlags([]string{"-kernels", "6.1, 7.2", "-packages", "internal/tracer/netns", "bin/portwatch", "doctor"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.kernels, []string{"6.1", "7.2"}) || !slices.Equal(s.program, []string{"bin/portwatch", "doctor"}) ||
		!slices.Equal(s.packages, append(slices.Clone(modePackages), "internal/tracer/netns")) {
		t.Errorf("parseFlags() = %+v", s)
	}
}
