package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/launch"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitUnsupported = 3
	exitPermission  = 4
	exitRecording   = 5
)

// Errors that decide the exit code. What opens the kernel wraps its own causes
// in these.
var (
	errUsage       = errors.New("usage")
	errUnsupported = errors.New("the kernel lacks something required")
	errPermission  = errors.New("permission denied")
	errRecording   = errors.New("the recording cannot be read")
)

// exitCase is one line of the table of exit codes.
type exitCase struct {
	err  error
	code int
	hint string // the next command to try, unless the error knows better
}

func exitCases() []exitCase {
	return []exitCase{
		{errUsage, exitUsage, "portwatch --help"},
		{errUnsupported, exitUnsupported, "portwatch doctor"},
		{errPermission, exitPermission, "sudo portwatch doctor"},
		{errRecording, exitRecording, "portwatch check FILE"},
	}
}

// exitStatus ends a command whose answer is printed and is a bad one: there is
// nothing to add to it but the exit code.
type exitStatus int

func (s exitStatus) Error() string { return "exit code " + strconv.Itoa(int(s)) }

// usageError is a command line that nothing can be started with.
type usageError struct {
	verb  string // whose help says more; "" for portwatch itself
	cause string
}

func (e *usageError) Error() string        { return e.cause }
func (e *usageError) Is(target error) bool { return target == errUsage }

func (e *usageError) hint() string { return strings.TrimSpace("portwatch "+e.verb) + " --help" }

func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{verb: verbOf(cmd), cause: fmt.Sprintf(format, args...)}
}

// verbOf is the path of cmd below the root.
func verbOf(cmd *cobra.Command) string {
	_, verb, _ := strings.Cut(cmd.CommandPath(), " ")
	return verb
}

// diagnose turns an error into what is told about it.
func diagnose(err error) fields.ErrorReport {
	report := fields.ErrorReport{Error: err.Error(), Hint: "portwatch doctor", ExitCode: exitFailure}
	for _, c := range exitCases() {
		if errors.Is(err, c.err) {
			report.ExitCode, report.Hint = c.code, c.hint
			break
		}
	}
	if errors.Is(err, context.Canceled) {
		report.Error, report.Hint = "stopped before there was an answer", "the same again"
	}
	if errors.Is(err, errWrapper) {
		report.ExitCode = exitWrapper
	}
	if failed, ok := errors.AsType[*launch.StartError](err); ok {
		report.ExitCode, report.Hint = failed.ExitCode(), "portwatch run --help"
	}
	if usage, ok := errors.AsType[*usageError](err); ok {
		report.Hint = usage.hint()
	}
	return report
}

// report tells why the command ended, as text or, if JSON was asked for, as a
// JSON object, and returns the exit code.
func (a *app) report(cmd *cobra.Command, args []string, err error) int {
	if status, ok := errors.AsType[exitStatus](err); ok {
		return int(status)
	}
	r := diagnose(err)
	if wantsMonitoring(args) {
		fmt.Fprintf(a.stdout, "PORTWATCH UNKNOWN - %s\n", r.Error)
		return exitUnknown
	}
	if wantsJSON(args) {
		line := fields.Error.AppendJSON(nil, nil, &r)
		fmt.Fprintf(a.stderr, "%s\n", line)
		return r.ExitCode
	}
	name := "portwatch"
	if verb := verbOf(cmd); verb != "" {
		name += " " + verb
	}
	fmt.Fprintf(a.stderr, "%s: %s\nNext: %s\n", name, r.Error, r.Hint)
	return r.ExitCode
}

// wantsMonitoring looks for --warn or --crit in a command line that may be too
// broken to parse: 2 would mean critical to whom reads it.
func wantsMonitoring(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		name, _, _ := strings.Cut(arg, "=")
		return name == "--warn" || name == "--crit"
	})
}

// wantsJSON looks for -o json or -o jsonl in a command line that may be too
// broken to parse.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		if arg == "--" {
			return false
		}
		word, ok := "", false
		switch {
		case arg == "-o" || arg == "--output":
			if i+1 < len(args) {
				word, ok = args[i+1], true
			}
		case strings.HasPrefix(arg, "--output="):
			word, ok = strings.TrimPrefix(arg, "--output="), true
		case strings.HasPrefix(arg, "-o"):
			word, ok = strings.TrimPrefix(strings.TrimPrefix(arg, "-o"), "="), true
		}
		if ok && slices.Contains([]string{"json", "jsonl"}, word) {
			return true
		}
	}
	return false
}
