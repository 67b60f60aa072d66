package verify_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
	"github.com/portwatch/portwatch/internal/verify"
)

const space = 7

func lease(cookie uint64, s event.State) event.Lease {
	el := event.Lease{
		ID: event.LeaseID{Cookie: cookie, Born: 1}, NetNS: space, Protocol: event.TCP, Family: event.IPv4, State: s,
		Origin: event.OriginConnect, Local: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(40000+cookie)),
		Remote: netip.MustParseAddrPort("10.0.0.5:443"),
	}
	if s == event.StateTimeWait {
		el.Substate = event.SubstateFinWait2
	}
	return el
}

// listed is the socket of a lease as the kernel lists it.
func listed(el event.Lease) verify.Socket {
	return verify.Socket{NetNS: el.NetNS, Socket: sockdiag.Socket{
		Protocol: el.Protocol, Family: el.Family, State: el.State, Substate: el.Substate, Local: el.Local, Remote: el.Remote,
		Cookie: el.ID.Cookie,
	}}
}

func at(kind event.Kind, t event.Time, el event.Lease) event.Event {
	return event.Event{Kind: kind, Time: t * 1e9, Lease: el}
}

// trial plays events before the first and between the two pictures.
type trial struct {
	mode          event.Mode
	before        []event.Event
	first         []verify.Socket
	between       []event.Event
	second        []verify.Socket
	during        []event.Event // while the second was being listed
	boundUnlisted bool
}

func (tr *trial) run(t *testing.T) verify.Report {
	t.Helper()
	l := aggregate.New(aggregate.Options{})
	v := verify.New(l)
	apply := func(events ...event.Event) {
		for i := range events {
			v.Event(&events[i])
			l.Apply(&events[i])
		}
	}
	mode := tr.mode
	if mode == 0 {
		mode = event.ModeFull
	}
	apply(event.Event{Kind: event.KindStart, Time: 1, Start: &event.Start{Mode: mode}})
	apply(tr.before...)
	pass := func(began event.Time, sockets []verify.Socket, during ...event.Event) (verify.Report, bool) {
		if !v.Due(began) {
			t.Fatalf("no picture is due at %d", began)
		}
		v.Take(&verify.Picture{
			Began: began, Ended: began + 1e6, Sockets: sockets, Namespaces: map[uint32]bool{space: true}, BoundListed: !tr.boundUnlisted,
		})
		apply(during...)
		if v.Ready(began) || v.Due(began+5e9) || !v.Ready(began+1e6) {
			t.Error("ready before the picture's end, or not at it")
		}
		return v.Pass()
	}
	if _, done := pass(10e9, tr.first); done {
		t.Fatal("one pass is enough")
	}
	if v.Due(10e9 + 1e9 - 1) {
		t.Error("the second picture is due within a second")
	}
	apply(tr.between...)
	report, done := pass(11e9, tr.second, tr.during...)
	if !done {
		t.Fatal("two passes are not enough")
	}
	return report
}

