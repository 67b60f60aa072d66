package aggregate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

// remedies renders what is offered to an owner, in order: id, headroom and
// capacity then, and after how long.
func remedies(c *Culprit) string {
	var all []string
	for _, r := range c.Remedies {
		word := string(r.ID)
		if r.Effect != nil {
			word += fmt.Sprintf(" %d/%d", r.Effect.Headroom, r.Effect.Capacity)
		}
		all = append(all, word+" "+r.In.String())
	}
	return strings.Join(all, "; ")
}

// seasoned have so many TIME_WAITs that connect() may take over if it is allowed
// to.
func seasoned(n int, events ...event.Event) []event.Event {
	for i := range n {
		el := nth(i, 10)
		events = append(events, at(10, el))
		el.Entered, el.TimestampsSeen = sec(11), true
		events = append(events, timeWait(11, waiting(el, 71)))
	}
	return events
}

func TestRemedies(t *testing.T) {
	deserted := leaked(750)
	for i := 1; i <= 750; i++ {
		el := inState(nth(i, 12), event.StateCloseWait)
		deserted = append(deserted, event.Event{Kind: event.KindState, Time: sec(13), Lease: el})
	}
	exited := append(seasoned(800), told(12, event.Process{Owner: process(crawler), Exited: true}))
	fixed := []event.Event{at(10, nth(2, 10))}
	for i := range 200 {
		fixed = append(fixed, at(10, bound(uint64(i+1), fmt.Sprintf("10.9.9.9:%d", 20700+i))))
	}
	tests := []struct {
		name   string
		events []event.Event
		at     float64
		want   string
	}{
		{
			"a full pool that waits", seasoned(800), 20,
			"tcp_tw_reuse 1000/1000 1s; widen_range 54496/55296 0s; more_source_addresses 1200/2000 0s; " +
				"more_destinations 1200/2000 0s; wait 1000/1000 1m0s; reuse_connections 1000/1000 1m0s; peer_closes_first 1000/1000 1m0s",
		},
		{
			"of a process that has exited: nothing to stop", exited, 20,
			"tcp_tw_reuse 1000/1000 1s; widen_range 54496/55296 0s; more_source_addresses 1200/2000 0s; " +
				"more_destinations 1200/2000 0s; wait 1000/1000 1m0s; reuse_connections 1000/1000 1m0s; peer_closes_first 1000/1000 1m0s",
		},
		{
			"TIME_WAITs whose timestamps are not known: nor is the effect", churned(0, 800, 1), 20,
			"tcp_tw_reuse 1s; widen_range 54496/55296 0s; more_source_addresses 1200/2000 0s; more_destinations 1200/2000 0s; " +
				"wait 1000/1000 1m0s; reuse_connections 1000/1000 1m0s; peer_closes_first 1000/1000 1m0s",
		},
		{
			"a leak", leaked(750), 80,
			"widen_range 54546/55296 0s; more_source_addresses 1250/2000 0s; more_destinations 1250/2000 0s; " +
				"close_leak 1000/1000 1m0s; stop_process 1000/1000 1m0s",
		},
		{
			"a leak that the peer has left comes back at once", deserted, 80,
			"widen_range 54546/55296 0s; more_source_addresses 1250/2000 0s; more_destinations 1250/2000 0s; " +
				"close_leak 1000/1000 0s; stop_process 1000/1000 0s",
		},
		{
			"ports bound by number", fixed, 20,
			"widen_range 55095/55096 0s; more_source_addresses 1599/1600 0s; more_destinations 1599/1600 0s; " +
				"reserve_port 799/800 0s; stop_process 1000/1000 1m0s",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, remedies(culprit(t, roomy(tt.events...), tt.at, crawler))); diff != "" {
				t.Errorf("remedies (-want +got):\n%s", diff)
			}
		})
	}
}

