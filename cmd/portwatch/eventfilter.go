package main

import (
	"net/netip"
	"slices"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// event reports whether the event is shown. A filter hides events that are
// not about its subject, except losses: a view that lost something says so
// under any filter.
func (f *filter) event(r *aggregate.Record) bool {
	ev := &r.Event
	if ev.Kind == event.KindLost {
		return true
	}
	if f.onlyFails && ev.Kind != event.KindFailure {
		return false
	}
	return f.subject(r) && f.flow(ev)
}

// subject applies the filters of owner and namespace.
func (f *filter) subject(r *aggregate.Record) bool {
	if !f.namespace(r.NetNS, r.NetNSName) {
		return false
	}
	if r.Owned {
		return f.owner(&r.Owner)
	}
	return f.owner(&aggregate.OwnerInfo{})
}

// flow applies the filters of protocol, family and ports.
func (f *filter) flow(ev *event.Event) bool {
	protocol, family, local, remote := ev.Lease.Protocol, ev.Lease.Family, ev.Lease.Local, ev.Lease.Remote
	if fail := ev.Failure; fail != nil {
		protocol, family, local, remote = fail.Protocol, fail.Family, fail.Local, fail.Remote
	}
	return f.kind(protocol, family) && contains(f.local, local) && contains(f.peer, remote)
}

func contains(ranges []event.PortRange, ap netip.AddrPort) bool {
	return len(ranges) == 0 ||
		slices.ContainsFunc(ranges, func(r event.PortRange) bool { return r.Contains(ap.Port()) })
}
