package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
)

const rangeLong = `Says for each network namespace which local ports the kernel gives by itself,
how many are in use, how many connections a second that sustains, and what lies
inside the range and should not: a fixed port there may be taken by a connection
while its program restarts.

"portwatch range check LOW-HIGH" judges another range.`

const rangeExample = `  portwatch range                       the ranges of this host
  portwatch range -N pid:977            that of one process's namespace
  portwatch range check 16000-65000     is it safe to change it?
  portwatch range need --connections 100000    is it enough?`

const checkLong = `Judges a range before it is set: which ports it newly exposes to connections,
who holds or claims them on this host, and what it gains.

  unsafe             a newly exposed port is listened on, bound or published, or
                     is claimed: by Kubernetes, Mesos, a socket unit, --ports;
                     or a program bound it in the recording of -r
  with reservations  a claim could not be read, the recording has gaps, or the
                     range is not better
  safe               otherwise, as far as this host can tell

Names in a registry are counted and change nothing: the kernel reads none.
Exit code 1 says unsafe. Nothing is changed.`

const checkExample = `  portwatch range check 16000-65000
  portwatch range check 16000 65000 --ports 20000-20100
  portwatch range check 16000-65000 -r yesterday.pwr   and what ran yesterday?
  portwatch range check 16000-65000 --fix | sh     set it, claims reserved`

// rangeFlags are those of range and range check.
type rangeFlags struct {
	output   choice
	netns    string
	root     string
	ports    string
	services string
	registry bool
	fix      bool
	read     string
	utc      bool
}

func (f *rangeFlags) register(fs *pflag.FlagSet) {
	fs.VarP(&f.output, "output", "o", "how to print")
	fs.StringVarP(&f.netns, "netns", "N", "", "one namespace: a name, pid:N, inode:N or a path")
	fs.StringVar(&f.root, "root", "", "read another host's collected tree, with proc, sys and etc in it")
}

func newRangeCommand(a *app) *cobra.Command {
	f := &rangeFlags{output: newChoice("table", "json")}
	cmd := &cobra.Command{
		Use: "range", Short: "which ports the kernel gives, and is another range safe", Long: rangeLong,
		Example: rangeExample, GroupID: groupCheck,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef(cmd, "unexpected argument %q: to judge a range, portwatch range check LOW-HIGH", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return runRange(cmd, a, f) },
	}
	f.register(cmd.Flags())
	cmd.AddCommand(newRangeCheckCommand(a), newRangeNeedCommand(a))
	return cmd
}

func newRangeCheckCommand(a *app) *cobra.Command {
	f := &rangeFlags{output: newChoice("table", "json")}
	cmd := &cobra.Command{
		Use: "check LOW-HIGH", Short: "is it safe to change the range to this one", Long: checkLong, Example: checkExample,
		RunE: func(cmd *cobra.Command, args []string) error { return runRangeCheck(cmd, a, f, args) },
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&f.ports, "ports", "", "ports that must stay untouched, as 8080,9000-9100")
	cmd.Flags().StringVar(&f.services, "services", "", "another registry: a file as /etc/services, or IANA's CSV")
	cmd.Flags().BoolVar(&f.registry, "registry", false, "list the registered names that are newly exposed")
	cmd.Flags().StringVarP(&f.read, "read", "r", "", "what was bound in this recording counts too (-: standard input)")
	cmd.Flags().BoolVar(&f.utc, "utc", false, "print the recording's times in UTC")
	cmd.Flags().BoolVar(&f.fix, "fix", false, "print the lines that set it, and nothing else; change nothing")
	return cmd
}

func runRange(cmd *cobra.Command, a *app, f *rangeFlags) error {
	p, filter, err := f.place(cmd, true)
	if err != nil {
		return err
	}
	spaces, unread, err := p.spaces(cmd.Context(), filter)
	if err != nil {
		return err
	}
	report := newRangeReport(spaces, unread)
	today := func(s *space) *host.PortSet { return host.SetOf(s.limits.Range) }
	owners := p.ownersOf(spaces, today)
	for i := range spaces {
		claims, refused := p.claims(&spaces[i], today(&spaces[i]), owners)
		report.Overlaps, report.Unread = append(report.Overlaps, claims...), append(report.Unread, refused...)
	}
	return printRange(a, p, f, report)
}

