package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
)

const whyLong = `Says who holds a port and whether bind() would work now: for a plain socket,
with SO_REUSEADDR and with SO_REUSEPORT. Holders are listeners, accepted
sockets, sockets that are bound and nothing else, connections of any program
that use it as their local port, and what waits in TIME_WAIT, which lsof does
not show.

The verdict is computed from the kernel's own tables; nothing is bound, and no
hook is attached. What a security module or cgroup program refuses is not seen.

Without a port it watches, and explains the next refusal that the kernel gives.
--connect says how many more connections to a destination succeed, and from
which address. Its name is the only one that is ever resolved.`

const whyExample = `  portwatch why 36601 37601 38601       in use, and lsof shows nothing
  portwatch why 127.0.0.1:8080 53/udp   at one address; of UDP
  portwatch why 80 -p 977               for that process: its namespace, powers
  portwatch why 8080 --wait --for 2m && ./server
  portwatch why --for 1m                the next refusal, whatever it is
  portwatch why --connect db.example:5432`

// whyFlags are those of why.
type whyFlags struct {
	output   choice
	mode     choice
	netns    string
	pid      int
	connect  string
	wait     bool
	length   time.Duration
	noHeader bool
}

func newWhyCommand(a *app) *cobra.Command {
	f := &whyFlags{output: newChoice("table", "wide", "json", "md", "csv"), mode: newChoice("auto", "diag")}
	cmd := &cobra.Command{
		Use: "why [PORT…]", Short: "who holds a port, and would bind() work?", Long: whyLong, Example: whyExample,
		GroupID: groupLook, Args: cobra.ArbitraryArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return runWhy(cmd, a, f, args) }
	flags := cmd.Flags()
	flags.VarP(&f.output, "output", "o", "how to print")
	flags.IntVarP(&f.pid, "pid", "p", 0, "ask for this process: in its namespace, with its powers")
	flags.StringVarP(&f.netns, "netns", "N", "", "the namespace: a name, pid:N, inode:N or a path")
	flags.StringVar(&f.connect, "connect", "", "ask about connections to HOST:PORT")
	flags.BoolVar(&f.wait, "wait", false, "return when bind() would work")
	flags.DurationVar(&f.length, "for", 0, "give up after this time; with --wait, exit 1 then (0: when stopped)")
	flags.BoolVarP(&f.noHeader, "no-header", "H", false, "print no headers")
	flags.Var(&f.mode, "mode", "how to look: diag does without BPF")
	return cmd
}

// check refuses what cannot work before anything is read. named says that ports
// were.
func (f *whyFlags) check(cmd *cobra.Command, named bool) error {
	switch {
	case named && f.connect != "":
		return usagef(cmd, "--connect %s and a port: one question at a time", f.connect)
	case cmd.Flags().Changed("pid") && f.pid < 1:
		return usagef(cmd, "--pid %d: not a process id", f.pid)
	case f.length < 0:
		return usagef(cmd, "--for %s: must not be negative", f.length)
	}
	return f.checkWait(cmd, named)
}

func (f *whyFlags) checkWait(cmd *cobra.Command, named bool) error {
	switch {
	case f.wait && f.connect != "":
		return usagef(cmd, "--wait waits for bind() and --connect binds nothing")
	case f.wait && !named:
		return usagef(cmd, "--wait for which port? want PORT or ADDRESS:PORT")
	case cmd.Flags().Changed("for") && !f.wait && (named || f.connect != ""):
		return usagef(cmd, "--for %s without --wait: why answers at once", f.length)
	}
	return nil
}

func runWhy(cmd *cobra.Command, a *app, f *whyFlags, args []string) error {
	if err := f.check(cmd, len(args) > 0); err != nil {
		return err
	}
	if len(args) == 0 && f.connect == "" {
		return runNext(cmd, a, f)
	}
	var questions []aggregate.PortQuestion
	for _, word := range args {
		q, err := parseQuestion(word)
		if err != nil {
			return usagef(cmd, "%s", err)
		}
		if !slices.Contains(questions, q) {
			questions = append(questions, q)
		}
	}
	g, err := a.kernel.ground(cmd.Context(), groundOptions{Netns: f.netns, PID: f.pid, NoBPF: f.mode.word == "diag"})
	if err != nil {
		if errors.Is(err, errUsage) {
			return usagef(cmd, "%s", err)
		}
		return err
	}
	defer g.Close()
	if f.connect != "" {
		return runConnect(cmd, a, f, g)
	}
	return runPorts(cmd.Context(), a, f, g, questions)
}

