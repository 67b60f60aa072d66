package verify_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// The scenarios at the level of the ledger: what a Snapshot says of them. What
// the stream says is proven in internal/tracer.

// setScene opens a lab with one room that has a range of 100 ports.
func setScene(t *testing.T, change ...func(*tracer.Options)) *room {
	t.Helper()
	r := openLab(t, 1, change...).room(t)
	r.ns.SetRange(40000, 40099)
	return r
}

// want compares, and tells what the ledger says if it differs. The rest of the
// test relies on what it says.
func want[T comparable](r *room, what string, got, want T) {
	r.Helper()
	if got != want {
		r.Fatalf("%s: got %v, want %v\n%s", what, got, want, r.story())
	}
}

// story is what the ledger says of the room.
func (r *room) story() string {
	s := r.ledger.Snapshot(0)
	var b strings.Builder
	fmt.Fprintf(&b, "complete %v, losses %+v\n", s.Complete, s.Losses)
	for i := range s.Pools {
		if p := &s.Pools[i]; p.NetNS == r.ns.Inode() {
			fmt.Fprintln(&b, describe(p))
		}
	}
	for _, f := range r.failures() {
		fmt.Fprintf(&b, "%v %v→%v: %v, %v, %d by %v[%d]\n", f.Operation, f.Local, f.Remote, f.Errno, f.Reason, f.Count, f.Owner.Comm, f.Owner.ID.PID)
	}
	for _, el := range r.leases(func(*event.Lease) bool { return true }) {
		fmt.Fprintf(&b, "%v: %v→%v %v from %v by %v[%d]\n", el.ID, el.Local, el.Remote, el.State, el.Origin, el.Owner.Comm, el.Owner.PID)
	}
	return b.String()
}

// counts are the figures of a pool.
type counts struct{ capacity, poisoned, inUse, timeWait, reusable, headroom int }

func countsOf(p *aggregate.Pool) counts {
	return counts{p.Capacity, p.Poisoned, p.InUse, p.TimeWait, p.Reusable, p.Headroom()}
}

// connects is the pool of connect() from 127.0.0.1, as it is now.
func (r *room) connects(to netip.AddrPort) *aggregate.Pool {
	r.Helper()
	return r.pool(r.ledger.Snapshot(0), aggregate.RequestConnect, localhost, to)
}

// binds is the pool of bind(0) to an address, as it is now.
func (r *room) binds(local string) *aggregate.Pool {
	r.Helper()
	return r.pool(r.ledger.Snapshot(0), aggregate.RequestBind0, netip.MustParseAddr(local), netip.AddrPort{})
}

// failures are the refusals in the room, newest first, without the sentinel's.
func (r *room) failures() []aggregate.Failure {
	return slices.DeleteFunc(slices.Clone(r.ledger.Snapshot(0).Failures), func(f aggregate.Failure) bool {
		return f.NetNS != r.ns.Inode() || f.Owner.Comm.String() == "sentinel"
	})
}

// refused checks the newest refusal.
func (r *room) refused(by *tracertest.Actor, op event.Operation, local string, errno event.Errno, reason event.Reason) {
	r.Helper()
	all := r.failures()
	if len(all) == 0 {
		r.Fatalf("nothing was refused\n%s", r.story())
	}
	want(r, "who was refused", int(all[0].Owner.ID.PID), by.PID)
	want(r, "operation", all[0].Operation, op)
	want(r, "asked for", all[0].Local.String(), local)
	want(r, "errno", all[0].Errno, errno)
	want(r, "reason", all[0].Reason, reason)
}

// leases are those of the room that are wanted, by birth.
func (r *room) leases(wanted func(*event.Lease) bool) []event.Lease {
	var found []event.Lease
	for el := range r.ledger.Leases {
		if el.NetNS == r.ns.Inode() && wanted(&el) {
			found = append(found, el)
		}
	}
	slices.SortFunc(found, func(a, b event.Lease) int { return int(a.ID.Born) - int(b.ID.Born) })
	return found
}

// on is the one lease that has the port.
func (r *room) on(port uint16) event.Lease {
	r.Helper()
	found := r.leases(func(el *event.Lease) bool { return el.Local.Port() == port })
	want(r, fmt.Sprintf("leases on port %d", port), len(found), 1)
	return found[0]
}

// by is how many ports of the pool an actor has.
func (r *room) by(p *aggregate.Pool, a *tracertest.Actor) aggregate.PoolOwner {
	r.Helper()
	for _, o := range p.Owners {
		if int(o.Owner.ID.PID) == a.PID {
			return o
		}
	}
	r.Fatalf("pid %d has no part in the pool\n%s", a.PID, r.story())
	return aggregate.PoolOwner{}
}

// accepted waits until the port's accepted sockets are counted so.
func (r *room) accepted(port uint16, live, waiting int) {
	r.Helper()
	r.wait(r.T, fmt.Sprintf("%d accepted sockets and %d that wait", live, waiting), func(*aggregate.Snapshot) bool {
		for a := range r.ledger.AcceptedPorts {
			if a.NetNS == r.ns.Inode() && a.Port == port && a.Live == live && a.TimeWait == waiting {
				return true
			}
		}
		return false
	})
}

// connect opens a connection that must succeed.
func (r *room) connect(a *tracertest.Actor, to netip.AddrPort) *tracertest.Socket {
	r.Helper()
	c := a.Socket(tracertest.TCP4)
	if errno := c.Connect(to); errno != 0 {
		r.Fatalf("connect to %v: %v\n%s", to, errno, r.story())
	}
	return c
}

// reset closes a connection and leaves nothing.
func reset(c *tracertest.Socket) {
	c.Linger0()
	c.Close()
}

// cannotKnow is [tracertest.CannotKnow] of the lab's mode.
func (r *room) cannotKnow(fact string) {
	r.Helper()
	tracertest.CannotKnow(r, r.tracer.Support().Unavailable, fact)
}

// skipped is how many runs of some programs, or of all, the kernel is known to
// have skipped.
func (r *room) skipped(programs ...string) uint64 {
	var count uint64
	for _, loss := range r.ledger.Snapshot(0).Losses {
		if loss.Cause == event.LostNested && (len(programs) == 0 || slices.Contains(programs, loss.What)) {
			count += loss.Count
		}
	}
	return count
}
