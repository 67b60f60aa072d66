// Package internal holds the test of the import table: arrows run one way,
// event ← everything ← cmd.
package internal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/portwatch/portwatch"

// layer says what a package may import beside the standard library. Names are
// patterns of [path.Match]; those of the module are relative to it.
type layer struct {
	packages string
	imports  []string
}

const (
	sys  = "golang.org/x/sys/unix"
	ebpf = "github.com/cilium/ebpf"
)

// The table of ARCHITECTURE.md. A package without a row is an error, and so is
// a row without a package. .golangci.yml repeats the fences of libraries.
var layers = []layer{
	{"internal", nil},
	{"internal/event", nil},
	{"internal/aggregate", []string{"internal/event"}},
	{"docs", nil},
	{"internal/host", []string{"internal/event"}},
	{"internal/launch", []string{sys}},
	{"internal/recording", []string{"internal/event", sys, "github.com/klauspost/compress/zstd"}},
	{"internal/output/*", []string{"internal/event", "internal/aggregate", "internal/host", "internal/output/fields"}},
	{"internal/tracer/netns", []string{sys}},
	{"internal/tracer/portrange", []string{"internal/event", "internal/tracer/netns"}},
	{"internal/tracer/workload", []string{"internal/event", "internal/tracer/netns", sys}},
	{"internal/tracer/sockdiag", []string{
		"internal/event", "internal/tracer/netns", sys, "github.com/mdlayher/netlink", "github.com/mdlayher/netlink/*",
	}},
	{"internal/tracer/route", []string{sys, "github.com/mdlayher/netlink"}},
	{"internal/tracer/tracertest", []string{
		"internal/event", "internal/tracer/netns", "internal/tracer/sockdiag", sys, "github.com/mdlayher/netlink",
	}},
	{"internal/tracer", []string{
		"internal/event", "internal/tracer/netns", "internal/tracer/portrange", "internal/tracer/workload",
		"internal/tracer/sockdiag", sys, "go.uber.org/zap",
		ebpf, ebpf + "/asm", ebpf + "/btf", ebpf + "/link", ebpf + "/ringbuf", ebpf + "/rlimit",
	}},
	{"internal/verify", []string{
		"internal/event", "internal/aggregate", "internal/tracer", "internal/tracer/netns", "internal/tracer/sockdiag", sys,
	}},
	{"cmd/portwatch", []string{
		"docs", "internal/event", "internal/aggregate", "internal/host", "internal/launch", "internal/recording", "internal/verify", "internal/output/*", "internal/tracer", "internal/tracer/*",
		"github.com/spf13/cobra", "github.com/spf13/pflag", "go.uber.org/zap", "go.uber.org/zap/zapcore", sys,
	}},
	{"scripts/bench", []string{ebpf, sys}},
	{"scripts/vmtest", []string{"scripts/vmtest/plan", sys}},
	{"scripts/vmtest/init", []string{"scripts/vmtest/plan", "internal/tracer/netns", sys}},
	{"scripts/vmtest/plan", nil},
}

// What tests may import beyond their package's row, and nothing else may.
var forTests = []string{
	"internal/tracer/tracertest", "internal/output/schematest",
	"github.com/google/go-cmp/cmp", "github.com/google/go-cmp/cmp/cmpopts",
	"github.com/rogpeppe/go-internal/testscript", "github.com/rogpeppe/go-internal/txtar",
	"go.uber.org/zap/zaptest", "go.uber.org/zap/zaptest/observer",
}

// goPackage is what go list says of a package.
type goPackage struct {
	Dir, ImportPath                    string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
}

func TestLayers(t *testing.T) {
	packages, err := list()
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range check(packages) {
		t.Error(violation)
	}
}

