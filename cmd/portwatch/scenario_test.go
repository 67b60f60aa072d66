package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
	"github.com/portwatch/portwatch/internal/verify"
)

// scriptedKernel tells the events of a scenario.
func scriptedKernel(name string) (kernel, error) {
	k, err := scriptedEvents(name)
	k.ground = openScriptedGround
	return k, err
}

func scriptedEvents(name string) (kernel, error) {
	switch name {
	case "outage":
		return tellingKernel(outage()), nil
	case "forks":
		return forkingKernel(forks()), nil
	case "lost-forks":
		return forkingKernel(append(forks(), lostForks())), nil
	case "lost-start":
		isFork := func(ev event.Event) bool { return ev.Kind == event.KindFork }
		return forkingKernel(append(slices.DeleteFunc(forks(), isFork), lostForks())), nil
	case "services":
		return tellingKernel(services()), nil
	case "quiet":
		return tellingKernel([]event.Event{startEvent(), {Kind: event.KindTick, Time: at(1)}}), nil
	case "agrees":
		return comparedKernel(event.StateEstablished), nil
	case "differs":
		return comparedKernel(event.StateCloseWait), nil
	case "hangs":
		return tellingKernel(nil), nil
	case "refused":
		return refusingKernel(fmt.Errorf("load programs: CAP_BPF is missing: %w", errPermission)), nil
	case "old":
		return refusingKernel(fmt.Errorf("open tracer: kernel 5.4 has no ring buffer: %w", errUnsupported)), nil
	case "broken":
		return kernel{open: func(context.Context, watchOptions) (watcher, error) {
			return &script{fail: fmt.Errorf("read ring: bad record")}, nil
		}}, nil
	}
	return kernel{}, fmt.Errorf("unknown scenario %q", name)
}

func tellingKernel(events []event.Event) kernel {
	return kernel{
		open:  func(context.Context, watchOptions) (watcher, error) { return &script{events: events}, nil },
		probe: func(context.Context, probeOptions) (fields.DoctorReport, error) { return healthy(), nil },
	}
}

// comparedKernel tells of one connection, and lists it in a state of its own.
func comparedKernel(listed event.State) kernel {
	told := connected(1, process(4123, "sync-worker"))
	told.State = event.StateEstablished
	events := []event.Event{
		startEvent(),
		{Kind: event.KindNetNS, Time: at(0), Namespace: &event.Namespace{NetNS: hostNS, Cookie: 1, Name: "host"}},
		{Kind: event.KindCorrection, Time: at(0), Correction: event.CorrectionBegin},
		{Kind: event.KindCorrection, Time: at(0.01), Correction: event.CorrectionHolds, Lease: told},
		{Kind: event.KindCorrection, Time: at(0.02), Correction: event.CorrectionEnd},
	}
	for second := range 5 {
		events = append(events, event.Event{Kind: event.KindTick, Time: at(float64(second + 1))})
	}
	k := tellingKernel(events)
	began := at(0)
	k.sockets = func(context.Context) (*verify.Picture, error) {
		began += 1e9
		return &verify.Picture{
			Began: began, Ended: began + 1e6, Namespaces: map[uint32]bool{hostNS: true}, BoundListed: true,
			Sockets: []verify.Socket{{NetNS: hostNS, Socket: sockdiag.Socket{
				Protocol: event.TCP, Family: event.IPv4, State: listed, Cookie: 1, Local: told.Local, Remote: told.Remote,
			}}},
		}, nil
	}
	return k
}

func refusingKernel(err error) kernel {
	return kernel{
		open:  func(context.Context, watchOptions) (watcher, error) { return nil, err },
		probe: func(context.Context, probeOptions) (fields.DoctorReport, error) { return fields.DoctorReport{}, err },
	}
}

