package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
	"github.com/portwatch/portwatch/internal/tracer"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/portrange"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
	"github.com/portwatch/portwatch/internal/tracer/workload"
)

// place is where a one-shot verb looks: the host at hand, or a collected tree.
type place struct {
	root  fs.FS
	path  string // of root
	live  bool
	names *workload.Resolver
}

// newPlace is the host at hand for "".
func newPlace(root string) (*place, error) {
	if root == "" {
		return &place{
			root: os.DirFS("/"), path: "/", live: true,
			names: workload.New(workload.HostTrees("/")),
		}, nil
	}
	if _, err := os.Stat(filepath.Join(root, "proc")); err != nil {
		return nil, fmt.Errorf("%w: a collected tree holds proc, and sys and etc as far as they matter", err)
	}
	return &place{root: os.DirFS(root), path: root, names: workload.New(workload.HostTrees(root))}, nil
}

// space is one network namespace as a one-shot verb finds it.
type space struct {
	netns.Namespace
	own    bool
	cookie uint64
	limits event.Limits
	survey *host.Survey // nil if the sockets could not be read
	sctp   *host.PortSet
	unread []host.Unread
	// bound tells whether sockets that are bound and nothing else are listed.
	bound bool
	facts *host.NetFacts
}

// spaceFilter says which namespaces are read.
type spaceFilter struct {
	word  string // of -N; "" for no choice
	inode uint32 // of word; 0 if it is a name
	all   bool   // every one that may be read, else our own only
}

func newSpaceFilter(word string, all bool) (spaceFilter, error) {
	if word == "" {
		return spaceFilter{all: all}, nil
	}
	inode, err := netnsInode(word)
	return spaceFilter{word: word, inode: inode}, err
}

func (f spaceFilter) wants(ns netns.Namespace, own uint32) bool {
	switch {
	case f.inode != 0:
		return ns.Inode == f.inode
	case f.word != "":
		return ns.Name == f.word
	}
	return f.all || ns.Inode == own
}

// find lists the wanted namespaces.
func (f spaceFilter) find() (own uint32, wanted []netns.Namespace, err error) {
	if own, err = netns.Current(); err != nil {
		return 0, nil, err
	}
	listing, err := netns.List("/proc")
	if err != nil {
		return 0, nil, err
	}
	wanted = slices.DeleteFunc(listing.Namespaces, func(ns netns.Namespace) bool { return !f.wants(ns, own) })
	if len(wanted) == 0 {
		return 0, nil, fmt.Errorf("no network namespace is called %q here", f.word)
	}
	return own, wanted, nil
}

// spaces reads the wanted namespaces, our own first. One that may not be
// entered is told as unread, unless it was asked for.
func (p *place) spaces(ctx context.Context, f spaceFilter) ([]space, []host.Unread, error) {
	if !p.live {
		s, err := p.treeSpace()
		return []space{s}, nil, err
	}
	own, wanted, err := f.find()
	if err != nil {
		return nil, nil, err
	}
	var found []space
	var unread []host.Unread
	for _, ns := range wanted {
		s := space{Namespace: ns, own: ns.Inode == own}
		switch err := s.enter(ctx); {
		case err == nil && s.own:
			found = slices.Insert(found, 0, s)
		case err == nil:
			found = append(found, s)
		case s.own || !f.all:
			return nil, nil, err
		case !errors.Is(err, netns.ErrGone):
			unread = append(unread, host.Unread{What: "namespace " + strconv.Itoa(int(ns.Inode)), Why: err.Error()})
		}
	}
	if len(found) == 0 {
		return nil, nil, errors.New("the network namespace has ended meanwhile")
	}
	return found, unread, nil
}

// enter reads the namespace from inside. Into our own nobody needs to go, which
// would take a capability.
func (s *space) enter(ctx context.Context) error {
	if s.own {
		return s.read(ctx)
	}
	err := netns.Do(s.Path, s.Inode, func() error { return s.read(ctx) })
	if errors.Is(err, fs.ErrPermission) {
		return classifiedError{err, errPermission}
	}
	return err
}