// place checks the flags that say where to look.
func (f *rangeFlags) place(cmd *cobra.Command, all bool) (*place, spaceFilter, error) {
	filter, err := newSpaceFilter(f.netns, all)
	if err != nil {
		return nil, filter, usagef(cmd, "--netns: %s", err)
	}
	if f.root != "" && f.netns != "" {
		return nil, filter, usagef(cmd, "--netns %s with --root: a collected tree holds one namespace", f.netns)
	}
	p, err := newPlace(f.root)
	if err != nil {
		return nil, filter, usagef(cmd, "--root %s: %s", f.root, err)
	}
	return p, filter, nil
}

func newRangeReport(spaces []space, unread []host.Unread) *host.RangeReport {
	r := &host.RangeReport{Unread: unread, Unseen: []string{
		"programs that are stopped and configured elsewhere than in the files read",
		"stopped containers of engines other than Docker",
		"ports that only a firewall rule forwards",
	}}
	for i := range spaces {
		s := &spaces[i]
		n := host.NamespaceRange{NetNS: s.Inode, Cookie: s.cookie, Name: s.Name, Limits: s.limits}
		if s.sctp != nil {
			n.SCTP = new(host.InRange(s.sctp, &s.limits))
			r.Unseen = append(r.Unseen, "SCTP beyond the count of its ports: who holds them, and what is refused")
		}
		if s.survey != nil {
			n.TCP, n.UDP = new(host.InRange(&s.survey.TCP, &s.limits)), new(host.InRange(&s.survey.UDP, &s.limits))
			n.Outside, n.Poisoned = s.survey.Outside(s.limits.Range), new(s.survey.Poisoned())
			if pool, found, complete := s.survey.Fullest(); found && complete {
				n.Fullest = &pool
			}
		}
		r.Namespaces, r.Unread = append(r.Namespaces, n), append(r.Unread, s.unread...)
	}
	if !spaces[0].bound {
		r.Unseen = append(r.Unseen, "TCP sockets that are bound and nothing else: the kernel lists them from 6.12 on")
	}
	if !spaces[0].own {
		r.Unseen = append(r.Unseen, "what services configured elsewhere claim in this namespace: of claims, only its sockets were read")
	}
	return r
}