func TestCheck(t *testing.T) {
	full := make([]goPackage, 0, len(layers))
	for _, l := range layers {
		full = append(full, goPackage{ImportPath: path.Join(module, strings.ReplaceAll(l.packages, "*", "text"))})
	}
	tests := []struct {
		name string
		have goPackage
		want string // within the one violation; "" for none
	}{
		{"up", goPackage{ImportPath: "internal/event", Imports: []string{"internal/aggregate"}}, "internal/event imports internal/aggregate"},
		{"down", goPackage{ImportPath: "internal/aggregate", Imports: []string{"internal/event"}}, ""},
		{"standard", goPackage{ImportPath: "internal/event", Imports: []string{"net/netip"}}, ""},
		{"library", goPackage{ImportPath: "internal/output/text", Imports: []string{ebpf}}, "internal/output/text imports " + ebpf},
		{"helper in test", goPackage{ImportPath: "internal/tracer", TestImports: []string{"internal/tracer/tracertest"}}, ""},
		{"helper outside", goPackage{ImportPath: "internal/tracer", Imports: []string{"internal/tracer/tracertest"}}, "imports internal/tracer/tracertest"},
		{"up in test", goPackage{ImportPath: "internal/aggregate", XTestImports: []string{"internal/tracer"}}, "test of internal/aggregate imports internal/tracer"},
		{"self in test", goPackage{ImportPath: "internal/event", XTestImports: []string{"internal/event"}}, ""},
		{"new package", goPackage{ImportPath: "internal/novel"}, "internal/novel has no row"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := check(append(slices.Clone(full), absolute(tt.have)))
			switch {
			case tt.want == "" && len(got) == 0:
			case tt.want != "" && len(got) == 1 && strings.Contains(got[0], tt.want):
			default:
				t.Errorf("check() = %q, want one with %q", got, tt.want)
			}
		})
	}
	if got := check(full[1:]); len(got) != 1 || !strings.Contains(got[0], "no package") {
		t.Errorf("check() without a package of the table = %q", got)
	}
}

// absolute puts the module in front of the names of its packages.
func absolute(p goPackage) goPackage {
	full := func(names []string) []string {
		names = slices.Clone(names)
		for i, name := range names {
			if strings.HasPrefix(name, "internal/") {
				names[i] = path.Join(module, name)
			}
		}
		return names
	}
	p.ImportPath = path.Join(module, p.ImportPath)
	p.Imports, p.TestImports, p.XTestImports = full(p.Imports), full(p.TestImports), full(p.XTestImports)
	return p
}

// check returns every arrow that the table does not have.
func check(packages []goPackage) (violations []string) {
	met := map[string]bool{}
	for _, p := range packages {
		name := relative(p.ImportPath)
		row, found := rowOf(name)
		if !found {
			violations = append(violations, name+" has no row in the import table")
			continue
		}
		met[row.packages] = true
		for _, imported := range p.Imports {
			if !matches(row.imports, relative(imported)) {
				violations = append(violations, fmt.Sprintf("%s imports %s", name, relative(imported)))
			}
		}
		allowed := slices.Concat(row.imports, forTests, []string{name})
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if !matches(allowed, relative(imported)) {
				violations = append(violations, fmt.Sprintf("test of %s imports %s", name, relative(imported)))
			}
		}
	}
	for _, l := range layers {
		if !met[l.packages] {
			violations = append(violations, "the import table has a row for "+l.packages+" and there is no package")
		}
	}
	return violations
}

func rowOf(name string) (layer, bool) {
	i := slices.IndexFunc(layers, func(l layer) bool { return matches([]string{l.packages}, name) })
	if i < 0 {
		return layer{}, false
	}
	return layers[i], true
}

// matches reports whether a package is of the standard library, whose first
// element has no dot, or is named by a pattern.
func matches(patterns []string, name string) bool {
	first, _, _ := strings.Cut(name, "/")
	if !strings.Contains(first, ".") && !slices.Contains([]string{"internal", "cmd", "docs", "scripts"}, first) {
		return true
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

func relative(importPath string) string { return strings.TrimPrefix(importPath, module+"/") }

// list asks the go command for the module's packages.
func list() ([]goPackage, error) {
	cmd := exec.Command("go", "list", "-json="+strings.Join([]string{
		"Dir", "ImportPath", "GoFiles", "TestGoFiles", "XTestGoFiles", "Imports", "TestImports", "XTestImports",
	}, ","), "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(out))
	var packages []goPackage
	for {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		packages = append(packages, p)
		touch(p)
	}
}

// touch looks at the files of a package: the go command repeats a cached result
// of this test until a file changes that the test itself has looked at.
func touch(p goPackage) {
	for _, name := range slices.Concat([]string{"."}, p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
		_, _ = os.Stat(filepath.Join(p.Dir, name))
	}
}
