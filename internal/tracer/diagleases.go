package tracer

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
)

// diagLeases keeps the identity of leases between dumps.
type diagLeases struct {
	rows   map[diagKey]*diagRow
	most   int
	number uint64 // of the dump
	// refused counts the sockets for which the last dump found no room, told
	// the most that was reported.
	refused, told uint64
	ended         []event.Lease // whose sockets took another port
}

// diagKey is a socket, or the mini-socket that bears the cookie of one: both
// may be there at once.
type diagKey struct {
	cookie   uint64
	timeWait bool
}

// diagRow is a lease as the last dump that met it showed it.
type diagRow struct {
	lease  event.Lease
	inode  uint32 // of the socket's file, 0 if it has none
	cgroup uint64 // in which the socket was made
	seen   uint64 // number of that dump
	missed int    // dumps since then that went where it must be
	fresh  bool   // it changed since it was told
	asked  bool   // its owner was looked for
}

// expiresSlack is how far the end of a TIME_WAIT may move between two dumps
// without being news: it is told in milliseconds left.
const expiresSlack = event.Time(time.Second)

func newDiagLeases(most int) *diagLeases {
	return &diagLeases{rows: map[diagKey]*diagRow{}, most: most}
}

// begin opens a dump.
func (t *diagLeases) begin() {
	t.number++
	t.refused = 0
}

// refuse notes that something had no room.
func (t *diagLeases) refuse() { t.refused++ }

// overflow is how much more had no room in this dump than ever was reported,
// and at least 1 if anything had none.
func (t *diagLeases) overflow() uint64 {
	if t.refused == 0 {
		t.told = 0
		return 0
	}
	more := max(t.refused, t.told+1) - t.told
	t.told = max(t.told, t.refused)
	return more
}

// meet books a socket that the dump listed.
func (t *diagLeases) meet(s *sockdiag.Socket, inode uint32) {
	if s.Local.Port() == 0 {
		return
	}
	now := bootNow()
	row := t.row(s, inode, now)
	if row == nil {
		return
	}
	was := row.lease
	l := &row.lease
	l.Device, l.Family, l.State, l.Substate = s.Device, s.Family, s.State, s.Substate
	l.Local, l.Remote = s.Local, s.Remote
	expires := event.Time(0)
	if s.State == event.StateTimeWait {
		expires = now + event.Time(s.Expires)
	}
	if expires == 0 || expires > l.Expires+expiresSlack || l.Expires > expires+expiresSlack {
		l.Expires = expires
	}
	if s.Inode != 0 {
		row.inode, row.cgroup = s.Inode, s.CgroupID
	}
	row.seen, row.missed = t.number, 0
	row.fresh = row.fresh || *l != was
}

// row finds the socket's row, or makes one if there is room. Another port is
// another lease. The first sight of a mini-socket goes on with the lease of
// the socket that it inherits from.
func (t *diagLeases) row(s *sockdiag.Socket, inode uint32, now event.Time) *diagRow {
	key := diagKey{s.Cookie, s.State == event.StateTimeWait}
	row := t.rows[key]
	if live := t.rows[diagKey{cookie: s.Cookie}]; row == nil && key.timeWait && live != nil {
		delete(t.rows, diagKey{cookie: s.Cookie})
		row, t.rows[key] = live, live
	}
	if row != nil && row.lease.Local.Port() == s.Local.Port() && row.lease.NetNS == inode {
		return row
	}
	if row == nil && len(t.rows) >= t.most {
		t.refuse()
		return nil
	}
	if row != nil {
		t.ended = append(t.ended, row.lease)
	}
	made := &diagRow{fresh: true, cgroup: s.CgroupID, lease: event.Lease{
		ID: event.LeaseID{Cookie: s.Cookie, Born: now}, NetNS: inode, Protocol: s.Protocol,
	}}
	t.rows[key] = made
	return made
}

// settle tells what the dump changed, or everything. A row that two dumps
// running missed, where they went, is gone: one dump may miss a socket that
// moves from one table to another.
func (t *diagLeases) settle(walked map[uint32]bool, whole bool, tell func(event.Event)) {
	now := bootNow()
	for _, lease := range t.ended {
		tell(goneLease(lease, now))
	}
	t.ended = nil
	for key, row := range t.rows {
		if row.seen != t.number && walked[row.lease.NetNS] {
			row.missed++
		}
		if row.missed >= 2 {
			delete(t.rows, key)
			tell(goneLease(row.lease, now))
			continue
		}
		if whole || row.fresh {
			row.fresh = false
			tell(event.Event{Kind: event.KindCorrection, Correction: event.CorrectionHolds, Time: now, Lease: row.lease})
		}
	}
}

// goneLease says that a lease has ended; how and when, two dumps do not tell.
func goneLease(lease event.Lease, now event.Time) event.Event {
	return event.Event{
		Kind: event.KindCorrection, Correction: event.CorrectionGone, Time: now, Lease: lease, Cause: event.CauseLost,
	}
}

// drop forgets the leases of a namespace that is gone.
func (t *diagLeases) drop(inode uint32) {
	for key, row := range t.rows {
		if row.lease.NetNS == inode {
			delete(t.rows, key)
		}
	}
}
