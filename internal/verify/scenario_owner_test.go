package verify_test

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// owned checks that an actor has the lease, seen in the act.
func (r *room) owned(el *event.Lease, by *tracertest.Actor, comm string) {
	r.Helper()
	what := fmt.Sprintf("owner of %v", el.Local)
	want(r, what, int(el.Owner.PID), by.PID)
	want(r, what, el.Owner.Comm.String(), comm)
	want(r, what, el.Owner.Confidence, event.ConfidenceExact)
}

// Scenario 10: the allocator has its ports until they are back, whoever has the
// socket, and whatever program its process became.
func TestLedgerKeepsTheAllocator(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	giver, taker := r.actor("giver"), r.actor("taker")
	passed := r.connect(giver, to)
	received := passed.PassTo(taker)
	giver.Exec("changed")
	own := r.connect(giver, to).Local().Port()
	giver.Exit()
	r.settle()
	var before, after aggregate.PoolOwner
	r.wait(t, "the exit of both owners that the process was", func(*aggregate.Snapshot) bool {
		p := r.connects(to)
		if len(p.Owners) != 2 {
			return false
		}
		before, after = p.Owners[0], p.Owners[1]
		return before.Owner.Exited && after.Owner.Exited
	})
	if before.Owner.ID.Exec > after.Owner.ID.Exec {
		before, after = after, before
	}
	want(r, "giver", before, aggregate.PoolOwner{Owner: before.Owner, Ports: 1, Allocations: 1})
	want(r, "its name", before.Owner.Comm.String(), "giver")
	want(r, "its name since", after.Owner.Comm.String(), "changed")
	want(r, "what it left, in FIN_WAIT2", after, aggregate.PoolOwner{Owner: after.Owner, Ports: 1, TimeWait: 1, Allocations: 1})
	port := received.Local().Port()
	el, left := r.on(port), r.on(own)
	r.owned(&el, giver, "giver")
	r.owned(&left, giver, "changed")
	reset(received)
	r.settle()
	want(r, "closed by the taker", countsOf(r.connects(to)), counts{capacity: 100, inUse: 1, timeWait: 1, headroom: 99})
}

// Scenario 10: a process id that is used again is another owner.
func TestReusedPidHasItsOwnPorts(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	first := r.actor("first")
	pid := first.PID
	r.connect(first, to)
	first.Exit()
	second := tracertest.StartActorAs(t, r.ns, "second", pid)
	r.connect(second, to)
	r.connect(second, to)
	r.settle()
	p := r.connects(to)
	want(r, "owners", len(p.Owners), 2)
	for i, name := range []string{"second", "first"} {
		want(r, "name", p.Owners[i].Owner.Comm.String(), name)
		want(r, "pid", int(p.Owners[i].Owner.ID.PID), pid)
		want(r, "ports", p.Owners[i].Ports, 2-i)
	}
}

// Scenario 11: each family has its pools, and a mapped address is IPv4.
func TestPoolsOfFamilies(t *testing.T) {
	r := setScene(t)
	server, client := r.actor("server"), r.actor("client")
	dual := server.Socket(tracertest.TCP6)
	dual.Set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	want(r, "bind", dual.Bind("[::]:30007"), 0)
	want(r, "listen", dual.Listen(16), 0)
	want(r, "mapped", client.Socket(tracertest.TCP6).Connect(netip.MustParseAddrPort("[::ffff:127.0.0.1]:30007")), 0)
	six := netip.MustParseAddrPort("[::1]:30007")
	want(r, "IPv6", client.Socket(tracertest.TCP6).Connect(six), 0)
	r.connect(client, netip.MustParseAddrPort("127.0.0.1:30007"))
	r.settle()
	s := r.ledger.Snapshot(0)
	four := r.connects(netip.MustParseAddrPort("127.0.0.1:30007"))
	want(r, "family", four.Family, event.IPv4)
	want(r, "IPv4, mapped and plain", countsOf(four), counts{capacity: 100, inUse: 2, headroom: 98})
	other := r.pool(s, aggregate.RequestConnect, six.Addr(), six)
	want(r, "family", other.Family, event.IPv6)
	want(r, "IPv6", countsOf(other), counts{capacity: 100, inUse: 1, headroom: 99})
	held := map[event.Family]int{}
	for _, h := range s.Holdings {
		if int(h.Owner.ID.PID) == client.PID {
			held[h.Family] += h.Ports()
		}
	}
	want(r, "IPv4 leases", held[event.IPv4], 2)
	want(r, "IPv6 leases", held[event.IPv6], 1)
	want(r, "listener's family", r.on(30007).Family, event.IPv6)
}