func TestRule(t *testing.T) {
	established, closing := lease(1, event.StateEstablished), lease(1, event.StateCloseWait)
	waiting := lease(2, event.StateTimeWait)
	ended := waiting
	ended.Substate = event.SubstateTimeWait
	other := established
	other.Local = netip.MustParseAddrPort("10.0.0.1:41000")
	both := []event.Event{at(event.KindAllocate, 2, established), at(event.KindTimeWait, 3, waiting)}
	sockets := []verify.Socket{listed(established), listed(waiting)}
	elsewhere := lease(3, event.StateEstablished)
	elsewhere.NetNS = space + 1
	bound := lease(4, event.StateBound)
	bound.Remote, bound.Origin = netip.AddrPort{}, event.OriginBind
	tests := []struct {
		name  string
		trial trial
		want  verify.Report
	}{
		{"alike", trial{before: both, first: sockets, second: sockets}, verify.Report{Checked: 2}},
		{"a socket without a lease", trial{first: sockets[:1], second: sockets[:1]}, verify.Report{Checked: 1, Missing: 1}},
		{"a lease without a socket", trial{before: both, first: sockets[:1], second: sockets[:1]}, verify.Report{Checked: 2, Extra: 1}},
		{
			"another state",
			trial{before: both[:1], first: []verify.Socket{listed(closing)}, second: []verify.Socket{listed(closing)}},
			verify.Report{Checked: 1, StateDiffers: 1},
		},
		{
			"another port",
			trial{before: both[:1], first: []verify.Socket{listed(other)}, second: []verify.Socket{listed(other)}},
			verify.Report{Checked: 1, StateDiffers: 1},
		},
		{"only the first pass differs", trial{before: both, first: sockets[:1], second: sockets}, verify.Report{Checked: 2}},
		{"only the second pass differs", trial{before: both, first: sockets, second: sockets[:1]}, verify.Report{Checked: 2, InFlight: 1}},
		{
			"each pass in its own way",
			trial{before: both[:1], first: []verify.Socket{listed(closing)}, second: nil},
			verify.Report{Checked: 1, InFlight: 1},
		},
		{
			"both alike, with an event in between",
			trial{before: both, first: sockets[:1], second: sockets[:1], between: []event.Event{at(event.KindTimeWait, 10, waiting)}},
			verify.Report{Checked: 2, InFlight: 1},
		},
		{
			"an event of another socket excuses nothing",
			trial{before: both, first: sockets[:1], second: sockets[:1], between: []event.Event{at(event.KindState, 10, closing), at(event.KindState, 11, established)}},
			verify.Report{Checked: 2, Extra: 1},
		},
		{
			"the sub-state, where the mode knows it",
			trial{before: both, first: []verify.Socket{sockets[0], listed(ended)}, second: []verify.Socket{sockets[0], listed(ended)}},
			verify.Report{Checked: 2, StateDiffers: 1},
		},
		{
			"the sub-state, where it does not",
			trial{mode: event.ModeTracepoint, before: both, first: []verify.Socket{sockets[0], listed(ended)}, second: []verify.Socket{sockets[0], listed(ended)}},
			verify.Report{Checked: 2},
		},
		{
			"listed before it ended, compared after",
			trial{before: both, first: sockets, second: sockets, during: []event.Event{expiredMeanwhile(waiting), closedMeanwhile(established)}},
			verify.Report{Checked: 2},
		},
		{
			"listed before it became a TIME_WAIT, compared after",
			trial{before: both[:1], first: sockets[:1], second: sockets[:1], during: []event.Event{at(event.KindTimeWait, 11, lease(1, event.StateTimeWait))}},
			verify.Report{Checked: 1},
		},
		{
			"listed as two states that it went through",
			trial{
				before: both[:1], first: sockets[:1], second: []verify.Socket{listed(closing), listed(lease(1, event.StateTimeWait))},
				during: []event.Event{at(event.KindState, 11, closing), at(event.KindTimeWait, 11, lease(1, event.StateTimeWait))},
			},
			verify.Report{Checked: 2},
		},
		{
			"changed meanwhile, and listed as it never was",
			trial{before: both[:1], first: sockets[:1], second: []verify.Socket{listed(closing)}, during: []event.Event{closedMeanwhile(established)}},
			verify.Report{Checked: 1, InFlight: 1},
		},
		{
			"changed meanwhile, and not listed at all",
			trial{before: both[:1], first: sockets[:1], during: []event.Event{at(event.KindState, 11, closing)}},
			verify.Report{Checked: 1, InFlight: 1},
		},
		{
			"what it was before the list began",
			trial{before: both[:1], first: sockets[:1], between: []event.Event{at(event.KindState, 10, closing)}, second: sockets[:1]},
			verify.Report{Checked: 1, InFlight: 1},
		},
		{
			"listed while it was being made, told after",
			trial{second: []verify.Socket{listed(connecting())}, during: []event.Event{at(event.KindAllocate, 11, lease(1, event.StateEstablished))}},
			verify.Report{Checked: 1},
		},
		{
			"listed in a state in which it was never told",
			trial{second: sockets[:1], during: []event.Event{at(event.KindAllocate, 11, connecting())}},
			verify.Report{Checked: 1, InFlight: 1},
		},
		{"half-open requests are left out", trial{first: requests(), second: requests()}, verify.Report{}},
		{"what a listener accepted is left out", trial{before: listener(), first: served(), second: served()}, verify.Report{Checked: 1}},
		{
			"and what it left behind", trial{before: []event.Event{accepted(1)}, first: served()[1:], second: served()[1:]}, verify.Report{},
		},
		{
			"but not what nobody accepted",
			trial{before: []event.Event{accepted(0)}, first: served()[1:], second: served()[1:]},
			verify.Report{Checked: 1, Missing: 1},
		},
		{
			"a namespace that was not listed is not compared",
			trial{before: []event.Event{at(event.KindAllocate, 2, elsewhere)}},
			verify.Report{},
		},
		{
			"two mini-sockets that one socket left",
			trial{before: both[1:2], first: twins(waiting), second: twins(waiting)},
			verify.Report{Checked: 2, Missing: 1},
		},
		{"bound and nothing else", trial{before: []event.Event{at(event.KindAllocate, 2, bound)}}, verify.Report{Checked: 1, Extra: 1}},
		{
			"born while the sockets were listed",
			trial{between: []event.Event{at(event.KindAllocate, 11, newborn())}},
			verify.Report{},
		},
		{
			"bound and nothing else, on a kernel that does not list it",
			trial{before: []event.Event{at(event.KindAllocate, 2, bound)}, boundUnlisted: true},
			verify.Report{},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.trial.run(t)
			tt.want.Listed = len(tt.trial.second)
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(verify.Report{}, "Differences", "BoundCompared", "Unattributed")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if n := got.Missing + got.Extra + got.StateDiffers; len(got.Differences) != n || got.Differ() != (n > 0) {
				t.Errorf("differences = %+v, want %d", got.Differences, n)
			}
		})
	}
}

