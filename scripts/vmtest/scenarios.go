package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// scenario is a test of the matrix.
type scenario struct {
	test    string
	numbers string // as its comment says: "17, 18", or ""
}

// scenarioNumbers are those at the head of a test's comment.
var scenarioNumbers = regexp.MustCompile(`^Scenarios? ([0-9, and]+):`)

// readScenarios lists the tests of a package's scenario_*_test.go files, those
// with numbers first.
func readScenarios(dir string) ([]scenario, error) {
	files, err := filepath.Glob(filepath.Join(dir, "scenario_*_test.go"))
	if err != nil {
		return nil, err
	}
	var found []scenario
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read scenarios: %w", err)
		}
		found = append(found, scenariosOf(file)...)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("read scenarios: no test in %s", filepath.Join(dir, "scenario_*_test.go"))
	}
	slices.SortStableFunc(found, func(a, b scenario) int {
		return cmp.Compare(a.first(), b.first())
	})
	return found, nil
}

func scenariosOf(file *ast.File) []scenario {
	var found []scenario
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") {
			continue
		}
		s := scenario{test: f.Name.Name}
		if m := scenarioNumbers.FindStringSubmatch(f.Doc.Text()); m != nil {
			s.numbers = strings.ReplaceAll(m[1], " and ", ", ")
		}
		found = append(found, s)
	}
	return found
}

// first is the number to sort by; those without come last.
func (s scenario) first() int {
	n := 1 << 30
	_, _ = fmt.Sscanf(s.numbers, "%d", &n)
	return n
}

func names(scenarios []scenario) []string {
	tests := make([]string, len(scenarios))
	for i, s := range scenarios {
		tests[i] = s.test
	}
	return tests
}