// Scenario 12: what is older than the start is there once, live sockets with an
// owner, a TIME_WAIT without one; and the picture says for how long.
func TestPictureOfWhatWasThereBefore(t *testing.T) {
	b := newLab(t, 1)
	r := b.room(t)
	r.ns.SetRange(40000, 40099)
	to := r.server(r.actor("server"), "127.0.0.1:30000", true)
	old := r.actor("old")
	live := r.connect(old, to)
	n, _ := old.ExhaustConnect(to, 3, true)
	want(r, "connections closed", n, 3)
	// An odd port, which connect() has not come to.
	want(r, "bind", old.Socket(tracertest.TCP4).Bind("127.0.0.2:40099"), 0)
	r.quiesce()
	b.open(t)
	r.settle()
	s := r.ledger.Snapshot(0)
	want(r, "leases, listener and sentinel included", s.Leases, 1+1+3+1+1)
	want(r, "leases without an owner", s.Unattributed, 3)
	in, known := s.AttributionCompleteIn()
	want(r, "an end of that is known", known, true)
	want(r, "within 60 s and a slot", in.Seconds() > 30 && in.Seconds() < 66, true)
	p := r.connects(to)
	want(r, "pool", countsOf(p), counts{capacity: 99, poisoned: 1, inUse: 4, timeWait: 3, headroom: 95})
	want(r, "most ports", p.Owners[0].Owner.ID.Kind, event.OwnerUnknown)
	part := r.by(p, old)
	want(r, "what the process is known to have", part, aggregate.PoolOwner{Owner: part.Owner, Ports: 1})
	want(r, "confidence", part.Owner.Confidence, event.ConfidenceSnapshot)

	live.CloseAcked() // it keeps its owner, and is not counted twice
	r.settle()
	p = r.connects(to)
	want(r, "pool, closed", countsOf(p), counts{capacity: 99, poisoned: 1, inUse: 4, timeWait: 4, headroom: 95})
	want(r, "its TIME_WAIT", r.by(p, old).TimeWait, 1)
}

// Scenario 12: at the moment that the picture names, under continuing load, every
// TIME_WAIT has an owner. (Mini-sockets in FIN_WAIT2, whose time can be set, stand
// for those that wait a minute.)
func TestFirstMinuteEndsWhenItIsSaidTo(t *testing.T) {
	b := newLab(t, 1)
	r := b.room(t)
	r.ns.Sysctl("net.ipv4.tcp_fin_timeout", "8")
	mute := r.server(r.actor("mute"), "127.0.0.1:30000", false)
	serving := r.server(r.actor("server"), "127.0.0.1:30001", true)
	old, load := r.actor("old"), r.actor("load")
	n, _ := old.ExhaustConnect(mute, 50, true)
	want(r, "connections closed", n, 50)
	old.Exit()
	r.quiesce()
	b.open(t)
	load.Churn(serving, 1)
	s := r.ledger.Snapshot(0)
	want(r, "TIME_WAITs without an owner", s.UnattributedWaits, 50)
	in, known := s.AttributionCompleteIn()
	want(r, "an end of that is known", known, true)
	if in <= 0 || in > 11*time.Second {
		t.Fatalf("complete in %v, want 8 s and a step of the wheel at most", in)
	}
	said := s.At + event.Time(in)
	b.until(t, "that moment", func(ev *event.Event) bool { return ev.Kind == event.KindTick && ev.Time >= said })
	s = r.ledger.Snapshot(0)
	want(r, "TIME_WAITs without an owner at that moment", s.UnattributedWaits, 0)
	want(r, "something waits, and is known", r.by(r.connects(serving), load).TimeWait > 0, true)
	if _, err := load.Calm(); err != nil {
		t.Error(err)
	}
}

// Scenario 13: one tuple in two namespaces is two leases, in two pools.
func TestNamespacesShareNothing(t *testing.T) {
	b := openLab(t, 2)
	rooms := [...]*room{b.room(t), b.room(t)}
	for i, r := range rooms {
		r.ns.SetRange(40000, 40099)
		to := r.server(r.actor("twin"), "127.0.0.1:30000", false)
		a := r.actor("client")
		c := a.Socket(tracertest.TCP4)
		want(r, "bind", c.Bind("127.0.0.1:40011"), 0)
		want(r, "connect", c.Connect(to), 0)
		n, _ := a.ExhaustConnect(to, 10*(i+1), false)
		want(r, "connections", n, 10*(i+1))
	}
	for i, r := range rooms {
		r.settle()
		p := r.connects(netip.MustParseAddrPort("127.0.0.1:30000"))
		want(r, "pool", countsOf(p), counts{capacity: 99, poisoned: 1, inUse: 10 * (i + 1), headroom: 99 - 10*(i+1)})
	}
	one, two := rooms[0].on(40011), rooms[1].on(40011)
	if one.ID == two.ID || one.Local != two.Local || one.Remote != two.Remote {
		t.Errorf("leases %+v and %+v, want two of one tuple", one, two)
	}
}