// closedMeanwhile and expiredMeanwhile are the ends of a live lease and of a TIME_WAIT, just after
// the second picture has begun.
func closedMeanwhile(el event.Lease) event.Event {
	ev := at(event.KindRelease, 11, el)
	ev.Lease.State, ev.From, ev.Cause = event.StateClose, el.State, event.CauseClosed
	return ev
}

func expiredMeanwhile(el event.Lease) event.Event {
	ev := at(event.KindRelease, 11, el)
	ev.From, ev.Cause = event.StateTimeWait, event.CauseExpired
	return ev
}

func connecting() event.Lease { return lease(1, event.StateSynSent) }

// newborn is a lease that is given its port when the second picture begins.
func newborn() event.Lease {
	el := lease(8, event.StateEstablished)
	el.ID.Born = 11e9
	return el
}

func twins(el event.Lease) []verify.Socket {
	other := el
	other.Remote = netip.MustParseAddrPort("10.0.0.6:443")
	return []verify.Socket{listed(el), listed(other)}
}

func requests() []verify.Socket { return []verify.Socket{listed(lease(9, event.StateSynRecv))} }

// listener is a lease that listens, and served what the kernel lists of it: the
// listener and a child that has no lease.
func listener() []event.Event {
	el := lease(5, event.StateListen)
	el.Remote, el.Origin = netip.AddrPort{}, event.OriginBind
	return []event.Event{at(event.KindAllocate, 2, el)}
}

func served() []verify.Socket {
	child := lease(6, event.StateEstablished)
	child.Local = lease(5, event.StateListen).Local
	return []verify.Socket{listed(listener()[0].Lease), listed(child)}
}

func accepted(n int) event.Event {
	return event.Event{Kind: event.KindAccepted, Time: 2e9, Accepted: &event.Accepted{
		NetNS: space, Port: lease(5, event.StateListen).Local.Port(), Live: n,
	}}
}

// One verifier may verify again: nothing of the first time is left.
func TestVerifyTwice(t *testing.T) {
	l := aggregate.New(aggregate.Options{})
	v := verify.New(l)
	for round := range event.Time(2) {
		for _, began := range []event.Time{10e9, 11e9} {
			began += round * 10e9
			v.Take(&verify.Picture{Began: began, Ended: began, Namespaces: map[uint32]bool{space: true}, Sockets: requests()})
			v.Pass()
		}
		if !v.Due(20e9) {
			t.Errorf("round %d: no picture is due after the report", round)
		}
	}
}

// What happens after a picture is not held against it, however late the tick.
func TestComparesAtTheFirstNews(t *testing.T) {
	l := aggregate.New(aggregate.Options{})
	v := verify.New(l)
	apply := func(events ...event.Event) {
		for i := range events {
			v.Event(&events[i])
			l.Apply(&events[i])
		}
	}
	held, late := lease(1, event.StateEstablished), lease(2, event.StateEstablished)
	late.ID.Born = 30e9
	apply(at(event.KindAllocate, 2, held))
	var report verify.Report
	for _, began := range []event.Time{10, 11} {
		v.Take(&verify.Picture{
			Began: began * 1e9, Ended: (began + 1) * 1e9, Namespaces: map[uint32]bool{space: true}, Sockets: []verify.Socket{listed(held)},
		})
		apply(at(event.KindState, began, held)) // from before its end: nothing is compared
		closing := held
		closing.State = event.StateCloseWait
		apply(at(event.KindState, began+1, held), at(event.KindState, began+1, closing), at(event.KindAllocate, began+1, late))
		report, _ = v.Pass()
		apply(at(event.KindState, began+1, held))
	}
	if report.Checked != 1 || report.InFlight != 0 || report.Differ() {
		t.Errorf("report %+v, want one socket, alike", report)
	}
}