// parseQuestion reads "36601", "127.0.0.1:8080", "[::1]:443/tcp" or "53/udp".
func parseQuestion(word string) (q aggregate.PortQuestion, err error) {
	const want = "want PORT, ADDRESS:PORT or [IPV6]:PORT, and /udp for UDP"
	q.Protocol = event.TCP
	place, protocol, named := strings.Cut(word, "/")
	switch {
	case named && protocol == "udp":
		q.Protocol = event.UDP
	case named && protocol != "tcp":
		return q, fmt.Errorf("%s: unknown protocol %q: known are tcp and udp", word, protocol)
	}
	address, port := "", place
	if colon := strings.LastIndexByte(place, ':'); colon >= 0 {
		address, port = place[:colon], place[colon+1:]
		if inner, closed := strings.CutSuffix(address, "]"); closed && strings.HasPrefix(inner, "[") {
			address = inner[1:]
		} else if strings.Contains(address, ":") {
			return q, fmt.Errorf("%s: an IPv6 address stands in brackets: %s", word, want)
		}
		if q.Addr, err = netip.ParseAddr(address); err != nil {
			return q, fmt.Errorf("%s: %q is no address, and only the name given to --connect is resolved: %s", word, address, want)
		}
		if q.Addr.Zone() != "" {
			return q, fmt.Errorf("%s: an address without an interface's name is wanted", word)
		}
		q.Addr = q.Addr.Unmap()
	}
	if q.Port, err = host.ParsePort(port); err != nil {
		return q, fmt.Errorf("%s: %w", word, err)
	}
	return q, nil
}

// foldFrom is how many sockets alike are told as one.
func (f *whyFlags) foldFrom() int {
	if f.output.word == "json" || f.output.word == "csv" {
		return foldInData
	}
	return foldOnScreen
}

// The pace of --wait: after a look, a hundred times its cost of rest, within bounds.
const (
	waitRest     = 100
	waitShortest = 500 * time.Millisecond
	waitLongest  = 10 * time.Second
)

// runPorts answers questions about ports, at once or when bind() would work.
func runPorts(ctx context.Context, a *app, f *whyFlags, g ground, questions []aggregate.PortQuestion) error {
	deadline := time.Now().Add(f.length)
	for first := true; ; first = false {
		began := time.Now()
		report, err := answerPorts(ctx, g, questions, f.foldFrom())
		if err != nil {
			return err
		}
		works := !slices.ContainsFunc(report.Ports, func(p aggregate.PortAnswer) bool { return !p.BindWorks() })
		if !f.wait || works {
			return printWhy(a, f, g.Meta(), report)
		}
		if cause := neverKnown(g, report); cause != nil {
			return cause
		}
		if first {
			fmt.Fprintf(a.stderr, "Waiting: %s\n", report.Summary())
		}
		rest := min(max(waitRest*time.Since(began), waitShortest), waitLongest)
		if f.length > 0 {
			rest = min(rest, time.Until(deadline))
		}
		if rest <= 0 || !pauseFor(ctx, rest) {
			return errors.Join(printWhy(a, f, g.Meta(), report), exitStatus(exitFailure))
		}
	}
}

// neverKnown says why waiting is in vain: where sockets are hidden, that nothing
// holds a port proves nothing. nil where it is not.
func neverKnown(g ground, report *fields.WhyReport) error {
	if g.Facts().Complete {
		return nil
	}
	for i := range report.Ports {
		if p := &report.Ports[i]; p.WouldFail == aggregate.AnswerUnknown {
			return classifiedError{fmt.Errorf("--wait: whether bind() to %s works cannot be known here: %s",
				p, strings.Join(report.Notes, "; ")), errUnsupported}
		}
	}
	return nil
}

// pauseFor reports whether the time has passed, and not ctx.
func pauseFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func printWhy(a *app, f *whyFlags, meta *aggregate.Meta, report *fields.WhyReport) error {
	c := &fields.Context{Meta: meta}
	var buf []byte
	switch f.output.word {
	case "json":
		buf = append(fields.Why.AppendJSON(nil, c, report), '\n')
	case "csv":
		buf = appendWhySheet(nil, c, f, report)
	default:
		buf = text.AppendWhy(nil, c, report, text.WhyOptions{
			Width: a.width(), Wide: f.output.word == "wide", Markdown: f.output.word == "md", NoHeader: f.noHeader,
		})
	}
	if _, err := a.stdout.Write(buf); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// appendWhySheet appends the one table that there is: holders, or destinations.
func appendWhySheet(dst []byte, c *fields.Context, f *whyFlags, report *fields.WhyReport) []byte {
	if len(report.Ports) == 0 {
		return appendSheet(dst, c, fields.ConnectSheet, report.Connect, f.noHeader)
	}
	var all []fields.HeldPort
	for i := range report.Ports {
		p := &report.Ports[i]
		for j := range p.Holders {
			all = append(all, fields.HeldPort{Port: p, Holder: &p.Holders[j]})
		}
		for j := range p.Elsewhere {
			all = append(all, fields.HeldPort{Port: p, Holder: &p.Elsewhere[j]})
		}
	}
	return appendSheet(dst, c, fields.HolderSheet, all, f.noHeader)
}

func appendSheet[T any](dst []byte, c *fields.Context, sheet fields.Sheet[T], rows []T, noHeader bool) []byte {
	if !noHeader {
		dst = sheet.AppendHeader(dst)
	}
	for i := range rows {
		dst = sheet.AppendRow(dst, c, &rows[i])
	}
	return dst
}
