package main

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

func TestMeasuredPrograms(t *testing.T) {
	got := measured([]*column{{kernel: "6.1", mode: "full", results: []*result{{
		output: []byte("    a_test.go:1: verified: full pw_destroy 4012\n    a_test.go:1: verified: full pw_exit 60\n"),
	}}}})
	if got[program{"pw_destroy", "full"}]["6.1"] != 4012 || got[program{"pw_exit", "full"}]["6.1"] != 60 || len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

func TestBudgetIsKept(t *testing.T) {
	table := budget{{"a", "full"}: {"6.1": 1000}}
	tests := []struct {
		name   string
		now    budget
		excess string
	}{
		{"as before", budget{{"a", "full"}: {"6.1": 1000}}, ""},
		{"a tenth more", budget{{"a", "full"}: {"6.1": 1100}}, ""},
		{"more than that", budget{{"a", "full"}: {"6.1": 1101}}, "walks 1101 instructions, docs/verifier.md says 1000"},
		{"a new program", budget{{"b", "full"}: {"6.1": 1}}, "b in mode full on 6.1"},
		{"a kernel that is not in the table", budget{{"a", "full"}: {"6.5": 5000}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(tt.now.excess(table), "\n")
			if tt.excess == "" && got != "" || !strings.Contains(got, tt.excess) {
				t.Errorf("got %q, want %q", got, tt.excess)
			}
		})
	}
}

// What is written is read again; kernels that did not run keep their column,
// and a program that is no more goes from those that did.
func TestBudgetSurvivesItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "verifier.md")
	before := budget{{"a", "full"}: {"6.1": 10, "6.12": 11}, {"gone", "full"}: {"6.12": 5}, {"other", "diag"}: {"6.12": 3}}
	now := budget{{"a", "full"}: {"6.12": 12}, {"b", "tracepoint"}: {"6.12": 7}}
	if err := writeBudget(file, now, before); err != nil {
		t.Fatal(err)
	}
	got, err := readBudget(file)
	if err != nil {
		t.Fatal(err)
	}
	want := budget{
		{"a", "full"}: {"6.1": 10, "6.12": 12}, {"b", "tracepoint"}: {"6.12": 7}, {"other", "diag"}: {"6.12": 3},
	}
	if !maps.EqualFunc(got, want, maps.Equal[map[string]int, map[string]int]) {
		t.Errorf("got %v, want %v", got, want)
	}
	if none, err := readBudget(filepath.Join(t.TempDir(), "missing.md")); err != nil || len(none) != 0 {
		t.Errorf("a missing table: %v, %v", none, err)
	}
}
