package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/schematest"
)

// console runs a command line over a scenario.
func console(ctx context.Context, tb testing.TB, scenario string, args ...string) (code int, stdout, stderr string) {
	tb.Helper()
	k, err := scriptedKernel(scenario)
	if err != nil {
		tb.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = run(ctx, args, app{stdout: &out, stderr: &errs, env: func(string) string { return "" }, kernel: k})
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		scenario, args string
		want           int
	}{
		{"outage", "top --batch", exitOK},
		{"quiet", "events -x", exitOK},
		{"outage", "version", exitOK},
		{"broken", "top --batch", exitFailure},
		{"outage", "top --mode x", exitUsage},
		{"outage", "nonsense", exitUsage},
		{"outage", "events extra", exitUsage},
		{"old", "events", exitUnsupported},
		{"old", "doctor", exitUnsupported},
		{"refused", "top --batch", exitPermission},
		{"refused", "self", exitPermission},
	}
	for _, tt := range tests {
		t.Run(tt.scenario+" "+tt.args, func(t *testing.T) {
			code, _, stderr := console(t.Context(), t, tt.scenario, strings.Fields(tt.args)...)
			if code != tt.want {
				t.Errorf("exit code = %d, want %d; stderr:\n%s", code, tt.want, stderr)
			}
			if code != exitOK && !strings.Contains(stderr, "\nNext: portwatch") && !strings.Contains(stderr, "\nNext: sudo portwatch") {
				t.Errorf("no next command in:\n%s", stderr)
			}
		})
	}
}

func TestErrorsAsJSON(t *testing.T) {
	schema, err := fields.Error.Schema()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"top -o jsonl", "top -ojsonl", "top --output=jsonl", "top --output jsonl", "top -o json -n 1"} {
		code, _, stderr := console(t.Context(), t, "refused", strings.Fields(args)...)
		if code != exitPermission {
			t.Errorf("%s: exit code = %d, want %d", args, code, exitPermission)
		}
		if err := schematest.Validate(schema, []byte(stderr)); err != nil {
			t.Errorf("%s: %v in %q", args, err, stderr)
		}
	}
}

func TestDocumentsFitTheirSchemas(t *testing.T) {
	tests := []struct {
		args   string
		schema fields.Schemer
	}{
		{"top --batch -o jsonl", fields.Top},
		{"events -o jsonl", fields.Event},
		{"doctor -o json", fields.Doctor},
		{"self -o json", fields.Self},
		{"blame -o json --for 4s", fields.Blame},
		{"status -o json --for 4s", fields.Status},
		{"version -o json", fields.Version},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			schema, err := tt.schema.Schema()
			if err != nil {
				t.Fatal(err)
			}
			_, stdout, stderr := console(t.Context(), t, "outage", strings.Fields(tt.args)...)
			if stdout == "" {
				t.Fatalf("no document; stderr:\n%s", stderr)
			}
			for line := range strings.Lines(stdout) {
				if err := schematest.Validate(schema, []byte(line)); err != nil {
					t.Fatalf("%v in %s", err, line)
				}
			}
		})
	}
}

// TestExpectedDocumentsFitTheirSchemas reads every document that a script
// expects.
func TestExpectedDocumentsFitTheirSchemas(t *testing.T) {
	schemas := map[string][]byte{}
	for _, d := range fields.Documents() {
		schema, err := d.Schema()
		if err != nil {
			t.Fatal(err)
		}
		schemas[d.SchemaName()] = schema
	}
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			rest, ok := strings.CutPrefix(line, `{"schema":"`)
			if !ok {
				continue
			}
			name, _, _ := strings.Cut(rest, `"`)
			if err := schematest.Validate(schemas[name], []byte(line)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

func TestStoppedIsFine(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, stderr := console(ctx, t, "hangs", "top", "--batch")
	if code != exitOK || !strings.Contains(stderr, "lost 0") {
		t.Errorf("exit code %d, stderr %q, want 0 and the counters", code, stderr)
	}
}

// closedPipe is a stdout whose reader has gone.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, fmt.Errorf("write |1: %w", syscall.EPIPE) }

func TestClosedPipeIsFine(t *testing.T) {
	k, err := scriptedKernel("outage")
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"events"}, app{
		stdout: closedPipe{}, stderr: &stderr, env: func(string) string { return "" }, kernel: k,
	})
	if code != exitOK || !strings.Contains(stderr.String(), "lost 3") {
		t.Errorf("exit code %d, stderr %q, want 0 and the counters", code, stderr.String())
	}
}

func TestDiagnoseKnowsTheCauses(t *testing.T) {
	wrapped := fmt.Errorf("open tracer: %w", errors.Join(errPermission, errors.New("lockdown")))
	if got := diagnose(wrapped).ExitCode; got != exitPermission {
		t.Errorf("exit code = %d, want %d", got, exitPermission)
	}
}
