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
	level   *level
	test    string
	numbers string // as its comment says: "17, 18", or ""
}

// level is what a package proves of the scenarios.
type level struct{ word, pkg string }

// levels are where the scenarios are proven: what the stream says, and what the
// picture does.
var levels = []*level{{"events", "internal/tracer"}, {"ledger", verifyPackage}}

// scenarioNumbers are those at the head of a test's comment.
var scenarioNumbers = regexp.MustCompile(`^Scenarios? ([0-9, and]+):`)

// readScenarios lists the scenarios of all levels, in the order of their numbers.
func readScenarios(root string) ([]scenario, error) {
	var all []scenario
	for _, lv := range levels {
		found, err := lv.read(root)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b scenario) int { return cmp.Compare(a.first(), b.first()) })
	return all, nil
}

// read lists the tests of the package's scenario_*_test.go files.
func (lv *level) read(root string) ([]scenario, error) {
	pattern := filepath.Join(root, lv.pkg, "scenario_*_test.go")
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var found []scenario
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read scenarios: %w", err)
		}
		found = append(found, lv.scenariosOf(file)...)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("read scenarios: no test in %s", pattern)
	}
	return found, nil
}

func (lv *level) scenariosOf(file *ast.File) []scenario {
	var found []scenario
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") {
			continue
		}
		s := scenario{level: lv, test: f.Name.Name}
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

// names are the tests of a package.
func names(scenarios []scenario, pkg string) []string {
	var tests []string
	for _, s := range scenarios {
		if s.level.pkg == pkg {
			tests = append(tests, s.test)
		}
	}
	return tests
}
