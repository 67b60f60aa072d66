package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/portwatch/portwatch/docs"
)

// console blocks of a page: a command, and what it prints.
var consoleBlock = regexp.MustCompile("(?s)```console\n\\$ portwatch ([^\n]*)\n(.*?)```")

// TestPagesShowRealOutput runs each command of each page on an example host
// and compares what the page shows; -update writes it into the page.
func TestPagesShowRealOutput(t *testing.T) {
	calm, full := exampleHost(t, "testdata/pages-calm.txtar"), exampleHost(t, "testdata/pages-full.txtar")
	zone := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = zone })
	files, err := filepath.Glob("../../docs/pages/*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	for _, file := range files {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks := 0
		fresh := consoleBlock.ReplaceAllFunc(page, func(block []byte) []byte {
			blocks++
			line := string(consoleBlock.FindSubmatch(block)[1])
			return []byte("```console\n$ portwatch " + line + "\n" + outputOf(t, line, calm, full) + "```")
		})
		if blocks == 0 && filepath.Base(file) != "words.md" {
			t.Errorf("%s has no command", file)
		}
		if bytes.Equal(fresh, page) {
			continue
		}
		if !*update {
			t.Errorf("%s shows what portwatch does not print: go test ./cmd/portwatch -run Pages -update", file)
			continue
		}
		if err := os.WriteFile(file, fresh, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// outputOf runs a command line of a page: limits on a client whose range is
// full, or for one process on a calm host, range on that too, and everything
// else over the scenario of an outage.
func outputOf(t *testing.T, line, calm, full string) string {
	t.Helper()
	args := strings.Fields(line)
	switch {
	case line == "limits":
		args = append(args, "--root", full)
	case slices.Contains([]string{"range", "limits"}, args[0]):
		args = append(args, "--root", calm)
	}
	k, err := scriptedKernel("outage")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	terminal := func(name string) string { return map[string]string{"COLUMNS": "80"}[name] }
	run(t.Context(), args, app{stdout: &stdout, stderr: &stderr, env: terminal, kernel: k})
	if stdout.Len() == 0 {
		t.Fatalf("portwatch %s prints nothing: %s", line, stderr.String())
	}
	return stdout.String()
}

// exampleHost lays out the tree of a host of the pages.
func exampleHost(t *testing.T, archive string) string {
	t.Helper()
	host, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, f := range host.Files {
		name := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestPagesAskForKnownFacts: a page's wish for a fact of the host is one that
// the table can fulfil, and none of the table is without a page.
func TestPagesAskForKnownFacts(t *testing.T) {
	asked := map[string]bool{}
	for _, p := range docs.Pages() {
		for _, fact := range p.Host {
			asked[fact] = true
			if factsTable[fact] == nil {
				t.Errorf("page %s asks for %q", p.Name, fact)
			}
		}
		prose := consoleBlock.ReplaceAllString(p.Text, "") // output has a width of its own
		for line := range strings.Lines(prose) {
			if !strings.HasPrefix(line, "|") && utf8.RuneCountInString(line) > 81 {
				t.Errorf("page %s: a line is longer than 80: %q", p.Name, line)
			}
		}
	}
	for fact := range factsTable {
		if !asked[fact] {
			t.Errorf("no page asks for %q", fact)
		}
	}
}
