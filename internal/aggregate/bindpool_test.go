package aggregate

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

// asked is a socket that bind() gave any port at an address.
func asked(cookie uint64, local string) event.Lease {
	el := bound(cookie, local)
	el.Origin = event.OriginBind0
	return el
}

// Which sockets keep a port from bind(0) at an address; each pair was tried on
// 6.18.
func TestWhoKeepsAPortFromBind(t *testing.T) {
	v6only := func(el event.Lease) event.Lease { el.V6Only = true; return el }
	connected6 := conn(40001)
	connected6.Family = event.IPv6
	connected6.Local, connected6.Remote = netip.MustParseAddrPort("[::1]:40001"), netip.MustParseAddrPort("[::1]:80")
	holders := []struct {
		name string
		el   event.Lease
	}{
		{"connected 10.0.0.1", conn(40001)},
		{"connected ::1", connected6},
		{"bound ::1", v6only(bound(2, "[::1]:40001"))},
		{"bound 0.0.0.0", bound(2, "0.0.0.0:40001")},
		{"bound ::", bound(2, "[::]:40001")},
		{"bound :: for IPv6 only", v6only(bound(2, "[::]:40001"))},
	}
	asking := []string{"0.0.0.0:40000", "10.0.0.1:40000", "10.0.0.2:40000", "[::]:40000", "[::1]:40000"}
	want := map[string]string{ // x: the holder keeps the port; one column per request
		"connected 10.0.0.1": "xx.x.", "connected ::1": "x..xx", "bound ::1": "...xx",
		"bound 0.0.0.0": "xxxx.", "bound ::": "xxxxx", "bound :: for IPv6 only": "...xx",
	}
	for _, h := range holders {
		t.Run(h.name, func(t *testing.T) {
			got := ""
			for i, at := range asking {
				s := stream(event.PoisonWhileBound, allocate(1, h.el), allocate(1, asked(uint64(10+i), at))).Snapshot(0)
				p := the(t, s, "bind0 "+netip.MustParseAddrPort(at).Addr().String())
				got += map[int]string{1: ".", 2: "x"}[p.InUse] // its own port, and the holder's
			}
			if got != want[h.name] {
				t.Errorf("keeps from %v: %q, want %q", asking, got, want[h.name])
			}
		})
	}
}