func printRange(a *app, p *place, f *rangeFlags, report *host.RangeReport) error {
	c := &fields.Context{Meta: p.meta(), Location: f.location()}
	var buf []byte
	switch {
	case f.output.word == "json":
		buf = append(fields.Range.AppendJSON(nil, c, report), '\n')
	case f.fix:
		buf = text.AppendRangeLines(nil, report)
	default:
		buf = text.AppendRange(nil, c, report, text.RangeOptions{Width: a.width(), Registry: f.registry})
	}
	if _, err := a.stdout.Write(buf); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (f *rangeFlags) location() *time.Location {
	if f.utc {
		return time.UTC
	}
	return time.Local
}

func runRangeCheck(cmd *cobra.Command, a *app, f *rangeFlags, args []string) error {
	proposed, asked, err := f.question(cmd, args)
	if err != nil {
		return err
	}
	registry, source, err := f.names(cmd)
	if err != nil {
		return err
	}
	p, filter, err := f.place(cmd, false)
	if err != nil {
		return err
	}
	spaces, unread, err := p.spaces(cmd.Context(), filter)
	if err != nil {
		return err
	}
	s := &spaces[0]
	if reason := host.Refusal(proposed, s.limits.UnprivilegedStart); reason != "" {
		return usagef(cmd, "range %s: %s", proposed, reason)
	}
	report := newRangeReport(spaces, unread)
	report.Registry = source
	ports := host.SetOf(proposed, s.limits.Range)
	claims, err := f.claims(cmd.Context(), a, p, report, s, ports)
	if err != nil {
		return err
	}
	report.Check = host.Judge(&host.Proposal{
		Range: proposed, Today: s.limits, Claims: append(claims, asked...), Outside: report.Namespaces[0].Outside,
		Unread: report.Unread, Registry: registry, Bound: s.boundPorts(),
	})
	report.Overlaps = insideOf(claims, s.limits.Range)
	report.Lines = host.RangeLines(p.target(s), proposed, report.Check.Reserve)
	report.Notes = append(report.Notes, alreadyGiven(asked, s.limits)...)
	p.addBootNotes(s, report)
	if err := printRange(a, p, f, report); err != nil {
		return err
	}
	if report.Check.Verdict == host.Unsafe && !f.fix {
		return exitStatus(exitFailure)
	}
	return nil
}

// boundPorts are those that programs of the namespace have bound; nil if its
// sockets could not be read.
func (s *space) boundPorts() *host.PortSet {
	if s.survey == nil {
		return nil
	}
	return s.survey.Bound()
}

// claims are all that is held or claimed on ports of a set, or was bound in the
// recording, if one is named. What could not be read of them the report tells.
func (f *rangeFlags) claims(
	ctx context.Context, a *app, p *place, report *host.RangeReport, s *space, ports *host.PortSet,
) ([]host.Claim, error) {
	owners := p.ownersOf([]space{*s}, func(*space) *host.PortSet { return ports })
	claims, refused := p.claims(s, ports, owners)
	report.Unread = append(report.Unread, refused...)
	if f.read == "" {
		return claims, nil
	}
	recorded, err := a.readPast(ctx, f.read)
	if err != nil {
		return nil, err
	}
	return recorded.addTo(report, p, s, ports, claims), nil
}

// question is the proposed range and the claims of --ports.
func (f *rangeFlags) question(cmd *cobra.Command, args []string) (event.PortRange, []host.Claim, error) {
	word := strings.Join(args, "-") // LOW-HIGH, or LOW HIGH
	if len(args) == 0 || len(args) > 2 || !strings.Contains(word, "-") {
		return event.PortRange{}, nil, usagef(cmd, "%q is no range: want LOW-HIGH, such as 16000-65000", strings.Join(args, " "))
	}
	proposed, err := host.ParsePorts(word)
	if err != nil {
		return event.PortRange{}, nil, usagef(cmd, "range %s: %s", word, err)
	}
	if f.ports == "" {
		return proposed, nil, nil
	}
	ranges, err := host.ParsePortList(f.ports)
	if err != nil {
		return event.PortRange{}, nil, usagef(cmd, "--ports: %s", err)
	}
	var asked []host.Claim
	for _, r := range ranges {
		asked = append(asked, host.Claim{Ports: r, Kind: host.KindAsked, Name: "--ports", Source: "--ports"})
	}
	return proposed, asked, nil
}

// names is the registry, and what it is called.
func (f *rangeFlags) names(cmd *cobra.Command) ([]host.Service, string, error) {
	if f.services == "" {
		registry, source := host.IANA()
		return registry, source, nil
	}
	content, err := os.ReadFile(f.services)
	if err != nil {
		return nil, "", usagef(cmd, "--services: %s", err)
	}
	registry, err := host.ParseServices(string(content))
	if err != nil {
		return nil, "", usagef(cmd, "--services %s: %s", f.services, err)
	}
	return registry, f.services, nil
}

// alreadyGiven says which of the ports asked for connections are given today:
// the proposed range does not newly expose them.
func alreadyGiven(asked []host.Claim, today event.Limits) (notes []string) {
	given := host.Dealt(today.Range, today.Reserved)
	for _, c := range asked {
		if both := given.And(host.SetOf(c.Ports)); both.Count() > 0 {
			notes = append(notes, fmt.Sprintf("%s of --ports lie in today's range, unreserved: connections are given them already", both))
		}
	}
	return notes
}

// insideOf are the claims that touch a range.
func insideOf(claims []host.Claim, r event.PortRange) []host.Claim {
	var inside []host.Claim
	set := host.SetOf(r)
	for _, c := range claims {
		if set.Overlaps(c.Ports) {
			inside = append(inside, c)
		}
	}
	return inside
}
