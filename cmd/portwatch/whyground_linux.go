package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/portrange"
	"github.com/portwatch/portwatch/internal/tracer/route"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
)

// netBindService is CAP_NET_BIND_SERVICE (linux/capability.h).
const netBindService = 10

// liveGround is a namespace of the host at hand.
type liveGround struct {
	*tracer.Looker
	place *place
	ns    netns.Namespace
	own   bool
	facts groundFacts
	// nonlocal are the settings that let addresses be bound which are not
	// there, by family.
	nonlocal4, nonlocal6 bool
}

// openGround finds the namespace and the asker, and gets ready to look.
func openGround(_ context.Context, o groundOptions) (ground, error) {
	p, err := newPlace("")
	if err != nil {
		return nil, err
	}
	g := &liveGround{place: p}
	if err := g.find(o); err != nil {
		return nil, err
	}
	if err := g.inside(g.read); err != nil {
		return nil, classifyGround(err)
	}
	if g.Looker, err = tracer.OpenLooker(o.NoBPF); err != nil {
		return nil, classify(err)
	}
	g.facts.Target = p.target(&space{Namespace: g.ns, own: g.own})
	g.facts.Blind = g.Reason() != ""
	g.facts.Complete = sockdiag.ListsBound(tracer.KernelRelease()) || !g.facts.Blind && seesAllProcesses()
	g.note()
	return g, g.findAsker(o)
}

func classifyGround(err error) error {
	switch {
	case errors.Is(err, netns.ErrGone):
		return classifiedError{errors.New("the network namespace has ended meanwhile"), errUsage}
	case errors.Is(err, fs.ErrPermission):
		return classifiedError{err, errPermission}
	}
	return err
}

// find finds the namespace that is asked about.
func (g *liveGround) find(o groundOptions) error {
	word := o.Netns
	if o.PID > 0 {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", o.PID)); err != nil {
			return classifiedError{fmt.Errorf("--pid %d: there is no such process: want the id of one that runs", o.PID), errUsage}
		}
		if word == "" {
			word = fmt.Sprintf("pid:%d", o.PID)
		}
	}
	filter, err := newSpaceFilter(word, false)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return classifiedError{fmt.Errorf("the network namespace of %s may not be looked into: %w", word, err), errPermission}
	case err != nil:
		return classifiedError{fmt.Errorf("no network namespace is called %q here: want a name, pid:N, inode:N or a path", word), errUsage}
	}
	own, wanted, err := filter.find()
	if own == 0 && err != nil && word != "" {
		return classifiedError{err, errUsage}
	}
	if err != nil {
		return err
	}
	g.ns, g.own = wanted[0], wanted[0].Inode == own
	g.facts.NetNS, g.facts.Name = g.ns.Inode, g.ns.Name
	return nil
}

// inside runs fn in the namespace. Into our own nobody needs to go, which would
// take a capability.
func (g *liveGround) inside(fn func() error) error {
	if g.own {
		return fn()
	}
	return netns.Do(g.ns.Path, g.ns.Inode, fn)
}

// read reads the settings of the namespace that the thread is in.
func (g *liveGround) read() error {
	limits, err := portrange.Read(os.DirFS("/proc/sys/net"))
	if err != nil {
		return err
	}
	limits.NetNS = g.ns.Inode
	g.facts.Limits = limits
	_, err = os.Stat("/proc/thread-self/net/if_inet6")
	g.facts.IPv6 = err == nil
	g.nonlocal4 = isOne("/proc/sys/net/ipv4/ip_nonlocal_bind")
	g.nonlocal6 = isOne("/proc/sys/net/ipv6/ip_nonlocal_bind")
	return nil
}

func isOne(path string) bool {
	content, err := os.ReadFile(path)
	return err == nil && strings.TrimSpace(string(content)) == "1"
}

