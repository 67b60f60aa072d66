package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/host"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
	"github.com/portwatch/portwatch/internal/tracer"
)

const limitsLong = `Lists every limit that stops a program from opening or holding sockets: how much
is in use, what a program gets that meets it, the counter that proves that it
was hit, and how to raise it. The fullest comes first.

A server does not spend a port for each client: all that it accepts share the
port that it listens on. With -p the limits of a process are among the rows, and
the one that it meets first is named.

A counter since boot proves nothing about now; with --for it is read twice.`

const limitsExample = `  portwatch limits                      how full is what
  portwatch limits -p 977               which wall does this process meet first?
  portwatch limits --for 10s            what is hit right now?
  portwatch limits --warn 70% --crit 90%  for monitoring: exit code 0, 1, 2 or 3`

// limitsFlags are those of limits.
type limitsFlags struct {
	output     choice
	pid        int
	netns      string
	root       string
	length     time.Duration
	warn, crit string
}

func newLimitsCommand(a *app) *cobra.Command {
	f := &limitsFlags{output: newChoice("table", "json")}
	cmd := &cobra.Command{
		Use: "limits", Short: "every limit on sockets, how full it is and how to raise it", Long: limitsLong,
		Example: limitsExample, GroupID: groupCheck, Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runLimits(cmd, a, f) }
	flags := cmd.Flags()
	flags.VarP(&f.output, "output", "o", "how to print")
	flags.IntVarP(&f.pid, "pid", "p", 0, "the limits of this process, too")
	flags.StringVarP(&f.netns, "netns", "N", "", "the namespace: a name, pid:N, inode:N or a path (default: the process's)")
	flags.StringVar(&f.root, "root", "", "read another host's collected tree, with proc, sys and etc in it")
	flags.DurationVar(&f.length, "for", 0, "read the counters twice, this time apart")
	flags.StringVar(&f.warn, "warn", "", "monitoring: exit 1 from this ratio on, such as 70%")
	flags.StringVar(&f.crit, "crit", "", "monitoring: exit 2 from this ratio on, such as 90%")
	return cmd
}

// exitUnknown is what monitoring takes for "unknown".
const exitUnknown = 3

// The ratios from which on a limit is near, where no others are asked for.
var usualThresholds = host.Thresholds{Warn: 0.7, Crit: 0.9}

func (f *limitsFlags) monitors() bool { return f.warn != "" || f.crit != "" }

// thresholds checks --warn and --crit.
func (f *limitsFlags) thresholds() (host.Thresholds, error) {
	t := usualThresholds
	for _, flag := range []struct {
		name, word string
		value      *float64
	}{{"warn", f.warn, &t.Warn}, {"crit", f.crit, &t.Crit}} {
		if flag.word == "" {
			continue
		}
		number, ok := strings.CutSuffix(flag.word, "%")
		n, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil || n <= 0 || n > 100 {
			return t, fmt.Errorf("--%s %s: want a percentage, such as 70%%", flag.name, flag.word)
		}
		*flag.value = n / 100
	}
	if t.Warn > t.Crit {
		return t, fmt.Errorf("--warn %.0f%% is above --crit %.0f%%", 100*t.Warn, 100*t.Crit)
	}
	return t, nil
}

// check refuses what cannot work before anything is read.
func (f *limitsFlags) check(cmd *cobra.Command) (host.Thresholds, error) {
	t, err := f.thresholds()
	switch {
	case err != nil:
		return t, usagef(cmd, "%s", err)
	case cmd.Flags().Changed("pid") && f.pid < 1:
		return t, usagef(cmd, "--pid %d: not a process id", f.pid)
	case f.length < 0 || f.length > time.Hour:
		return t, usagef(cmd, "--for %s: not within 0 to 1h", f.length)
	case f.length > 0 && f.root != "":
		return t, usagef(cmd, "--for %s with --root: the counters of a collected tree do not move", f.length)
	}
	return t, nil
}