func TestBindPool(t *testing.T) {
	two := []event.Event{allocate(1, asked(1, "0.0.0.0:40000")), allocate(1, conn(40001))}
	onDevice := func(el event.Lease, device uint32) event.Lease { el.Device = device; return el }
	tests := []struct {
		name   string
		events []event.Event
		pool   string
		want   string
	}{
		{"every port with any owner", two, "bind0 0.0.0.0", "capacity 9 poisoned 0 in_use 2 time_wait 0 reusable 0 headroom 7"},
		{
			"several leases on a port take it once",
			append(two, allocate(1, towards(conn(40001), "10.0.0.6:443"))), "bind0 0.0.0.0",
			"capacity 9 poisoned 0 in_use 2 time_wait 0 reusable 0 headroom 7",
		},
		{
			"a TIME_WAIT holds it, and tcp_tw_reuse does not help",
			append(two, timeWait(2, aged(conn(40001), 2)), tick(10)), "bind0 0.0.0.0",
			"capacity 9 poisoned 0 in_use 2 time_wait 1 reusable 0 headroom 7",
		},
		{
			"a port that something else holds as well does not wait",
			append(two, timeWait(2, aged(conn(40001), 2)), allocate(2, towards(conn(40001), "10.0.0.6:443"))), "bind0 0.0.0.0",
			"capacity 9 poisoned 0 in_use 2 time_wait 0 reusable 0 headroom 7",
		},
		{
			"accepted sockets hold the port of a listener that is gone",
			append(two, event.Event{Kind: event.KindAccepted, Time: sec(2), Accepted: &event.Accepted{NetNS: hostNS, Port: 40003, Live: 2}}),
			"bind0 0.0.0.0", "capacity 9 poisoned 0 in_use 3 time_wait 0 reusable 0 headroom 6",
		},
		{
			"until they are gone too",
			append(two,
				event.Event{Kind: event.KindAccepted, Time: sec(2), Accepted: &event.Accepted{NetNS: hostNS, Port: 40003, Live: 2}},
				event.Event{Kind: event.KindAccepted, Time: sec(3), Accepted: &event.Accepted{NetNS: hostNS, Port: 40003}}),
			"bind0 0.0.0.0", "capacity 9 poisoned 0 in_use 2 time_wait 0 reusable 0 headroom 7",
		},
		{
			"listen() without bind() draws from it",
			[]event.Event{allocate(1, func() event.Lease {
				el := inState(bound(1, "0.0.0.0:40001"), event.StateListen)
				el.Origin = event.OriginListen
				return el
			}())},
			"bind0 0.0.0.0", "capacity 9 poisoned 0 in_use 1 time_wait 0 reusable 0 headroom 8",
		},
		{
			"a socket on another device is in nobody's way",
			[]event.Event{allocate(1, onDevice(asked(1, "0.0.0.0:40000"), 2)), allocate(1, onDevice(conn(40001), 3)), allocate(1, onDevice(conn(40002), 2)), allocate(1, conn(40003))},
			"bind0 0.0.0.0", "capacity 9 poisoned 0 in_use 3 time_wait 0 reusable 0 headroom 6",
		},
		{
			"UDP asks UDP sockets only",
			append(two, allocate(1, udpSocket(1, "10.0.0.1:40001", event.OriginBind0)), allocate(1, udpSocket(2, "10.0.0.1:40002", event.OriginBind))),
			"udp 10.0.0.1", "capacity 9 poisoned 0 in_use 2 time_wait 0 reusable 0 headroom 7",
		},
		{
			"an autobind asks without an address, whatever connect() made of it",
			[]event.Event{allocate(1, udpSocket(1, "10.0.0.1:40001", event.OriginAutobind))},
			"udp 0.0.0.0", "capacity 9 poisoned 0 in_use 1 time_wait 0 reusable 0 headroom 8",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := the(t, stream(event.PoisonWhileBound, tt.events...).Snapshot(0), tt.pool)
			if diff := cmp.Diff(tt.want, sums(p)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func udpSocket(cookie uint64, local string, o event.Origin) event.Lease {
	el := bound(cookie, local)
	el.ID.Born, el.Protocol, el.State, el.Origin = 9, event.UDP, event.StateUnconnected, o
	return el
}

// A UDP socket that connects narrows its address: ports at other addresses are
// no longer in its way, and it in theirs.
func TestUDPConnectNarrowsTheAddress(t *testing.T) {
	wide, specific := udpSocket(1, "0.0.0.0:40001", event.OriginBind0), udpSocket(2, "10.0.0.2:40002", event.OriginBind0)
	narrowed := event.Event{Kind: event.KindState, Time: sec(2), Lease: event.Lease{
		ID: wide.ID, NetNS: hostNS, State: event.StateConnected,
		Local: netip.MustParseAddrPort("10.0.0.1:40001"), Remote: netip.MustParseAddrPort("10.0.0.9:53"),
	}}
	l := stream(event.PoisonWhileBound, allocate(1, wide), allocate(1, specific))
	if got := the(t, l.Snapshot(0), "udp 10.0.0.2").InUse; got != 2 {
		t.Errorf("in use at 10.0.0.2 = %d, want its own port and the wildcard's", got)
	}
	l.Apply(&narrowed)
	s := l.Snapshot(0)
	if got := the(t, s, "udp 10.0.0.2").InUse; got != 1 {
		t.Errorf("in use at 10.0.0.2 = %d after the connect, want 1", got)
	}
	if got := the(t, s, "udp 0.0.0.0").InUse; got != 2 {
		t.Errorf("in use at 0.0.0.0 = %d, want 2", got)
	}
}

// The owners of a pool of bind(0) are those who hold the ports, however they
// came by them; of several on a port the one that has it longest.
func TestBindPoolOwners(t *testing.T) {
	s := stream(event.PoisonWhileBound,
		allocate(1, asked(1, "0.0.0.0:40000")), allocate(1, owned(conn(40001), victim)), allocate(2, towards(conn(40001), "10.0.0.6:1")),
		allocate(2, owned(conn(40002), victim)), timeWait(3, waiting(owned(conn(40002), victim), 63))).Snapshot(0)
	if got := shares(the(t, s, "bind0 0.0.0.0")); got != "p200 2/1+0-0 p100 1/0+1-0 " {
		t.Errorf("owners = %s", got)
	}
}

// shares is what each owner has of a pool: ports/TIME_WAIT+allocations-refusals.
func shares(p *Pool) string {
	text := ""
	for _, o := range p.Owners {
		text += fmt.Sprintf("%s %d/%d+%d-%d ", ownerName(o.Owner), o.Ports, o.TimeWait, o.Allocations, o.Refusals)
	}
	return text
}

// Who was refused is named beside who holds the ports, with nothing in hand.
func TestBindPoolVictims(t *testing.T) {
	refused := refusal(2, victim, 3)
	f := refused.Failure
	f.Operation, f.Reason, f.Errno = event.OperationBind, event.ReasonRangeExhausted, event.EADDRINUSE
	f.Local, f.Remote = netip.MustParseAddrPort("0.0.0.0:0"), netip.AddrPort{}
	p := the(t, stream(event.PoisonWhileBound, allocate(1, asked(1, "0.0.0.0:40000")), refused).Snapshot(0), "bind0 0.0.0.0")
	if got := shares(p); got != "p100 1/0+1-0 p200 0/0+0-3 " || p.Minute.Refusals != 3 || p.Level() != "critical" {
		t.Errorf("owners = %s, refused %d, level %s", got, p.Minute.Refusals, p.Level())
	}
}

// Accepted sockets are at the address of their listener, if it had one.
func TestAcceptedSocketsHaveTheirListenersAddress(t *testing.T) {
	children := event.Event{Kind: event.KindAccepted, Time: sec(2), Accepted: &event.Accepted{NetNS: hostNS, Port: 40001, Live: 1}}
	listens := func(local string) event.Event { return allocate(1, inState(bound(1, local), event.StateListen)) }
	tests := []struct {
		name   string
		events []event.Event
		want   int // ports in use at 10.0.0.2, its own among them
	}{
		{"of a listener at another address", []event.Event{listens("10.0.0.1:40001"), children, release(3, 1, event.CauseClosed)}, 1},
		{"of a listener at this one", []event.Event{listens("10.0.0.2:40001"), children, release(3, 1, event.CauseClosed)}, 2},
		{"of a listener at any: they may be here", []event.Event{listens("0.0.0.0:40001"), children, release(3, 1, event.CauseClosed)}, 2},
		{"of a listener that nobody saw", []event.Event{children}, 2},
		{"of a listener that is told after them", []event.Event{children, listens("10.0.0.1:40001"), release(3, 1, event.CauseClosed)}, 1},
		{
			"of two listeners in turn", []event.Event{
				listens("10.0.0.1:40001"), children, release(3, 1, event.CauseClosed), allocate(4, inState(bound(2, "10.0.0.3:40001"), event.StateListen)),
				children, release(5, 2, event.CauseClosed),
			}, 2,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := stream(event.PoisonWhileBound, append([]event.Event{allocate(1, asked(9, "10.0.0.2:40000"))}, tt.events...)...).Snapshot(0)
			if got := the(t, s, "bind0 10.0.0.2").InUse; got != tt.want {
				t.Errorf("in use = %d, want %d", got, tt.want)
			}
		})
	}
}