// A setting that is in force already, or could do nothing, is not offered.
func TestRemediesThatWouldChangeNothing(t *testing.T) {
	offered := func(l *Ledger, id RemedyID) bool {
		t.Helper()
		return slices.ContainsFunc(culprit(t, l, 20, crawler).Remedies, func(r Remedy) bool { return r.ID == id })
	}
	set := func(l event.Limits) event.Event {
		l.NetNS = hostNS
		return limits(9, l)
	}
	narrow := event.PortRange{Low: 20000, High: 20999}
	tests := []struct {
		name   string
		limits event.Limits
		id     RemedyID
		want   bool
	}{
		{"tcp_tw_reuse is off", event.Limits{Range: narrow, Timestamps: 1}, TCPTWReuse, true},
		{"for loopback only", event.Limits{Range: narrow, Timestamps: 1, TWReuse: 2}, TCPTWReuse, true},
		{"is on", event.Limits{Range: narrow, Timestamps: 1, TWReuse: 1}, TCPTWReuse, false},
		{"timestamps are off", event.Limits{Range: narrow}, TCPTWReuse, false},
		{"the range is narrow", event.Limits{Range: narrow}, WidenRange, true},
		{"the range is wide", event.Limits{Range: event.PortRange{Low: 10240, High: 65535}}, WidenRange, false},
		{"the range begins lower", event.Limits{Range: event.PortRange{Low: 1024, High: 65535}}, WidenRange, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := roomy(seasoned(800, set(tt.limits))...)
			if got := offered(l, tt.id); got != tt.want {
				t.Errorf("%s offered = %t, want %t", tt.id, got, tt.want)
			}
		})
	}
}

func TestSettingsOfRemedies(t *testing.T) {
	reserving := reserving(&event.Limits{Reserved: []event.PortRange{{Low: 9000, High: 9001}}}, []uint16{8080, 9002, 10000})
	if want := (Setting{"net.ipv4.ip_local_reserved_ports", "8080,9000-9002,10000", "9000-9001"}); reserving != want {
		t.Errorf("reserving = %+v, want %+v", reserving, want)
	}
	c := culprit(t, roomy(seasoned(800)...), 20, crawler)
	for i, want := range []Setting{
		{"net.ipv4.tcp_tw_reuse", "1", "0"}, {"net.ipv4.ip_local_port_range", "10240 65535", "20000 20999"},
	} {
		if got := c.Remedies[i].Settings[0]; got != want {
			t.Errorf("setting of %s = %+v, want %+v", c.Remedies[i].ID, got, want)
		}
	}
}

// The sustainable rate follows from the hold time: a minute and a second now, a
// second and the delay where TIME_WAITs may be taken over.
func TestSustainableRateOfRemedies(t *testing.T) {
	l := roomy(seasoned(800)...)
	now, _ := l.Snapshot(sec(20)).Pools[0].Forecast.Sustainable, 0
	if now < 16.3 || now > 16.5 {
		t.Errorf("sustainable = %.1f, want 1000/61", now)
	}
	want := map[RemedyID]float64{TCPTWReuse: 500, PeerClosesFirst: 1000, ReuseConnections: 0, MoreSourceAddresses: 2 * now}
	for _, r := range culprit(t, l, 20, crawler).Remedies {
		if rate, told := want[r.ID]; told && (r.Effect.Sustainable < 0.99*rate || r.Effect.Sustainable > 1.01*rate) {
			t.Errorf("%s bears %.1f a second, want %.1f", r.ID, r.Effect.Sustainable, rate)
		}
	}
}

// What was refused decides which pools are looked into, then how tight they are;
// a poisoned one is, though little of it is in use.
func TestTightest(t *testing.T) {
	calm := at(10, nth(1, 10))
	refused := refusedConnect(11, 3)
	refused.Failure.Remote = netip.MustParseAddrPort("10.0.0.7:443")
	poison := func(n int) (events []event.Event) {
		for i := range n {
			events = append(events, at(10, bound(uint64(i+1), fmt.Sprintf("10.9.9.9:%d", 20700+i))))
		}
		return append(events, calm)
	}
	tests := []struct {
		name   string
		events []event.Event
		want   string
	}{
		{"the tightest, if none is tight", []event.Event{calm, at(10, towards(nth(2, 10), "10.0.0.6:443")), at(10, nth(3, 10))}, "10.0.0.5:443"},
		{"that which refused", []event.Event{calm, refused}, "10.0.0.7:443"},
		{"10 % poisoned, and the tightest", poison(100), "10.0.0.5:443"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, p := range roomy(tt.events...).Blame(sec(12), Selection{}).Tight {
				got = append(got, p.Remote.String())
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("pools (-want +got):\n%s", diff)
			}
		})
	}
	chosen := Selection{Pool: func(p *Pool) bool { return p.Remote.Port() == 80 }, Failure: func(*Failure) bool { return false }}
	b := roomy(append(seasoned(800), at(10, towards(nth(900, 10), "10.0.0.6:80")), refused)...).Blame(sec(12), chosen)
	if len(b.Tight) != 1 || b.Tight[0].Remote.Port() != 80 || len(b.Victims) != 0 {
		t.Errorf("chosen are %d pools and %d victims, want the pool of port 80 and none", len(b.Tight), len(b.Victims))
	}
}