func healthy() fields.DoctorReport {
	report := fields.DoctorReport{
		Mode: event.ModeTracepoint, Kernel: "6.18.5", BTF: true, Cgroup: "/sys/fs/cgroup",
		Unavailable:  []string{"refusals of bind(), listen() and sends by io_uring and 32-bit tasks"},
		Capabilities: []string{"CAP_BPF", "CAP_PERFMON"}, MemoryCeilingBytes: 300 << 20, MapBytes: 9 << 20,
		Hooks: []fields.HookReport{
			{Hook: "tp_btf/inet_sock_set_state", State: "attached", Required: true, Verdict: "fired"},
			{Hook: "tp_btf/tcp_destroy_sock", State: "attached", Required: true, Verdict: "fired"},
			{
				Hook: "sys_exit_connect", State: "attached", Verdict: "silent", Tried: []string{"fexit/inet_hash_connect"},
				Detail: "no event of a refused connect()", Lacks: "errno of a refused connect()",
			},
		},
		SelfTest:         &fields.SelfTestReport{At: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), Remembered: true},
		Instances:        []fields.Instance{{PID: 4242, Comm: "portwatch", Program: 77}, {Program: 78}},
		InstancesUnknown: "the descriptors of 3 processes cannot be read",
		Advice:           "a kernel that permits BPF trampolines (fentry, fexit)",
	}
	for _, function := range []string{"inet_hash_connect", "inet6_hash_connect", "tcp_time_wait"} {
		report.Hooks = append(report.Hooks, fields.HookReport{
			Hook: "fentry/" + function, State: "refused",
			Reason: "EPERM: the process holds every capability that this needs; lockdown and security modules " +
				"cannot be read, securityfs is not mounted: permission denied",
		})
	}
	return report
}

// script is a source that hands out a list of events and ends; without events
// it waits until it is stopped.
type script struct {
	events []event.Event
	fail   error
	told   int
}

