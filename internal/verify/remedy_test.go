package verify_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// What a remedy promises is what the kernel grants once it is applied.

// blame is what the ledger says of the room.
func (r *room) blame() *aggregate.Blame {
	return r.ledger.Blame(0, aggregate.Selection{
		Pool:    func(p *aggregate.Pool) bool { return p.NetNS == r.ns.Inode() },
		Failure: func(f *aggregate.Failure) bool { return f.NetNS == r.ns.Inode() && f.Owner.Comm.String() != "sentinel" },
	})
}

// remedy is the one that is offered for connect() towards a far end.
func (r *room) remedy(id aggregate.RemedyID, to netip.AddrPort) aggregate.Remedy {
	r.Helper()
	for _, c := range r.blame().Culprits {
		for _, remedy := range c.Remedies {
			if remedy.ID == id && c.Pool != nil && c.Pool.Request == aggregate.RequestConnect && c.Pool.Remote == to {
				return remedy
			}
		}
	}
	r.Fatalf("%s is not offered: %+v\n%s", id, r.blame().Culprits, r.story())
	return aggregate.Remedy{}
}

// promised compares with what the kernel grants, within 2 %.
func (r *room) promised(remedy aggregate.Remedy, granted int) {
	r.Helper()
	if math.Abs(float64(remedy.Effect.Headroom-granted)) > 0.02*float64(granted) {
		r.Errorf("%s promises a headroom of %d, the kernel grants %d\n%s", remedy.ID, remedy.Effect.Headroom, granted, r.story())
	}
}

// apply sets what the remedy sets.
func (r *room) apply(remedy aggregate.Remedy) {
	r.Helper()
	for _, s := range remedy.Settings {
		r.ns.Sysctl(s.Key, s.Value)
	}
}

func TestRemedyTCPTWReuse(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", true)
	first, second := r.actor("first"), r.actor("second")
	for range 90 {
		c := r.connect(first, to)
		c.Shutdown(unix.SHUT_WR)
		c.WaitEOF() // so that a TIME_WAIT is born as one
		c.Close()
	}
	for range 5 {
		r.connect(first, to)
	}
	r.settle()
	// A step of a TIME_WAIT that no hook tells is told by the next look.
	r.wait(t, "seasoned TIME_WAITs", func(*aggregate.Snapshot) bool {
		return r.remedy(aggregate.TCPTWReuse, to).Ports == 90
	})
	remedy := r.remedy(aggregate.TCPTWReuse, to)
	want(r, "headroom after", remedy.Effect.Headroom, 95)
	r.apply(remedy)
	r.settle()
	r.wait(t, "the delay", func(*aggregate.Snapshot) bool { return r.connects(to).Reusable == 90 })
	n, _ := second.ExhaustConnect(to, 1000, false)
	r.promised(remedy, n)
}

func TestRemedyWidenRange(t *testing.T) {
	r := setScene(t)
	r.ns.Sysctl("net.ipv4.ip_local_reserved_ports", "10240-39999,40500-65535")
	to := r.server(r.actor("server"), "127.0.0.1:9000", false)
	client, prober := r.actor("client"), r.actor("prober")
	n, _ := client.ExhaustConnect(to, 80, false)
	want(r, "connections", n, 80)
	want(r, "bind outside the range", client.Socket(tracertest.TCP4).Bind("127.0.0.2:40200"), 0)
	r.settle()
	remedy := r.remedy(aggregate.WidenRange, to)
	want(r, "headroom after", remedy.Effect.Headroom, 419)
	r.apply(remedy)
	n, _ = prober.ExhaustConnect(to, 10000, false)
	r.promised(remedy, n)
}