func TestVictims(t *testing.T) {
	other := refusedPort(9, event.OperationBind, "10.0.0.1:25000")
	unknown := refusedConnect(13, 2)
	unknown.Failure.Errno = 0
	b := roomy(at(8, nth(1, 8)), other, refusedConnect(11, 3), refusedConnect(12, 4), unknown).Blame(sec(14), Selection{})
	var got []string
	for _, v := range b.Victims {
		got = append(got, fmt.Sprintf("%s pool=%t %d %v %v-%v", v.Owner.Comm, v.Pool != nil, v.Failures, v.Errnos,
			time.Duration(v.First), time.Duration(v.Last)))
	}
	want := []string{"p200 pool=true 9 [{ 2} {EADDRNOTAVAIL 7}] 11s-13s", "p200 pool=false 1 [{EADDRINUSE 1}] 9s-9s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("victims (-want +got):\n%s", diff)
	}
	if b.Allocations != 1 || b.Attempts != 10 {
		t.Errorf("allocations %d, attempts %d, want 1 and 10: a held port is no want of ports", b.Allocations, b.Attempts)
	}
}

// The worst moment stays when all has come back.
func TestPeak(t *testing.T) {
	events := seasoned(1000)
	events = append(events, refusedConnect(12, 5), tick(20))
	for i := range 1000 {
		events = append(events, closed(75, nth(i, 10)))
	}
	for i := range 3 {
		events = append(events, tick(float64(80+60*i)))
	}
	l := roomy(append(events, at(201, nth(1, 201)))...)
	peak := l.Blame(sec(202), Selection{}).Peak
	if peak.At != sec(12) || peak.Pool.InUse != 1000 || peak.Pool.Owners[0].Ports != 1000 || peak.Pool.Forecast.Outcome != OutcomeRefusing {
		t.Errorf("peak at %v with %d in use, want 12 s with 1000", time.Duration(peak.At), peak.Pool.InUse)
	}
	calm := roomy(at(10, nth(1, 10)), tick(20)).Blame(sec(21), Selection{}).Peak
	if calm.At != sec(21) || calm.Pool.InUse != 1 {
		t.Errorf("peak of a calm pool at %v with %d in use, want now", time.Duration(calm.At), calm.Pool.InUse)
	}
}

// The headroom of bind(0) to any address is what the pool of bind(0) says.
func TestBindHeadroom(t *testing.T) {
	wild := nth(7, 10)
	wild.Origin, wild.State, wild.Remote = event.OriginBind0, event.StateBound, netip.AddrPort{}
	wild.Local = netip.AddrPortFrom(netip.IPv4Unspecified(), wild.Local.Port())
	l := roomy(at(10, wild), at(10, nth(1, 10)), at(10, towards(nth(1, 10), "10.0.0.6:80")), accepted(11, 20500, 3, 1),
		at(10, bound(1, "10.9.9.9:20600")), at(10, bound(2, "10.9.9.9:19000")))
	check := func(want int) {
		t.Helper()
		s := l.Snapshot(0)
		n := &s.Namespaces[0]
		got, _ := n.BindHeadroom(&n.TCP)
		if pool := the(t, s, "bind0 0.0.0.0").Headroom(); got != want || pool != want {
			t.Errorf("headroom of the namespace %d, of the pool %d, want %d", got, pool, want)
		}
		if n.Poisoned != 3 || n.Accepted != 3+1 || n.AcceptedWaits != 1 {
			t.Errorf("poisoned %d, accepted %d, of them waiting %d, want 3, 4 and 1", n.Poisoned, n.Accepted, n.AcceptedWaits)
		}
	}
	check(996)
	narrower := limits(12, event.Limits{NetNS: hostNS, Range: event.PortRange{Low: 20000, High: 20899}})
	l.Apply(&narrower)
	check(896)
}

// Only connections that we close first leave their ports waiting.
func TestClosing(t *testing.T) {
	for _, tt := range []struct {
		request Request
		pt      part
		want    time.Duration
	}{
		{RequestConnect, part{live: 2}, afterwards},
		{RequestConnect, part{live: 2, deserted: 2}, 0},
		{RequestConnect, part{live: 2, deserted: 1}, afterwards},
		{RequestConnect, part{waiting: 1}, afterwards},
		{RequestBind0, part{live: 3, single: 3}, 0},
		{RequestBind0, part{live: 3, single: 2}, afterwards},
		{RequestBind0, part{live: 3, single: 2, deserted: 1}, 0},
		{RequestUDP, part{live: 3}, 0},
	} {
		b := bench{key: PoolKey{Request: tt.request}}
		if got := b.closing(&tt.pt); got != tt.want {
			t.Errorf("%v, %+v: %v, want %v", tt.request, tt.pt, got, tt.want)
		}
	}
}
