package aggregate

import "github.com/portwatch/portwatch/internal/event"

// OwnerInfo is who an owner is, and what could be found out about it. Empty
// words were not found out.
type OwnerInfo struct {
	ID         event.OwnerID
	Confidence event.Confidence // the best by which it is known
	Comm       event.Comm       // as of the last event that carried it
	UID        uint32
	CgroupID   uint64 // 0 if unknown
	Exited     bool

	Exe          string
	Cgroup       string // path within the cgroup2 hierarchy
	Unit         string
	ContainerID  string
	Container    string
	PodUID       string
	Pod          string
	PodNamespace string
}

func infoOf(o *event.Owner) OwnerInfo {
	return OwnerInfo{ID: o.ID(), Confidence: o.Confidence, Comm: o.Comm, UID: o.UID, CgroupID: o.CgroupID}
}

// owner is an OwnerInfo with what points at it.
type owner struct {
	info     *OwnerInfo
	shared   bool // a Snapshot points at info: copy before writing
	accounts uint32
	used     event.Time // last event of the owner itself; accounts have theirs
}

type ownerTable struct {
	slab[owner]
	byID map[event.OwnerID]uint32
}

func (t *ownerTable) init() { t.byID = make(map[event.OwnerID]uint32) }

// ownerFor finds or adds an owner. At the bound it makes room, and where there
// is none the unknown owner, for which room is always kept, stands in.
func (l *Ledger) ownerFor(o *event.Owner) uint32 {
	id := o.ID()
	if i, ok := l.owners.byID[id]; ok {
		l.owners.at(i).meet(o)
		return i
	}
	if id.Kind != event.OwnerUnknown && !l.roomForOwner() {
		l.counters.OwnersFolded++
		return l.ownerFor(&event.Owner{})
	}
	return l.addOwner(infoOf(o))
}

func (l *Ledger) addOwner(info OwnerInfo) uint32 {
	i := l.owners.put()
	*l.owners.at(i) = owner{info: &info, used: l.now}
	l.owners.byID[info.ID] = i
	return i
}

// roomForOwner forgets owners that hold nothing if the table is full; at most
// once per second of event time, so that a flood of owners stays cheap.
func (l *Ledger) roomForOwner() bool {
	if l.owners.len() < l.opts.MaxOwners {
		return true
	}
	if second(l.swept) == second(l.now) {
		return false
	}
	l.sweep(0)
	return l.owners.len() < l.opts.MaxOwners
}

// meet takes over what an event says of a known owner. A process may rename
// itself or move to another cgroup; the last word counts.
func (o *owner) meet(seen *event.Owner) {
	if seen.Kind == event.OwnerUnknown {
		return
	}
	have := o.info
	if have.Comm == seen.Comm && have.CgroupID == seen.CgroupID && have.UID == seen.UID &&
		have.Confidence >= seen.Confidence {
		return
	}
	have = o.writable()
	have.Confidence = max(have.Confidence, seen.Confidence)
	have.Comm, have.UID = seen.Comm, seen.UID
	if seen.CgroupID != 0 {
		have.CgroupID = seen.CgroupID
	}
}

func (o *owner) writable() *OwnerInfo {
	if o.shared {
		clone := *o.info
		o.info, o.shared = &clone, false
	}
	return o.info
}

// setProcess books what was found out about an owner. Words that are not given
// keep their value.
func (l *Ledger) setProcess(p *event.Process) {
	if p == nil || p.Owner.Kind == event.OwnerUnknown {
		return
	}
	i, ok := l.owners.byID[p.Owner.ID()]
	if !ok {
		if p.Exited {
			return // it held nothing that anybody saw
		}
		if !l.roomForOwner() {
			l.counters.OwnersFolded++
			return
		}
		i = l.addOwner(infoOf(&p.Owner))
	}
	o := l.owners.at(i)
	o.used = l.now
	info := o.writable()
	info.Exited = info.Exited || p.Exited
	setWord(&info.Exe, p.Exe)
	setWord(&info.Cgroup, p.Cgroup)
	setWord(&info.Unit, p.Unit)
	setWord(&info.ContainerID, p.ContainerID)
	setWord(&info.Container, p.Container)
	setWord(&info.PodUID, p.PodUID)
	setWord(&info.Pod, p.Pod)
	setWord(&info.PodNamespace, p.PodNamespace)
}

func setWord(dst *string, word string) {
	if word != "" {
		*dst = word
	}
}
