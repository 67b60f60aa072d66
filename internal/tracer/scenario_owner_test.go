package tracer

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// Scenario 10: the allocator stays the owner, whatever becomes of it.
func TestAllocatorStaysTheOwner(t *testing.T) {
	s := setStage(t)
	_, l, addr := s.server("127.0.0.1:30000")
	giver, taker := s.actor("giver"), s.actor("taker")
	passed := giver.Socket(tracertest.TCP4)
	want(s, "connect", passed.Connect(addr), 0)
	passedPort := passed.Local().Port()
	l.Accept()
	received := passed.PassTo(taker)
	received.Linger0()
	received.Close()

	s.ns.SetRange(41000, 41099) // not the port that was given back
	before := giver.Socket(tracertest.TCP4)
	want(s, "connect", before.Connect(addr), 0)
	beforePort := before.Local().Port()
	giver.Exec("changed")
	after := giver.Socket(tracertest.TCP4)
	want(s, "connect", after.Connect(addr), 0)
	afterPort := after.Local().Port()
	giver.Exit()
	s.settle()

	want(s, "passed", path(s.of(passedPort)), "allocate:ESTABLISHED release:closed")
	wantOwner(s, &s.of(passedPort)[0].Lease.Owner, giver, "giver")
	one, two := s.of(beforePort)[0].Lease.Owner, s.of(afterPort)[0].Lease.Owner
	wantOwner(s, &one, giver, "giver")
	wantOwner(s, &two, giver, "changed")
	if one.ID() == two.ID() {
		t.Error("a process that execs is a new owner")
	}
	gone := map[event.OwnerID]bool{}
	note := func(ev *event.Event) bool {
		if ev.Kind == event.KindOwner && ev.Process.Exited {
			gone[ev.Process.Owner.ID()] = true
		}
		return gone[one.ID()] && gone[two.ID()]
	}
	for i := range s.events {
		note(&s.events[i])
	}
	if !gone[one.ID()] || !gone[two.ID()] {
		s.until("the exit of both owners that the process was", note)
	}
}

// Scenario 10: a pid that is used again is another owner.
func TestReusedPidIsAnotherOwner(t *testing.T) {
	s := setStage(t)
	_, _, addr := s.server("127.0.0.1:30000")
	first := s.actor("first")
	pid := first.PID
	c := first.Socket(tracertest.TCP4)
	want(s, "connect", c.Connect(addr), 0)
	firstPort := c.Local().Port()
	first.Exit()
	second := tracertest.StartActorAs(t, s.ns, "second", pid)
	want(s, "pid", second.PID, pid)
	c = second.Socket(tracertest.TCP4)
	want(s, "connect", c.Connect(addr), 0)
	secondPort := c.Local().Port()
	s.settle()
	one, two := s.of(firstPort)[0].Lease.Owner, s.of(secondPort)[0].Lease.Owner
	want(s, "pid of both", one.PID, two.PID)
	if one.ID() == two.ID() {
		t.Errorf("one owner for two processes: %+v", one)
	}
}

// Scenario 12: what exists before the start.
func TestSocketsFromBeforeTheStart(t *testing.T) {
	s := newStage(t)
	_, l, addr := s.server("127.0.0.1:30000")
	old := s.actor("old")
	live, waiting := old.Socket(tracertest.TCP4), old.Socket(tracertest.TCP4)
	live.Connect(addr)
	l.Accept()
	waiting.Connect(addr)
	peer := l.Accept()
	livePort, waitingPort := live.Local().Port(), waiting.Local().Port()
	waiting.Close()
	peer.WaitEOF()
	peer.Close()
	bound, udp := old.Socket(tracertest.TCP4), old.Socket(tracertest.UDP4)
	bound.Bind("127.0.0.1:30010")
	s.ns.SetRange(41000, 41099) // no port is both TCP's and UDP's
	udp.SendTo(somewhere)
	udpPort := udp.Local().Port()
	s.open()
	udp.SendTo(somewhere) // allocates nothing
	s.settle()

	want(s, "live", path(s.of(livePort)), "holds:ESTABLISHED")
	want(s, "waiting", path(s.of(waitingPort)), "holds:TIME_WAIT")
	want(s, "bound", path(s.of(30010)), "holds:BOUND")
	want(s, "UDP", path(s.of(udpPort)), "holds:UNCONNECTED")
	for _, port := range []uint16{livePort, 30010, udpPort} {
		owner := s.of(port)[0].Lease.Owner
		want(s, "pid", int(owner.PID), old.PID)
		want(s, "confidence", owner.Confidence, event.ConfidenceSnapshot)
	}
	want(s, "owner of the TIME_WAIT", s.of(waitingPort)[0].Lease.Owner.Kind, event.OwnerUnknown)
	left := s.of(waitingPort)[0].Lease.Expires - s.of(waitingPort)[0].Time
	if left < 50e9 || left > 66e9 {
		t.Errorf("the TIME_WAIT ends in %d ns", left)
	}

	live.CloseAcked() // a socket from before that becomes a TIME_WAIT keeps its owner
	s.settle()
	want(s, "live, closed", path(s.of(livePort)), "holds:ESTABLISHED state:FIN_WAIT1 state:FIN_WAIT2 time_wait:TIME_WAIT")
	want(s, "its owner", int(s.of(livePort)[3].Lease.Owner.PID), old.PID)
}

