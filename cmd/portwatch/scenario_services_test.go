package main

import (
	"net/netip"
	"strconv"

	"github.com/portwatch/portwatch/internal/event"
)

// bound is a socket that listens on a port of the host.
func bound(cookie uint64, born event.Time, port int, o event.Owner) event.Lease {
	return event.Lease{
		ID: event.LeaseID{Cookie: cookie, Born: born}, NetNS: hostNS, Protocol: event.TCP, Family: event.IPv4,
		State: event.StateListen, Origin: event.OriginBind, Owner: o,
		Local: netip.MustParseAddrPort("0.0.0.0:" + strconv.Itoa(port)),
	}
}

// services is a host on which a broker has always been listening, an application
// was started twice, and others got ports that the kernel chose, or are in a pod.
func services() []event.Event {
	broker, app := process(810, "broker"), process(4200, "app")
	broker.Confidence = event.ConfidenceSnapshot
	again := process(4300, "app")
	old := bound(1, at(0.01), 19092, broker)
	old.Origin = event.OriginUnknown
	chosen := bound(4, at(1.5), 25000, app)
	chosen.Origin = event.OriginBind0
	pod := bound(5, at(1.6), 26000, app)
	pod.NetNS = podNS
	given := func(t float64, l event.Lease) event.Event {
		return event.Event{Kind: event.KindAllocate, Time: at(t), Lease: l}
	}
	return []event.Event{
		startEvent(),
		{Kind: event.KindNetNS, Time: at(0), Namespace: &event.Namespace{NetNS: hostNS, Cookie: 1, Name: "host"}},
		{Kind: event.KindNetNS, Time: at(0), Namespace: &event.Namespace{NetNS: podNS, Cookie: 9, Name: "dns-0"}},
		{Kind: event.KindCorrection, Time: at(0), Correction: event.CorrectionBegin},
		{Kind: event.KindCorrection, Time: at(0.01), Correction: event.CorrectionHolds, Lease: old},
		{Kind: event.KindCorrection, Time: at(0.02), Correction: event.CorrectionEnd},
		given(1, bound(2, at(1), 18080, app)),
		given(1.5, chosen),
		given(1.6, pod),
		{Kind: event.KindRelease, Time: at(2), Cause: event.CauseClosed, Lease: event.Lease{ID: event.LeaseID{Cookie: 2, Born: at(1)}, NetNS: hostNS}},
		given(3, bound(3, at(3), 18080, again)),
		{Kind: event.KindOwner, Time: at(3.5), Process: &event.Process{Owner: again, Unit: "app.service", Cgroup: "/system.slice/app.service"}},
		{Kind: event.KindTick, Time: at(4)},
	}
}
