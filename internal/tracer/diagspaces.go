package tracer

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"

	"go.uber.org/zap"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/portrange"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
)

// diagNamespace is what was told of a namespace.
type diagNamespace struct {
	name   string
	limits event.Limits
	cookie uint64
	seen   uint64 // number of the last dump that found it
}

// dump lists the sockets of every namespace that may be entered. walked are
// those that it got through; complete is false if it failed in one that is
// there and may be entered.
func (d *Diag) dump(ctx context.Context) (walked map[uint32]bool, complete bool) {
	d.leases.begin()
	listing, err := netns.List("/proc")
	if err != nil {
		d.log.Warn("list namespaces", zap.Error(err))
		return nil, false
	}
	walked, complete = map[uint32]bool{}, true
	for _, ns := range listing.Namespaces {
		if !d.watches(ns.Inode) || ctx.Err() != nil {
			continue
		}
		err := d.dumpNamespace(ctx, ns)
		switch {
		case err == nil:
			walked[ns.Inode] = true
		case !errors.Is(err, netns.ErrGone):
			complete = false
			d.log.Warn("dump namespace", zap.Uint32("netns", ns.Inode), zap.Error(err))
		}
	}
	d.forget()
	return walked, complete
}

// watches reports whether a namespace is wanted and may be entered.
func (d *Diag) watches(inode uint32) bool {
	if inode != d.own && !d.enters {
		return false
	}
	return len(d.options.NetNS) == 0 || slices.Contains(d.options.NetNS, inode)
}

// dumpNamespace goes into a namespace once: for its settings and its sockets.
func (d *Diag) dumpNamespace(ctx context.Context, ns netns.Namespace) error {
	if d.spaces[ns.Inode] == nil && len(d.spaces) >= maxNamespaces {
		d.leases.refuse()
		return nil
	}
	return d.inside(ns, func() error {
		d.tellNamespace(ns)
		return d.dumpSockets(ctx, ns.Inode)
	})
}

// inside runs fn in a namespace. Into our own nobody needs to go, which would
// take a capability.
func (d *Diag) inside(ns netns.Namespace, fn func() error) error {
	if ns.Inode == d.own {
		return fn()
	}
	return netns.Do(ns.Path, ns.Inode, fn)
}

func (d *Diag) dumpSockets(ctx context.Context, inode uint32) (err error) {
	conn, err := sockdiag.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for _, protocol := range [...]event.Protocol{event.TCP, event.UDP} {
		if !d.options.watches(protocol) {
			continue
		}
		listeners := diagListeners{}
		err := conn.Dump(ctx, sockdiag.Request{Protocol: protocol}, func(s *sockdiag.Socket) error {
			if !listeners.accepted(s) {
				d.leases.meet(s, inode)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tellNamespace tells a namespace's name and settings if they are news. It
// runs inside. What cannot be read is not told.
func (d *Diag) tellNamespace(ns netns.Namespace) {
	known := d.spaces[ns.Inode]
	cookie, err := netns.Cookie()
	if err != nil {
		d.log.Debug("read namespace cookie", zap.Error(err))
	}
	if known != nil && known.cookie != cookie { // the number is used again
		d.tellGone(ns.Inode, known)
		known = nil
	}
	if known == nil || known.name != ns.Name {
		known = &diagNamespace{name: ns.Name, cookie: cookie, limits: limitsOf(known)}
		d.spaces[ns.Inode] = known
		d.push(event.Event{Kind: event.KindNetNS, Time: bootNow(), Namespace: &event.Namespace{
			NetNS: ns.Inode, Cookie: cookie, Name: ns.Name,
		}})
	}
	known.seen = d.leases.number
	limits, err := portrange.Read(os.DirFS("/proc/sys/net"))
	limits.NetNS = ns.Inode
	if err != nil || reflect.DeepEqual(limits, known.limits) {
		return
	}
	known.limits = limits
	d.push(event.Event{Kind: event.KindLimits, Time: bootNow(), Limits: &limits})
}

func limitsOf(ns *diagNamespace) event.Limits {
	if ns == nil {
		return event.Limits{}
	}
	return ns.limits
}

// forget tells the namespaces that are gone: neither this dump nor the last
// one found them. Their leases end with them.
func (d *Diag) forget() {
	for inode, ns := range d.spaces {
		if ns.seen+2 > d.leases.number {
			continue
		}
		d.tellGone(inode, ns)
	}
}

func (d *Diag) tellGone(inode uint32, ns *diagNamespace) {
	delete(d.spaces, inode)
	d.leases.drop(inode)
	d.push(event.Event{Kind: event.KindNetNS, Time: bootNow(), Namespace: &event.Namespace{
		NetNS: inode, Cookie: ns.cookie, Name: ns.name, Gone: true,
	}})
}