func (s *script) Read(ctx context.Context, dst []event.Event) (int, error) {
	if s.fail != nil {
		return 0, s.fail
	}
	if s.events == nil {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	n := copy(dst, s.events[s.told:])
	s.told += n
	if s.told == len(s.events) {
		return n, io.EOF
	}
	return n, nil
}

func (s *script) Close() error { return nil }

func (s *script) cost() cost {
	c := cost{Events: uint64(s.told), UserCPU: 1500 * time.Microsecond, MapBytes: 3 << 20}
	if s.told > 0 {
		c.Lost = []event.Lost{{What: "news", Cause: event.LostRing, CPU: -1, Count: 3}}
	}
	return c
}

const hostNS, podNS = 4026531840, 4026532448

func at(seconds float64) event.Time { return event.Time((1000 + seconds) * 1e9) }

func startEvent() event.Event {
	return event.Event{Kind: event.KindStart, Time: at(0), Start: &event.Start{
		Host: "prod-17", BootID: "5b0e", Kernel: "6.18.5", Mode: event.ModeTracepoint, TickHz: 250,
		WallNano:    time.Date(2026, 11, 20, 9, 14, 0, 0, time.UTC).UnixNano(),
		Unavailable: []string{"search_seconds"}, Poison: event.PoisonWhileBound,
	}}
}

func process(pid uint32, name string) event.Owner {
	return event.Owner{
		Kind: event.OwnerProcess, Confidence: event.ConfidenceExact, PID: pid, StartTime: at(-100),
		Comm: event.CommOf(name), UID: 1001, CgroupID: 77,
	}
}

func connected(cookie int, o event.Owner) event.Lease {
	return event.Lease{
		ID: event.LeaseID{Cookie: uint64(cookie), Born: at(0.1)}, NetNS: hostNS, Protocol: event.TCP, Family: event.IPv4,
		State: event.StateSynSent, Origin: event.OriginConnect, Owner: o,
		Local:  netip.AddrPortFrom(netip.MustParseAddr("10.20.3.17"), uint16(32768+cookie)),
		Remote: netip.MustParseAddrPort("10.0.0.5:443"),
	}
}

// outage is an outage in small: sync-worker leaves its ports
// in TIME_WAIT and exits, nginx is refused, a resolver holds UDP in a pod.
func outage() []event.Event {
	worker, nginx := process(4123, "sync-worker"), process(977, "nginx")
	events := []event.Event{
		startEvent(),
		{Kind: event.KindNetNS, Time: at(0), Namespace: &event.Namespace{NetNS: hostNS, Cookie: 1, Name: "host"}},
		{Kind: event.KindNetNS, Time: at(0), Namespace: &event.Namespace{NetNS: podNS, Cookie: 9, Name: "dns-0"}},
		{Kind: event.KindLimits, Time: at(0), Limits: &event.Limits{
			NetNS: hostNS, Range: event.PortRange{Low: 32768, High: 60999}, TWReuse: 2, Timestamps: 1, UnprivilegedStart: 1024,
			Reserved: []event.PortRange{{Low: 40000, High: 40009}},
		}},
		{Kind: event.KindCorrection, Time: at(0), Correction: event.CorrectionBegin},
		{Kind: event.KindCorrection, Time: at(0.01), Correction: event.CorrectionEnd},
		{Kind: event.KindOwner, Time: at(0.1), Process: &event.Process{Owner: worker, Unit: "app.service", Cgroup: "/system.slice/app.service"}},
	}
	for i := range 1500 {
		events = append(events, event.Event{Kind: event.KindAllocate, Time: at(0.1 + float64(i)/1000), Lease: connected(i+1, worker)})
	}
	for i := range 1400 {
		el := connected(i+1, worker)
		el.State, el.Substate, el.Expires = event.StateTimeWait, event.SubstateTimeWait, at(62)
		events = append(events, event.Event{Kind: event.KindTimeWait, Time: at(2 + float64(i)/10000), Lease: el})
	}
	return append(events, aftermath(worker, nginx)...)
}

func aftermath(worker, nginx event.Owner) []event.Event {
	old := connected(5000, event.Owner{})
	old.State, old.Substate, old.Expires, old.Origin = event.StateTimeWait, event.SubstateTimeWait, at(44.5), event.OriginUnknown
	dns := connected(6000, process(4410, "coredns"))
	dns.NetNS, dns.Protocol, dns.State, dns.Origin, dns.Remote = podNS, event.UDP, event.StateUnconnected, event.OriginBind, netip.AddrPort{}
	dns.Local = netip.MustParseAddrPort("[::]:53")
	dns.Family = event.IPv6
	refusal := &event.Failure{
		Operation: event.OperationConnect, Errno: event.EADDRNOTAVAIL, Reason: event.ReasonPoolExhausted, NetNS: hostNS,
		Protocol: event.TCP, Family: event.IPv4, Owner: nginx,
		Local: netip.MustParseAddrPort("10.20.3.17:0"), Remote: netip.MustParseAddrPort("10.0.0.5:443"),
		Count: 40, First: at(2.3), Last: at(2.4),
	}
	closing := connected(1450, event.Owner{})
	return []event.Event{
		{Kind: event.KindCorrection, Time: at(0), Correction: event.CorrectionHolds, Lease: old},
		{Kind: event.KindAllocate, Time: at(2.2), Lease: dns, Thread: event.Thread{TID: 4411, Comm: event.CommOf("udp-0")}},
		{Kind: event.KindState, Time: at(2.25), From: event.StateSynSent, Lease: event.Lease{ID: closing.ID, NetNS: hostNS, State: event.StateEstablished}},
		{Kind: event.KindFailure, Time: at(2.4), Failure: refusal},
		{Kind: event.KindOwner, Time: at(2.5), Process: &event.Process{Owner: worker, Exited: true}},
		{Kind: event.KindRelease, Time: at(2.6), From: event.StateEstablished, Cause: event.CauseClosed, Lease: event.Lease{ID: closing.ID, NetNS: hostNS, State: event.StateClose}},
		{Kind: event.KindTick, Time: at(3)},
		{Kind: event.KindLost, Time: at(3.5), Lost: &event.Lost{What: "news", Cause: event.LostRing, CPU: 1, Count: 3}},
		{Kind: event.KindTick, Time: at(4)},
	}
}
