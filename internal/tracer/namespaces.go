package tracer

import (
	"errors"
	"os"
	"reflect"
	"slices"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/portrange"
)

// namespaces knows the namespaces that were seen, and their settings.
type namespaces struct {
	known map[uint32]*namespace
}

type namespace struct {
	netns.Namespace
	limits event.Limits
	// tried is the range for which the settings were last read anew, so that
	// a namespace that cannot be entered is not tried at every event.
	tried event.PortRange
	// active is set by an event in the namespace and cleared when its
	// settings were read: a quiet namespace is not polled.
	active bool
	// named is false while only an event told of the namespace.
	named bool
	// missing counts the walks that did not find it any more.
	missing int
}

// maxNamespaces bounds what is remembered; beyond it, settings of further
// namespaces are unknown, their leases are not.
const maxNamespaces = 16384

func newNamespaces() *namespaces { return &namespaces{known: map[uint32]*namespace{}} }

// met notes that something happened in a namespace and compares the range that
// the kernel used with the one that is known. It returns true if the settings
// have to be read anew before the event is handed on.
func (n *namespaces) met(inode uint32, used event.PortRange) bool {
	ns := n.known[inode]
	if ns == nil {
		if len(n.known) >= maxNamespaces {
			return false
		}
		n.known[inode] = &namespace{Namespace: netns.Namespace{Inode: inode}, active: true}
		return true
	}
	ns.active = true
	if used.IsZero() || used == ns.limits.Range || used == ns.tried {
		return false
	}
	ns.tried = used
	return true
}

// learn takes over what a walk found. It tells of namespaces that appeared,
// were named or are gone.
func (n *namespaces) learn(found []netns.Namespace, now event.Time, tell func(event.Event)) {
	seen := make(map[uint32]bool, len(found))
	for _, f := range found {
		seen[f.Inode] = true
		ns := n.known[f.Inode]
		if ns == nil {
			if len(n.known) >= maxNamespaces {
				continue
			}
			ns = &namespace{}
			n.known[f.Inode] = ns
		}
		if !ns.named || ns.Name != f.Name {
			tell(netnsEvent(f, now, false))
			ns.active = true
		}
		ns.Namespace, ns.named, ns.missing = f, true, 0
	}
	for inode, ns := range n.known {
		if seen[inode] {
			continue
		}
		// An event may tell of a namespace whose process is gone already:
		// it counts as gone when two walks did not find it.
		if ns.missing++; ns.missing >= 2 {
			delete(n.known, inode)
			tell(netnsEvent(ns.Namespace, now, true))
		}
	}
}

func netnsEvent(ns netns.Namespace, now event.Time, gone bool) event.Event {
	return event.Event{Kind: event.KindNetNS, Time: now, Namespace: &event.Namespace{
		NetNS: ns.Inode, Name: ns.Name, Gone: gone,
	}}
}

// poll reads the settings of the active namespaces and tells what changed.
func (n *namespaces) poll(now event.Time, tell func(event.Event)) {
	inodes := make([]uint32, 0, len(n.known))
	for inode, ns := range n.known {
		if ns.active {
			inodes = append(inodes, inode)
		}
	}
	slices.Sort(inodes)
	for _, inode := range inodes {
		n.readLimits(inode, now, tell)
	}
}

// readLimits reads the settings of one namespace, and tells them if they are
// news. It reports whether they could be read. A namespace that cannot be entered
// has none: absent, not zero.
func (n *namespaces) readLimits(inode uint32, now event.Time, tell func(event.Event)) bool {
	ns := n.known[inode]
	if ns == nil || ns.Path == "" {
		return false
	}
	ns.active = false
	var limits event.Limits
	err := netns.Do(ns.Path, inode, func() (err error) {
		limits, err = portrange.Read(os.DirFS("/proc/sys/net"))
		return err
	})
	if err != nil {
		if errors.Is(err, netns.ErrGone) {
			// The next event with this inode may be a new namespace's.
			ns.Path, ns.limits, ns.tried = "", event.Limits{}, event.PortRange{}
		}
		return false
	}
	limits.NetNS = inode
	ns.tried = limits.Range
	if reflect.DeepEqual(limits, ns.limits) {
		return true
	}
	ns.limits = limits
	told := limits
	tell(event.Event{Kind: event.KindLimits, Time: now, Limits: &told})
	return true
}

// locate finds a way into a namespace that an event told of, by the process
// that caused the event.
func (n *namespaces) locate(inode uint32, path string) {
	if ns := n.known[inode]; ns != nil && ns.Path == "" {
		ns.Path = path
	}
}