// Scenario 19: the process owns what its threads take, under its own name.
func TestThreadsTakeForTheirProcess(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	a := r.actor("leader")
	r.connect(a, to)
	want(r, "connect", a.Socket(tracertest.TCP4).ConnectOnThread("worker", to), 0)
	r.settle()
	p := r.connects(to)
	want(r, "owners", len(p.Owners), 1)
	want(r, "ports", r.by(p, a).Ports, 2)
	want(r, "name", p.Owners[0].Owner.Comm.String(), "leader")
}

// Scenario 21: each lease keeps the cgroup in which its owner was when it took
// the port; the owner is shown in the one where it is.
func TestLeaseKeepsItsCgroup(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	a := r.actor("mover")
	var ids [2]uint64
	var ports [2]uint16
	for i := range ids {
		group := tracertest.NewCgroup(t)
		group.Add(a)
		ids[i] = group.ID
		ports[i] = r.connect(a, to).Local().Port()
	}
	r.settle()
	for i, port := range ports {
		want(r, "cgroup of a lease", r.on(port).Owner.CgroupID, ids[i])
	}
	want(r, "cgroup of the owner", r.by(r.connects(to), a).Owner.CgroupID, ids[1])
}

// Scenario 22: a namespace that goes takes its leases with it, and when a walk
// has missed it, its pools.
func TestNothingIsLeftOfANamespace(t *testing.T) {
	b := openLab(t, 2)
	doomed, left := b.room(t), b.room(t)
	leaver := doomed.actor("leaver")
	l := leaver.Socket(tracertest.TCP4)
	want(doomed, "bind", l.Bind("127.0.0.1:30000"), 0)
	want(doomed, "listen", l.Listen(8), 0)
	to := l.Local()
	n, _ := leaver.ExhaustConnect(to, 5, true)
	want(doomed, "connections closed", n, 5)
	for range n { // else their end would reset the TIME_WAITs
		peer := l.Accept()
		peer.WaitEOF()
		peer.Close()
	}
	doomed.settle()
	want(doomed, "TIME_WAITs", doomed.connects(to).TimeWait, 5)
	leases := map[event.LeaseID]bool{}
	for _, el := range doomed.leases(func(el *event.Lease) bool { return el.State == event.StateTimeWait }) {
		leases[el.ID] = true
	}
	leaver.Exit()
	doomed.sentinel.Exit()
	doomed.ns.Release()
	b.until(t, "the end of its leases", func(ev *event.Event) bool {
		if ev.Kind == event.KindRelease {
			delete(leases, ev.Lease.ID)
		}
		return len(leases) == 0
	})
	var s *aggregate.Snapshot
	there := func(ns aggregate.Namespace) bool { return ns.NetNS == doomed.ns.Inode() }
	reused := false
	b.audited(t, func() bool {
		s = b.ledger.Snapshot(0)
		// Somebody else's new namespace may get the inode.
		reused = len(doomed.leases(func(*event.Lease) bool { return true })) > 0
		return reused || !slices.ContainsFunc(s.Namespaces, there)
	})
	if reused {
		t.Log("the inode of the namespace is another's now: its pools were not looked for")
		return
	}
	want(left, "namespace in the picture", slices.ContainsFunc(s.Namespaces, there), false)
	for i := range s.Pools {
		want(left, "namespace of a pool", s.Pools[i].NetNS == doomed.ns.Inode(), false)
	}
}

// Refusals of one process add up only if they are alike: one from the range of a
// socket of its own, one from the namespace's, and one after an exec are three.
func TestRefusalsAreToldApart(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	n, _ := r.actor("holder").ExhaustConnect(to, 1000, false)
	want(r, "connections", n, 100)
	victim := r.actor("victim")
	refuse := func(low, high int) {
		t.Helper()
		c := victim.Socket(tracertest.TCP4)
		if high != 0 {
			c.Set(unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, high<<16|low)
		}
		want(r, "connect", c.Connect(to), syscall.EADDRNOTAVAIL)
		r.settle()
	}
	refuse(0, 0)
	refuse(40010, 40019)
	victim.Exec("changed")
	refuse(0, 0)

	failures := slices.DeleteFunc(r.failures(), func(f aggregate.Failure) bool { return int(f.Owner.ID.PID) != victim.PID })
	want(r, "kinds of refusals", len(failures), 3)
	for i, f := range []struct {
		rng  event.PortRange
		name string
	}{{name: "changed"}, {event.PortRange{Low: 40010, High: 40019}, "victim"}, {name: "victim"}} {
		want(r, "range of its own", failures[i].Range, f.rng)
		want(r, "who", failures[i].Owner.Comm.String(), f.name)
		want(r, "count", failures[i].Count, 1)
	}
}
