package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/tracer"
	"github.com/portwatch/portwatch/internal/tracer/netns"
)

// groundOptions say where a question about ports is asked, and for whom.
type groundOptions struct {
	Netns string // of -N; "" for that of PID, or our own
	PID   int    // 0 for us
	NoBPF bool
}

// ground is a namespace of the host, as far as questions about its ports need it.
type ground interface {
	// Look lists the sockets of every namespace that may be entered.
	Look(context.Context, func(*event.Sighting) bool) (*tracer.Sight, error)
	// Facts are the namespace's settings, and who asks.
	Facts() *groundFacts
	// Local says whether an address may be bound there.
	Local(netip.Addr) aggregate.Answer
	// Target is the way from there to a destination.
	Target(netip.AddrPort) (aggregate.ConnectTarget, error)
	// Resolve finds the addresses of a name.
	Resolve(context.Context, string) ([]netip.Addr, error)
	// Describe tells what is known of an owner.
	Describe(*event.Owner) *aggregate.OwnerInfo
	// Meta is what the document says of where it comes from.
	Meta() *aggregate.Meta
	Close() error
}

// groundFacts do not change while a question is answered.
type groundFacts struct {
	NetNS      uint32
	Name       string
	Limits     event.Limits
	IPv6       bool
	Complete   bool // no socket of the namespace is hidden
	Blind      bool // the look does without BPF
	UID        uint32
	Privileged aggregate.Answer
	Asker      string
	Target     host.Target // where settings are written
	Notes      []string
}

// How many sockets alike are told as one: on a screen, and to a program.
const (
	foldOnScreen = 9
	foldInData   = 1001
)

// answerPorts looks, and answers.
func answerPorts(ctx context.Context, g ground, questions []aggregate.PortQuestion, foldFrom int) (*fields.WhyReport, error) {
	sight, err := lookAt(ctx, g, func(s *event.Sighting) bool { return isAsked(questions, &s.Lease) })
	if err != nil {
		return nil, err
	}
	talkers, err := findTalkers(ctx, g, sight.Sightings)
	if err != nil {
		return nil, err
	}
	facts := g.Facts()
	names := map[uint32]string{facts.NetNS: facts.Name}
	for _, ns := range sight.Walked {
		names[ns.Inode] = ns.Name
	}
	world := &aggregate.PortWorld{
		NetNS: facts.NetNS, Limits: facts.Limits, Sockets: sight.Sightings, Talkers: talkers, Complete: facts.Complete, FoldFrom: foldFrom,
		UID: facts.UID, Privileged: facts.Privileged, Local: g.Local, IPv6: facts.IPv6,
		Owner: remember(g.Describe), NameOf: func(inode uint32) string { return names[inode] },
	}
	report := &fields.WhyReport{Asker: facts.Asker, Notes: facts.Notes, Unread: unreadOf(sight)}
	var exposed []uint16
	for _, q := range questions {
		a := world.Answer(q)
		if a.Exposed() && !slices.Contains(exposed, a.Port) {
			exposed = append(exposed, a.Port)
		}
		report.Ports = append(report.Ports, a)
	}
	if len(exposed) > 0 {
		report.Reserve = host.ReserveLines(facts.Target, facts.Limits.Reserved, exposed...)
	}
	return report, nil
}

// lookAt looks. Not to have been in the namespace that is asked about is an error:
// nothing seems to be held there.
func lookAt(ctx context.Context, g ground, keep func(*event.Sighting) bool) (*tracer.Sight, error) {
	sight, err := g.Look(ctx, keep)
	if err != nil {
		return nil, err
	}
	inode := g.Facts().NetNS
	if slices.ContainsFunc(sight.Walked, func(ns netns.Namespace) bool { return ns.Inode == inode }) {
		return sight, nil
	}
	if len(sight.Unread) > 0 {
		return nil, errors.Join(sight.Unread...)
	}
	return nil, classifiedError{errors.New("the network namespace has ended meanwhile"), errUsage}
}

func isAsked(questions []aggregate.PortQuestion, l *event.Lease) bool {
	for i := range questions {
		if questions[i].Port == l.Local.Port() && questions[i].Protocol == l.Protocol {
			return true
		}
	}
	return false
}

// findTalkers looks for live sockets that have the far end of a TIME_WAIT.
func findTalkers(ctx context.Context, g ground, sockets []event.Sighting) ([]event.Sighting, error) {
	ends := map[netip.AddrPort]bool{}
	for i := range sockets {
		if l := &sockets[i].Lease; l.State == event.StateTimeWait {
			ends[l.Remote] = true
		}
	}
	if len(ends) == 0 {
		return nil, nil
	}
	sight, err := g.Look(ctx, func(s *event.Sighting) bool {
		return s.Lease.Protocol == event.TCP && s.Lease.State != event.StateTimeWait && ends[s.Lease.Remote]
	})
	if err != nil {
		return nil, err
	}
	return sight.Sightings, nil
}

// remember asks once for each owner.
func remember(describe func(*event.Owner) *aggregate.OwnerInfo) func(*event.Owner) *aggregate.OwnerInfo {
	known := map[event.OwnerID]*aggregate.OwnerInfo{}
	return func(o *event.Owner) *aggregate.OwnerInfo {
		id := o.ID()
		if known[id] == nil {
			known[id] = describe(o)
		}
		return known[id]
	}
}

func unreadOf(sight *tracer.Sight) (all []string) {
	for _, err := range sight.Unread {
		all = append(all, err.Error())
	}
	return all
}

// runConnect answers --connect.
func runConnect(cmd *cobra.Command, a *app, f *whyFlags, g ground) error {
	name, port, err := parseDestination(f.connect)
	if err != nil {
		return usagef(cmd, "--connect %s: %s", f.connect, err)
	}
	addrs, err := addressesOf(cmd.Context(), g, name)
	if err != nil {
		return fmt.Errorf("--connect %s: %w", f.connect, err)
	}
	var targets []aggregate.ConnectTarget
	for _, addr := range addrs {
		t, err := g.Target(netip.AddrPortFrom(addr, port))
		if err != nil {
			return err
		}
		if !slices.Contains(targets, t) {
			targets = append(targets, t)
		}
	}
	report, err := meterTargets(cmd.Context(), g, targets)
	if err != nil {
		return err
	}
	return printWhy(a, f, g.Meta(), report)
}

// parseDestination reads HOST:PORT.
func parseDestination(word string) (name string, port uint16, err error) {
	const want = "want HOST:PORT, such as db.example:5432 or [::1]:443"
	name, digits, err := net.SplitHostPort(word)
	if err != nil || name == "" || strings.ContainsAny(name, "/ ") {
		return "", 0, fmt.Errorf("no destination: %s", want)
	}
	port, err = host.ParsePort(digits)
	return name, port, err
}

// addressesOf resolves a name, unless it is an address.
func addressesOf(ctx context.Context, g ground, name string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	addrs, err := g.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}
