package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
	"github.com/portwatch/portwatch/internal/tracer"
	"github.com/portwatch/portwatch/internal/tracer/netns"
)

// dnsNS is the namespace of a pod in the scripted ground.
const dnsNS = hostNS + 1

// scriptedGround is a host that was restarted under its clients: a server listens
// on 8080, another program's connection has 36601, 37601 waits, 38601 is bound.
// The variable GROUND, which the production binary does not know, may take BPF
// away ("diag"), on a kernel that hides bound sockets ("old"), or end the
// namespace ("ended").
type scriptedGround struct {
	diag, old, ended bool
}

func openScriptedGround(_ context.Context, o groundOptions) (ground, error) {
	if o.PID == 4040 {
		return nil, classifiedError{errors.New("--pid 4040: there is no such process: want the id of one that runs"), errUsage}
	}
	word := os.Getenv("GROUND")
	return &scriptedGround{diag: word == "diag" || word == "old" || o.NoBPF, old: word == "old", ended: word == "ended"}, nil
}

func seen(netns uint32, local, remote string, state event.State, owner event.Owner) event.Sighting {
	s := event.Sighting{Seen: at(4), Processes: 1, Inode: 9, Sharing: event.Sharing{Known: true, UID: owner.UID}}
	s.Lease = event.Lease{
		ID: event.LeaseID{Cookie: 7}, NetNS: netns, Protocol: event.TCP, Family: event.IPv4, State: state, Owner: owner,
		Local: netip.MustParseAddrPort(local), Origin: event.OriginUnknown,
	}
	if remote != "" {
		s.Lease.Remote = netip.MustParseAddrPort(remote)
	}
	if state == event.StateTimeWait {
		s.Lease.Substate, s.Lease.Expires, s.Inode, s.Processes = event.SubstateTimeWait, at(45), 0, 0
		s.Lease.Entered, s.Lease.TimestampsSeen = at(1), true
	}
	s.Bucket = event.Bucket{Known: true, Bound: state == event.StateListen || state == event.StateBound}
	return s
}

func (g *scriptedGround) sockets() []event.Sighting {
	server, client := process(977, "nginx"), process(4123, "sync-worker")
	shared := seen(hostNS, "0.0.0.0:8080", "", event.StateListen, server)
	shared.Sharing.ReuseAddr, shared.Processes = true, 3
	all := []event.Sighting{
		shared,
		seen(hostNS, "10.20.3.17:36601", "10.0.0.5:443", event.StateEstablished, client),
		seen(hostNS, "10.20.3.17:37601", "10.0.0.5:443", event.StateTimeWait, event.Owner{}),
		seen(hostNS, "127.0.0.1:38601", "", event.StateBound, process(5150, "app")),
		seen(dnsNS, "0.0.0.0:8080", "", event.StateListen, process(4410, "coredns")),
	}
	for i := range 12 {
		s := seen(hostNS, "10.20.3.17:8080", netip.AddrPortFrom(netip.MustParseAddr("10.20.9.1"), uint16(50000+i)).String(),
			event.StateEstablished, server)
		s.Sharing.ReuseAddr = true
		all = append(all, s)
	}
	if g.diag {
		for i := range all {
			all[i].Sharing, all[i].Bucket, all[i].Processes = event.Sharing{}, event.Bucket{}, 0
		}
	}
	return all
}

func (g *scriptedGround) Look(_ context.Context, keep func(*event.Sighting) bool) (*tracer.Sight, error) {
	sight := &tracer.Sight{At: at(4), Walked: []netns.Namespace{{Inode: hostNS, Name: "host"}, {Inode: dnsNS, Name: "dns-0"}}}
	if g.ended {
		sight.Walked = sight.Walked[1:]
	}
	for _, s := range g.sockets() {
		if keep(&s) {
			sight.Sightings = append(sight.Sightings, s)
		}
	}
	return sight, nil
}

func (g *scriptedGround) Facts() *groundFacts {
	f := &groundFacts{
		NetNS: hostNS, Name: "host", IPv6: true, Complete: !g.old, Blind: g.diag, UID: 1001, Privileged: aggregate.AnswerNo,
		Asker: "app[5150], user 1001", Target: host.Target{Own: true, Boot: true},
		Limits: event.Limits{
			NetNS: hostNS, Range: event.PortRange{Low: 32768, High: 60999}, UnprivilegedStart: 1024,
			Reserved: []event.PortRange{{Low: 38601, High: 38601}}, TWReuse: 2, Timestamps: 1,
		},
	}
	if g.diag {
		f.Notes = []string{"without BPF the flags of sockets are not known"}
	}
	return f
}

func (g *scriptedGround) Local(a netip.Addr) aggregate.Answer {
	return aggregate.AnswerOf(a.IsUnspecified() || a.IsLoopback() || a == netip.MustParseAddr("10.20.3.17"))
}

func (g *scriptedGround) Target(to netip.AddrPort) (aggregate.ConnectTarget, error) {
	if to.Addr().Is6() {
		return aggregate.ConnectTarget{Remote: to, Unreachable: "the namespace has no route to it"}, nil
	}
	return aggregate.ConnectTarget{Remote: to, Local: netip.MustParseAddr("10.20.3.17")}, nil
}

func (g *scriptedGround) Resolve(_ context.Context, name string) ([]netip.Addr, error) {
	if name != "db.example" {
		return nil, errors.New("no such host")
	}
	return []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("2001:db8::5")}, nil
}

func (g *scriptedGround) Describe(o *event.Owner) *aggregate.OwnerInfo {
	return aggregate.ProcessInfo(&event.Process{Owner: *o})
}

func (g *scriptedGround) Meta() *aggregate.Meta {
	return &aggregate.Meta{
		At: at(4), Clock: aggregate.ClockAt(at(4), time.Date(2026, 11, 20, 9, 14, 4, 0, time.UTC).UnixNano()),
		Start: event.Start{Host: "prod-17", BootID: "5b0e", Unavailable: []string{"who left a TIME_WAIT"}},
	}
}

func (g *scriptedGround) Close() error { return nil }