// Scenario 13: the same 4-tuple in two namespaces.
func TestSameTupleTwice(t *testing.T) {
	s := newStage(t)
	other := tracertest.PrivateNetNS(t)
	s.open(func(o *Options) { o.NetNS = append(o.NetNS, other.Inode()) })
	for _, ns := range []*tracertest.NS{s.ns, other} {
		a := tracertest.StartActor(t, ns, "twin")
		l, c := a.Socket(tracertest.TCP4), a.Socket(tracertest.TCP4)
		l.Bind("127.0.0.1:30000")
		l.Listen(1)
		c.Bind("127.0.0.1:30011")
		want(s, "connect", c.Connect(netip.MustParseAddrPort("127.0.0.1:30000")), 0)
	}
	s.settle()
	seen := map[uint32]event.LeaseID{}
	for _, ev := range s.of(30011) {
		if ev.Kind == event.KindAllocate {
			seen[ev.Lease.NetNS] = ev.Lease.ID
		}
	}
	want(s, "leases of the tuple", len(seen), 2)
	if seen[s.ns.Inode()] == seen[other.Inode()] {
		t.Error("one lease in two namespaces")
	}
}

// Scenario 21: the cgroup is that of the moment of the allocation.
func TestCgroupOfTheMoment(t *testing.T) {
	s := setStage(t)
	_, _, addr := s.server("127.0.0.1:30000")
	a := s.actor("mover")
	for i := range 2 {
		group := tracertest.NewCgroup(t)
		group.Add(a)
		c := a.Socket(tracertest.TCP4)
		want(s, "connect", c.Connect(addr), 0)
		port := c.Local().Port()
		s.settle()
		want(s, "cgroup "+strconv.Itoa(i), s.of(port)[0].Lease.Owner.CgroupID, group.ID)
	}
}

// Scenario 22: a namespace that goes takes its leases with it, and we do not
// hold it.
func TestNamespaceThatGoes(t *testing.T) {
	s := newStage(t)
	doomed := tracertest.PrivateNetNS(t)
	s.open(func(o *Options) { o.NetNS = append(o.NetNS, doomed.Inode()) })
	a := tracertest.StartActor(t, doomed, "leaver")
	l := a.Socket(tracertest.TCP4)
	l.Bind("127.0.0.1:30000")
	l.Listen(8)
	a.ExhaustConnect(l.Local(), 5, true)
	for range 5 { // else their end would reset the TIME_WAITs
		peer := l.Accept()
		peer.WaitEOF()
		peer.Close()
	}
	s.settle()
	waits := 0
	for _, ev := range s.kinds(event.KindTimeWait) {
		if ev.Lease.NetNS == doomed.Inode() && !isRenewal(ev) {
			waits++
		}
	}
	want(s, "TIME_WAITs", waits, 5)
	a.Exit()
	path := doomed.Path()
	doomed.Release()
	ended := 0
	s.until("the end of its leases", func(ev *event.Event) bool {
		if ev.Kind == event.KindRelease && ev.From == event.StateTimeWait && ev.Cause == event.CauseNetNS {
			ended++
		}
		return ended == waits
	})
	if err := netns.Do(path, doomed.Inode(), func() error { return nil }); err == nil {
		t.Error("the namespace is still there")
	}
}
