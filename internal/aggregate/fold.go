package aggregate

import (
	"cmp"
	"slices"

	"github.com/portwatch/portwatch/internal/event"
)

// Selection chooses what a view shows. A nil function keeps all.
type Selection struct {
	Holding   func(*Holding) bool
	Namespace func(*Namespace) bool
	Failure   func(*Failure) bool
	Pool      func(*Pool) bool
}

// Select is the snapshot with only the selected rows. Owners are summed anew
// from the holdings that remain; the numbers of a namespace and of a pool stay
// those of all owners, because a part of a pool would lie.
func (s *Snapshot) Select(sel Selection) *Snapshot {
	shown := *s
	if sel.Holding != nil {
		shown.Holdings = filter(s.Holdings, sel.Holding)
		shown.Owners = foldOwners(shown.Holdings)
	}
	if sel.Namespace != nil {
		shown.Namespaces = filter(s.Namespaces, sel.Namespace)
	}
	if sel.Failure != nil {
		shown.refuse(filter(s.Failures, sel.Failure))
	}
	if sel.Pool != nil {
		shown.Pools = filter(s.Pools, sel.Pool)
	}
	return &shown
}

// refuse makes the snapshot speak of some of its failures only.
func (s *Snapshot) refuse(some []Failure) {
	if len(some) == len(s.Failures) {
		return
	}
	s.Failures, s.Refusals = some, ReasonCounts{}
	for i := range some {
		s.Refusals[reasonIndex(some[i].Reason)] += some[i].Count
	}
}

func filter[T any](rows []T, keep func(*T) bool) []T {
	kept := make([]T, 0, len(rows))
	for i := range rows {
		if keep(&rows[i]) {
			kept = append(kept, rows[i])
		}
	}
	return kept
}

// foldOwners sums holdings, which are ordered by owner and then namespace.
func foldOwners(rows []Holding) []Owner {
	var owners []Owner
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Owner.ID == rows[0].Owner.ID {
			n++
		}
		owners = append(owners, foldOwner(rows[:n]))
		rows = rows[n:]
	}
	slices.SortFunc(owners, compareOwnerRows)
	return owners
}

func foldOwner(rows []Holding) Owner {
	o := Owner{Info: rows[0].Owner}
	here, most := 0, -1
	for i := range rows {
		if i == 0 || rows[i].NetNS != rows[i-1].NetNS {
			here = 0
			o.NetNSCount++
		}
		o.add(&rows[i].Usage)
		here += rows[i].Ports()
		if here > most {
			most, o.NetNS, o.NetNSName = here, rows[i].NetNS, rows[i].NetNSName
		}
	}
	return o
}

func compareOwnerRows(a, b Owner) int {
	return cmp.Or(
		cmp.Compare(b.Ports(), a.Ports()),
		cmp.Compare(b.TimeWait(), a.TimeWait()),
		cmp.Compare(b.RecentFailures, a.RecentFailures),
		cmp.Compare(b.Failures.Total(), a.Failures.Total()),
		compareOwners(a.Info.ID, b.Info.ID))
}

func compareOwners(a, b event.OwnerID) int {
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.PID, b.PID), cmp.Compare(a.StartTime, b.StartTime),
		cmp.Compare(a.Exec, b.Exec), cmp.Compare(a.Cgroup, b.Cgroup))
}

func compareNamespaces(a, b Namespace) int {
	return cmp.Or(
		cmp.Compare(b.TCP.RecentFailures+b.UDP.RecentFailures, a.TCP.RecentFailures+a.UDP.RecentFailures),
		cmp.Compare(b.TCP.DistinctPorts+b.UDP.DistinctPorts, a.TCP.DistinctPorts+a.UDP.DistinctPorts),
		cmp.Compare(a.NetNS, b.NetNS))
}