func runLimits(cmd *cobra.Command, a *app, f *limitsFlags) error {
	t, err := f.check(cmd)
	if err != nil {
		return err
	}
	p, filter, err := (&rangeFlags{netns: f.netns, root: f.root}).place(cmd, false)
	if err != nil {
		return err
	}
	var notes []string
	if f.netns == "" && f.pid > 0 && p.live {
		if filter, notes, err = filterOf(f.pid); err != nil {
			return err
		}
	}
	report, err := p.limits(cmd.Context(), filter, f)
	if err != nil {
		return err
	}
	report.Thresholds, report.Notes = t, notes
	report.Rank()
	return printLimits(a, p, f, report)
}

// filterOf chooses the namespace of a process. Where that may not be looked
// into, our own stands in, and a note says so.
func filterOf(pid int) (spaceFilter, []string, error) {
	word := fmt.Sprintf("pid:%d", pid)
	filter, err := newSpaceFilter(word, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return filter, nil, fmt.Errorf("no process %d in /proc", pid)
	case errors.Is(err, fs.ErrPermission):
		return spaceFilter{}, []string{fmt.Sprintf(
			"the namespace of process %d may not be looked into: ports, queues and counters are those of portwatch's own namespace", pid)}, nil
	}
	return filter, nil, err
}

// limits reads the limits once, or twice with time between.
func (p *place) limits(ctx context.Context, filter spaceFilter, f *limitsFlags) (*host.LimitsReport, error) {
	report, err := p.limitsOnce(ctx, filter, f.pid)
	if err != nil || f.length == 0 {
		return report, err
	}
	began, timer := time.Now(), time.NewTimer(f.length)
	defer timer.Stop()
	select { // on Ctrl-C, what there is
	case <-timer.C:
	case <-ctx.Done():
	}
	later, err := p.limitsOnce(context.WithoutCancel(ctx), filter, f.pid)
	if err != nil {
		return nil, err
	}
	host.SetDeltas(report.Limits, later.Limits)
	later.Window = time.Since(began)
	return later, nil
}

// shownUses is how many listeners and destinations are told.
const shownUses = 5

func (p *place) limitsOnce(ctx context.Context, filter spaceFilter, pid int) (*host.LimitsReport, error) {
	spaces, _, err := p.spaces(ctx, filter)
	if err != nil {
		return nil, err
	}
	s := &spaces[0]
	if p.live && !s.own {
		s.facts.ReadHost(os.DirFS("/proc/sys"))
	}
	in := host.LimitsInput{Root: p.root, Facts: s.facts, Survey: s.survey, Settings: s.limits, Namespace: s.Name}
	report := &host.LimitsReport{}
	if pid > 0 {
		start, err := p.start(pid)
		if err != nil {
			return nil, err
		}
		in.Process, report.Process = start, start.Label
	}
	report.Limits = host.ReadLimits(&in)
	if s.survey != nil {
		report.Accepted, report.Pools = s.survey.AcceptedPorts(shownUses), s.survey.Pools(shownUses)
		report.Unlistened = s.survey.UnlistenedPorts(shownUses)
	}
	return report, nil
}

// start says how a process was started.
func (p *place) start(pid int) (*host.Start, error) {
	owner, found := tracer.ReadOwner(filepath.Join(p.path, "proc"), pid)
	if !found {
		return nil, fmt.Errorf("no process %d in %s", pid, filepath.Join(p.path, "proc"))
	}
	described := p.names.Describe(owner)
	return &host.Start{
		PID: pid, Label: fmt.Sprintf("%s[%d]", owner.Comm, pid), UID: owner.UID,
		Unit: described.Unit, Container: described.ContainerID, Pod: described.PodUID,
	}, nil
}

func printLimits(a *app, p *place, f *limitsFlags, report *host.LimitsReport) error {
	c := &fields.Context{Meta: p.meta()}
	c.Meta.Window = report.Window
	var buf []byte
	if f.output.word == "json" {
		buf = append(fields.Limits.AppendJSON(nil, c, report), '\n')
	} else {
		if f.monitors() {
			buf = append(append(buf, text.LimitsStatus(report)...), '\n')
		}
		buf = text.AppendLimits(buf, c, report, a.width())
	}
	if _, err := a.stdout.Write(buf); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if code := map[string]int{"warning": 1, "critical": 2, "unknown": 3}[report.Level()]; f.monitors() && code != 0 {
		return exitStatus(code)
	}
	return nil
}