// dial connects from an address that is bound without a port.
func (r *room) dial(a *tracertest.Actor, from string, to netip.AddrPort) bool {
	r.Helper()
	c := a.Socket(tracertest.TCP4)
	c.Set(unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	want(r, "bind to an address", c.Bind(from+":0"), 0)
	return c.Connect(to) == 0
}

func TestRemedyMoreSourceAddresses(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	client, prober := r.actor("client"), r.actor("prober")
	n, _ := client.ExhaustConnect(to, 80, false)
	want(r, "connections", n, 80)
	want(r, "a poisoned port", client.Socket(tracertest.TCP4).Bind("127.0.0.9:40099"), 0)
	r.settle()
	remedy := r.remedy(aggregate.MoreSourceAddresses, to)
	granted, _ := prober.ExhaustConnect(to, 1000, false)
	for r.dial(prober, "127.0.0.2", to) {
		granted++
	}
	r.promised(remedy, granted)
}

func TestRemedyMoreDestinations(t *testing.T) {
	r := setScene(t)
	host := r.actor("server")
	to, other := r.server(host, "127.0.0.1:30000", false), r.server(host, "127.0.0.1:30001", false)
	client, prober := r.actor("client"), r.actor("prober")
	n, _ := client.ExhaustConnect(to, 80, false)
	want(r, "connections", n, 80)
	r.settle()
	remedy := r.remedy(aggregate.MoreDestinations, to)
	granted := 0
	for _, far := range []netip.AddrPort{to, other} {
		n, _ := prober.ExhaustConnect(far, 1000, false)
		granted += n
	}
	r.promised(remedy, granted)
}

// Scenario 14: a program that binds to an address before it connects poisons a
// port for each connection; with IP_BIND_ADDRESS_NO_PORT it does not, and is not
// diagnosed so.
func TestRemedyBindAddressNoPort(t *testing.T) {
	r := setScene(t)
	host := r.actor("server")
	to, other := r.server(host, "127.0.0.1:30000", false), r.server(host, "127.0.0.1:30001", false)
	binder, prober := r.actor("binder"), r.actor("prober")
	var early []*tracertest.Socket
	for i := range 70 {
		c := binder.Socket(tracertest.TCP4)
		want(r, "bind(0)", c.Bind("127.0.0.1:0"), 0)
		far := other
		if i < 20 {
			far = to
		}
		want(r, "connect", c.Connect(far), 0)
		early = append(early, c)
	}
	r.connect(prober, to)
	r.settle()
	want(r, "diagnosis", r.diagnosed(binder, aggregate.BindBeforeConnect), true)
	remedy := r.remedy(aggregate.BindAddressNoPort, to)
	want(r, "headroom now", r.connects(to).Headroom(), 29)
	want(r, "headroom after", remedy.Effect.Headroom, 79)
	for _, c := range early {
		reset(c)
	}
	for i := range 70 {
		far := other
		if i < 20 {
			far = to
		}
		want(r, "connect without a port", r.dial(binder, "127.0.0.1", far), true)
	}
	r.settle()
	want(r, "diagnosis", r.diagnosed(binder, aggregate.BindBeforeConnect), false)
	n, _ := prober.ExhaustConnect(to, 1000, false)
	r.promised(remedy, n)
}

// diagnosed reports whether an actor is a culprit with the diagnosis.
func (r *room) diagnosed(a *tracertest.Actor, want aggregate.Diagnosis) bool {
	r.Helper()
	for _, c := range r.blame().Culprits {
		if int(c.Owner.ID.PID) == a.PID && slices.Contains(c.Diagnoses, want) {
			return true
		}
	}
	return false
}

// Stopping the process gives everything back that it keeps; at once only what
// has no connection.
func TestRemedyStopProcess(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	holder, prober := r.actor("holder"), r.actor("prober")
	for port := uint16(40000); port < 40060; port++ {
		addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), port)
		want(r, "bind", holder.Socket(tracertest.TCP4).Bind(addr.String()), 0)
	}
	r.connect(prober, to)
	r.settle()
	want(r, "diagnosis", r.diagnosed(holder, aggregate.Poisoning), true)
	remedy := r.remedy(aggregate.StopProcess, to)
	want(r, "at once", remedy.In, 0)
	holder.Exit()
	n, _ := prober.ExhaustConnect(to, 1000, false)
	r.promised(remedy, n)
}

// A program that asks for a port that another program's connection has is told
// who that is.
func TestBlameOfAHeldPort(t *testing.T) {
	r := setScene(t)
	to := r.server(r.actor("server"), "127.0.0.1:30000", false)
	client, service := r.actor("client"), r.actor("service")
	port := r.connect(client, to).Local()
	want(r, "bind", service.Socket(tracertest.TCP4).Bind(port.String()), unix.EADDRINUSE)
	r.settle()
	b := r.blame()
	want(r, "failures", len(b.Refused), 1)
	held := b.Refused[0].Sight.Holders
	want(r, "holders", len(held), 1)
	want(r, "who", int(held[0].Owner.ID.PID), client.PID)
	want(r, "state", held[0].Lease.State, event.StateEstablished)
	want(r, "towards", held[0].Lease.Remote, to)
	for _, c := range b.Culprits {
		if c.Pool == nil && int(c.Owner.ID.PID) == client.PID {
			want(r, "first remedy", c.Remedies[0].ID, aggregate.ReservePort)
			want(r, "its setting", c.Remedies[0].Settings[0].Value, fmt.Sprint(port.Port()))
			want(r, "second remedy", c.Remedies[1].ID, aggregate.StopProcess)
			return
		}
	}
	t.Errorf("no culprit of the port: %+v", b.Culprits)
}