// findAsker learns who would bind: the process that was named, or us.
func (g *liveGround) findAsker(o groundOptions) error {
	pid := o.PID
	if pid == 0 {
		pid = os.Getpid()
		g.facts.Asker = "portwatch's own user and capabilities (-p PID: for a process's)"
	}
	owner, found := tracer.ReadOwner("/proc", pid)
	if !found {
		return errors.Join(classifiedError{fmt.Errorf("--pid %d: the process has ended meanwhile", pid), errUsage}, g.Close())
	}
	g.facts.UID = owner.UID
	if uid, known := fileUID(pid); known {
		g.facts.UID = uid
	}
	if o.PID > 0 {
		g.facts.Asker = fmt.Sprintf("%s[%d], user %d", owner.Comm, pid, g.facts.UID)
	}
	holds, err := g.ns.Holds(pid, netBindService)
	if err != nil {
		g.facts.Notes = append(g.facts.Notes, "whether CAP_NET_BIND_SERVICE is held is not known: "+err.Error())
		return nil
	}
	g.facts.Privileged = aggregate.AnswerOf(holds)
	return nil
}

// fileUID is the user whose sockets a process makes (fsuid), the fourth of
// "Uid:\t1000\t1000\t1000\t1000".
func fileUID(pid int) (uid uint32, known bool) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	_, after, _ := strings.Cut(string(content), "\nUid:")
	_, err = fmt.Sscanf(after, "%d %d %d %d", new(uint32), new(uint32), new(uint32), &uid)
	return uid, err == nil
}

// note says what this look cannot know.
func (g *liveGround) note() {
	if g.facts.Blind {
		g.facts.Notes = append(g.facts.Notes, "without BPF ("+g.Reason()+") the flags of sockets are not known, nor which ports connect() skips")
	}
	if !g.facts.Complete {
		g.facts.Notes = append(g.facts.Notes, "sockets that are bound and nothing else cannot all be seen (the kernel lists them from 6.12 on): a port that nothing seems to hold may be held")
	}
	if os.Geteuid() != 0 {
		g.facts.Notes = append(g.facts.Notes, "not root: only portwatch's own namespace is looked into, and only its own user's processes are named")
	}
}

// firstPIDs is the inode of the host's pid namespace (PROC_PID_INIT_INO of the
// kernel).
const firstPIDs = 0xEFFFFFFC

// seesAllProcesses reports whether the descriptors of every process can be walked:
// a pid namespace of our own hides those of others.
func seesAllProcesses() bool {
	inode, err := fileInode("/proc/self/ns/pid")
	return err == nil && inode == firstPIDs
}

// Facts implements [ground].
func (g *liveGround) Facts() *groundFacts { return &g.facts }

// Local implements [ground].
func (g *liveGround) Local(addr netip.Addr) aggregate.Answer {
	if addr.Is4() && g.nonlocal4 || addr.Is6() && g.nonlocal6 {
		return aggregate.AnswerYes
	}
	if addr.IsLinkLocalUnicast() && addr.Is6() {
		return aggregate.AnswerUnknown // it takes an interface, too
	}
	local := false
	err := g.inside(func() (err error) {
		local, err = route.IsLocal(addr)
		return err
	})
	if err != nil {
		return aggregate.AnswerUnknown
	}
	return aggregate.AnswerOf(local)
}

// Target implements [ground].
func (g *liveGround) Target(to netip.AddrPort) (aggregate.ConnectTarget, error) {
	t := aggregate.ConnectTarget{Remote: to}
	var found route.Route
	err := g.inside(func() (err error) {
		found, err = route.Find(to.Addr(), g.facts.UID)
		return err
	})
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		t.Unreachable = "the namespace has no route to it"
	case err != nil:
		return t, err
	case !found.Source.IsValid():
		t.Unreachable = "the route to it gives no local address"
	default:
		t.Local = found.Source.Unmap()
	}
	return t, nil
}

// Resolve implements [ground].
func (g *liveGround) Resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

// Describe implements [ground].
func (g *liveGround) Describe(o *event.Owner) *aggregate.OwnerInfo {
	described := g.place.names.Describe(*o)
	return aggregate.ProcessInfo(&described)
}

// Meta implements [ground].
func (g *liveGround) Meta() *aggregate.Meta {
	m := g.place.meta()
	if m.Start.Reason = g.Reason(); m.Start.Reason == "" {
		m.Start.Mode = 0 // nothing was watched, by whatever means
	}
	m.Start.Unavailable = []string{"who left a TIME_WAIT", "refusals", "rates"}
	return m
}
