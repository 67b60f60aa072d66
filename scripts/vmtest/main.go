// Command vmtest runs tests that touch the kernel on several kernels, in
// virtual machines without KVM and on the host, and prints which scenario
// passed where. scripts/vmtest/run prepares what it needs and starts it; with
// arguments it runs a static program in the place of the tests:
//
//	scripts/vmtest/run -kernels 6.1 bin/portwatch doctor
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"time"
)

// modePackages know modes, and hold the scenarios; verifyPackage proves the
// ledger, with fewer random cases than on a machine of its own: an emulated one
// is slow.
var (
	modePackages = []string{levels[0].pkg, levels[1].pkg}
	verifyArgs   = []string{"-programs", "20", "-cases", "10", "-waits", "2000"}
)

const verifyPackage = "internal/verify"

// randomTest of that package proves most in the least time.
const randomTest = "TestRandomPrograms"

// otherPackages touch the kernel too.
const otherPackages = "internal/tracer/sockdiag,internal/tracer/netns,internal/tracer/portrange,internal/tracer/workload"

// host is the kernel at hand, among the series.
const host = "host"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := vmtest(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "vmtest:", err)
		os.Exit(1)
	}
}

// settings are what the person who tests may choose.
type settings struct {
	kernels, modes, packages []string
	only                     string
	limit                    time.Duration // of one command
	jobs                     int
	verbose                  bool
	keep                     string
	updateVerifier           bool
	ledger                   bool     // in machines too
	peer                     *peer    // nil if there is none
	program                  []string // what runs in the place of the tests
}

func parseFlags(args []string) (*settings, error) {
	s := &settings{}
	fs := flag.NewFlagSet("vmtest", flag.ContinueOnError)
	kernels := fs.String("kernels", "host,6.1,6.12,7.2", "`series` of kernels; host is the one at hand: it needs root and runs the scenarios only")
	modes := fs.String("modes", "tracepoint,full", "`modes` of portwatch")
	packages := fs.String("packages", otherPackages, "`packages` to test beside "+strings.Join(modePackages, " and ")+", in the first mode only")
	fs.StringVar(&s.only, "run", "", "only tests that match `regexp`, as for go test")
	fs.DurationVar(&s.limit, "limit", 15*time.Minute, "`time` that the tests of one package may take")
	fs.IntVar(&s.jobs, "jobs", 2, "machines at a `time`")
	fs.BoolVar(&s.verbose, "v", false, "print what the machines say as they say it")
	fs.StringVar(&s.keep, "keep", "", "`directory` for what the machines and their kernels said")
	fs.BoolVar(&s.ledger, "ledger", false, "prove all of the ledger in the machines, in the last mode, not by random programs alone: some minutes each")
	fs.BoolVar(&s.updateVerifier, "update-verifier", false, "write "+verifierTable+" anew, of the kernels and modes that run")
	peerName := fs.String("peer", "", "`program` of another tracer, whose cost is compared in the machines, such as tcpstates")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if *peerName != "" {
		p, err := findPeer(*peerName)
		if err != nil {
			return nil, err
		}
		s.peer = p
	}
	list := func(text string) []string {
		return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	}
	s.kernels, s.modes = list(*kernels), list(*modes)
	s.packages, s.program = slices.Concat(modePackages, list(*packages)), fs.Args()
	if len(s.kernels) == 0 || len(s.modes) == 0 || s.jobs < 1 || s.limit < time.Minute {
		return nil, errors.New("-kernels and -modes must name one, -jobs must be at least 1 and -limit 1m")
	}
	if _, err := regexp.Compile(s.only); err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	return s, nil
}

func vmtest(ctx context.Context, args []string) error {
	s, err := parseFlags(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "vmtest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := newLab(ctx, s, dir)
	if err != nil {
		return err
	}
	if len(s.program) > 0 {
		return l.runProgram(ctx)
	}
	m := &matrix{scenarios: l.scenarios}
	m.columns = s.columns()
	if err := l.runAll(ctx, m.columns); err != nil {
		return err
	}
	m.print(os.Stdout)
	grown, err := s.checkVerifier(m.columns)
	if n := m.failed(); n > 0 {
		return fmt.Errorf("%d of %d columns failed", n, len(m.columns))
	}
	return errors.Join(grown, err)
}

// columns are the kernels in their modes. The kernel at hand runs in the first
// mode only: whether it permits another is not for a table to say.
func (s *settings) columns() []*column {
	var all []*column
	for _, kernel := range s.kernels {
		for i, mode := range s.modes {
			if kernel != host || i == 0 {
				all = append(all, &column{kernel: kernel, mode: mode})
			}
		}
	}
	return all
}

// checkVerifier compares what the verifiers walked with the table. grown says
// what is above it.
func (s *settings) checkVerifier(columns []*column) (grown, err error) {
	now := measured(columns)
	table, err := readBudget(verifierTable)
	if err != nil {
		return nil, fmt.Errorf("read verifier's budget: %w", err)
	}
	if s.updateVerifier {
		return nil, writeBudget(verifierTable, now, table)
	}
	if excess := now.excess(table); len(excess) > 0 {
		return errors.New(strings.Join(excess, "\n")), nil
	}
	return nil, nil
}
