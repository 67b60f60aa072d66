package aggregate

import "github.com/portwatch/portwatch/internal/event"

// Record is an event with what the ledger knows about it.
type Record struct {
	// Event is the event; for a state event and a release its lease is
	// completed with what the ledger knew of it.
	Event event.Event
	// Owner is whom the event is about, Owned whether it is about anybody.
	Owner OwnerInfo
	Owned bool
	// NetNS is the namespace that the event is about, 0 if none.
	NetNS     uint32
	NetNSName string // "" if unknown
}

// ApplyDescribed is Apply, and fills r with the event and what is known about
// it: before a lease ends, and after everything else is booked.
func (l *Ledger) ApplyDescribed(ev *event.Event, r *Record) {
	if ev.Kind == event.KindRelease || ev.Kind == event.KindCorrection || ev.Kind == event.KindNetNS {
		l.describe(ev, r)
		l.Apply(ev)
		return
	}
	l.Apply(ev)
	l.describe(ev, r)
}

func (l *Ledger) describe(ev *event.Event, r *Record) {
	*r = Record{Event: *ev}
	switch ev.Kind {
	case event.KindState, event.KindRelease, event.KindAllocate, event.KindTimeWait, event.KindCorrection:
		l.describeLease(r)
	default:
		l.describeFact(ev, r)
	}
	if i, ok := l.namespaces.byInode[r.NetNS]; ok && r.NetNSName == "" {
		r.NetNSName = l.namespaces.at(i).name
	}
}

// describeFact names the subject of an event that is about no lease.
func (l *Ledger) describeFact(ev *event.Event, r *Record) {
	switch {
	case ev.Failure != nil:
		r.NetNS = ev.Failure.NetNS
		l.describeOwner(r, &ev.Failure.Owner)
	case ev.Process != nil:
		l.describeOwner(r, &ev.Process.Owner)
	case ev.Limits != nil:
		r.NetNS = ev.Limits.NetNS
	case ev.Accepted != nil:
		r.NetNS = ev.Accepted.NetNS
	case ev.Namespace != nil:
		r.NetNS, r.NetNSName = ev.Namespace.NetNS, ev.Namespace.Name
	}
}

// describeLease completes the lease of a record. What the event itself says
// goes before what the ledger knew.
func (l *Ledger) describeLease(r *Record) {
	el := &r.Event.Lease
	if el.ID == (event.LeaseID{}) {
		return // the begin and the end of a resync
	}
	if slot, ok := l.index[el.ID]; ok && partial(r.Event.Kind) {
		known := l.leaseAt(slot)
		known.State = el.State
		if el.Local.IsValid() {
			known.Local = el.Local
		}
		*el = known
	}
	r.NetNS = el.NetNS
	l.describeOwner(r, &el.Owner)
}

// partial reports whether events of the kind carry only a part of the lease.
func partial(k event.Kind) bool { return k == event.KindState || k == event.KindRelease }

func (l *Ledger) describeOwner(r *Record, o *event.Owner) {
	r.Owned = true
	if i, ok := l.owners.byID[o.ID()]; ok {
		r.Owner = *l.owners.at(i).info
		r.Owner.Confidence = o.Confidence
		return
	}
	r.Owner = infoOf(o)
}

// leaseAt is the lease as events tell it.
func (l *Ledger) leaseAt(slot uint32) event.Lease { return l.leaseOf(l.leases.at(slot)) }

func (l *Ledger) leaseOf(ls *lease) event.Lease {
	a := l.accounts.at(ls.account)
	info := l.owners.at(a.owner).info
	return event.Lease{
		ID: ls.id, NetNS: l.namespaces.at(a.namespace).inode, Device: ls.device,
		Protocol: a.protocol, Family: a.family,
		State: ls.state, Substate: ls.substate, Origin: ls.origin,
		Local: ls.local.addrPort(a.family), Remote: ls.remote.addrPort(a.family),
		Range: ls.rng, V6Only: ls.v6Only, Expires: ls.expires, Entered: ls.entered, TimestampsSeen: ls.entered != 0,
		Owner: event.Owner{
			Kind: info.ID.Kind, Confidence: ls.confidence, PID: info.ID.PID, StartTime: info.ID.StartTime,
			Exec: info.ID.Exec, Comm: info.Comm, UID: info.UID, CgroupID: ls.cgroup,
		},
	}
}