// read reads the namespace that the thread is in. /proc/self/net would be that
// of the process's first thread.
func (s *space) read(ctx context.Context) error {
	limits, err := portrange.Read(os.DirFS("/proc/sys/net"))
	if err != nil {
		return err
	}
	limits.NetNS = s.Inode
	s.limits = limits
	if s.limits.Range.IsZero() {
		return errors.New("read ip_local_port_range: /proc/sys/net does not show it")
	}
	if s.cookie, err = netns.Cookie(); err != nil {
		s.cookie = 0 // before 5.14
	}
	net := os.DirFS("/proc/thread-self/net")
	s.readSockets(ctx, net)
	if held, loaded := host.CountSCTP(net); loaded {
		s.sctp = held
	}
	s.facts = host.ReadNetFacts(os.DirFS("/proc/sys"), net)
	return ctx.Err()
}

// readSockets asks sock_diag, and where the kernel has none reads /proc/net.
func (s *space) readSockets(ctx context.Context, net fs.FS) {
	var survey *host.Survey
	err := sockdiag.ErrInterrupted
	for try := 0; try < dumpTries && errors.Is(err, sockdiag.ErrInterrupted); try++ {
		survey = host.NewSurvey(&s.limits)
		survey.Queues = true
		err = dumpInto(ctx, survey)
	}
	if errors.Is(err, sockdiag.ErrUnavailable) {
		survey = host.NewSurvey(&s.limits)
		err = host.ListSockets(net, survey.Add)
	} else {
		s.bound = sockdiag.ListsBound(tracer.KernelRelease())
	}
	if err != nil {
		s.unread = append(s.unread, host.Unread{What: "sockets", Why: err.Error()})
		return
	}
	s.survey = survey
}

// dumpTries is how often a dump that a change interrupted is begun again.
const dumpTries = 3

// dumpInto lists the sockets of the thread's namespace.
func dumpInto(ctx context.Context, survey *host.Survey) (err error) {
	conn, err := sockdiag.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for _, protocol := range [...]event.Protocol{event.TCP, event.UDP} {
		err := conn.Dump(ctx, sockdiag.Request{Protocol: protocol}, func(k *sockdiag.Socket) error {
			survey.Add(&host.Socket{
				Protocol: k.Protocol, State: k.State, Local: k.Local, Remote: k.Remote, Inode: k.Inode,
				CgroupID: k.CgroupID, Queued: k.ReceiveQueue, QueueLimit: k.SendQueue,
			})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// treeSpace is the one namespace of a collected tree.
func (p *place) treeSpace() (space, error) {
	s := space{own: true, Namespace: netns.Namespace{Name: cmp.Or(p.word("proc/sys/kernel/hostname"), "tree")}}
	sysctls, err := fs.Sub(p.root, "proc/sys/net")
	if err != nil {
		return s, err
	}
	if s.limits, err = portrange.Read(sysctls); err != nil {
		return s, fmt.Errorf("%s: %w", p.path, err)
	}
	if s.limits.Range.IsZero() {
		return s, fmt.Errorf("%s: it holds no proc/sys/net/ipv4/ip_local_port_range", p.path)
	}
	net, err := fs.Sub(p.root, "proc/net")
	if err != nil {
		return s, err
	}
	survey := host.NewSurvey(&s.limits)
	if err := host.ListSockets(net, survey.Add); err != nil {
		s.unread = append(s.unread, host.Unread{What: "sockets", Why: err.Error()})
	} else {
		s.survey = survey
	}
	if held, loaded := host.CountSCTP(net); loaded {
		s.sctp = held
	}
	kernel, err := fs.Sub(p.root, "proc/sys")
	s.facts = host.ReadNetFacts(kernel, net)
	return s, err
}
