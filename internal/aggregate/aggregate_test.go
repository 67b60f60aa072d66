package aggregate

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// The tests' cast: two processes, one namespace, times in seconds.
const (
	crawler = 100
	victim  = 200
	hostNS  = 4026531840
)

func sec(s float64) event.Time { return event.Time(s * float64(time.Second)) }

func process(pid uint32) event.Owner {
	return event.Owner{
		Kind: event.OwnerProcess, Confidence: event.ConfidenceExact, PID: pid,
		StartTime: sec(1), Comm: event.CommOf(fmt.Sprintf("p%d", pid)),
	}
}

// tcp is a connected lease of the crawler on a port with the cookie's number.
func tcp(cookie uint64) event.Lease {
	return event.Lease{
		ID: event.LeaseID{Cookie: cookie, Born: 1}, NetNS: hostNS, Protocol: event.TCP, Family: event.IPv4,
		State: event.StateEstablished, Origin: event.OriginConnect, Owner: process(crawler),
		Local:  netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(30000+cookie)),
		Remote: netip.MustParseAddrPort("10.0.0.5:443"),
	}
}

func waiting(el event.Lease, expires float64) event.Lease {
	el.State, el.Substate, el.Expires = event.StateTimeWait, event.SubstateTimeWait, sec(expires)
	return el
}

func anonymous(el event.Lease) event.Lease {
	el.Owner = event.Owner{}
	return el
}

func owned(el event.Lease, pid uint32) event.Lease {
	el.Owner = process(pid)
	return el
}

func inState(el event.Lease, s event.State) event.Lease {
	el.State = s
	return el
}

func allocate(t float64, el event.Lease) event.Event {
	return event.Event{Kind: event.KindAllocate, Time: sec(t), Lease: el}
}

func state(t float64, cookie uint64, s event.State) event.Event {
	el := event.Lease{ID: event.LeaseID{Cookie: cookie, Born: 1}, NetNS: hostNS, State: s}
	return event.Event{Kind: event.KindState, Time: sec(t), Lease: el}
}

func timeWait(t float64, el event.Lease) event.Event {
	return event.Event{Kind: event.KindTimeWait, Time: sec(t), Lease: el}
}

func release(t float64, cookie uint64, c event.Cause) event.Event {
	el := event.Lease{ID: event.LeaseID{Cookie: cookie, Born: 1}, NetNS: hostNS, State: event.StateClose}
	return event.Event{Kind: event.KindRelease, Time: sec(t), Lease: el, Cause: c}
}

func correction(t float64, c event.Correction, el event.Lease) event.Event {
	return event.Event{Kind: event.KindCorrection, Time: sec(t), Correction: c, Lease: el}
}

func begin(t float64) event.Event { return correction(t, event.CorrectionBegin, event.Lease{}) }
func end(t float64) event.Event   { return correction(t, event.CorrectionEnd, event.Lease{}) }

func holds(t float64, el event.Lease) event.Event {
	return correction(t, event.CorrectionHolds, el)
}

func gone(t float64, el event.Lease) event.Event { return correction(t, event.CorrectionGone, el) }

func lost(t float64, n uint64) event.Event {
	return event.Event{Kind: event.KindLost, Time: sec(t), Lost: &event.Lost{What: "news", Cause: event.LostRing, Count: n}}
}

func refusal(t float64, pid uint32, n uint64) event.Event {
	return event.Event{Kind: event.KindFailure, Time: sec(t), Failure: &event.Failure{
		Operation: event.OperationConnect, Errno: event.EADDRNOTAVAIL, Reason: event.ReasonPoolExhausted,
		NetNS: hostNS, Protocol: event.TCP, Family: event.IPv4, Owner: process(pid),
		Remote: netip.MustParseAddrPort("10.0.0.5:443"), Count: n, First: sec(t), Last: sec(t),
	}}
}

func tick(t float64) event.Event { return event.Event{Kind: event.KindTick, Time: sec(t)} }

func named(t float64, n event.Namespace) event.Event {
	return event.Event{Kind: event.KindNetNS, Time: sec(t), Namespace: &n}
}

func told(t float64, p event.Process) event.Event {
	return event.Event{Kind: event.KindOwner, Time: sec(t), Process: &p}
}

func limits(t float64, l event.Limits) event.Event {
	return event.Event{Kind: event.KindLimits, Time: sec(t), Limits: &l}
}

func ledgerOf(o Options, events ...event.Event) *Ledger {
	l := New(o)
	for i := range events {
		l.Apply(&events[i])
	}
	return l
}

// owners renders who holds what, a line each.
func owners(s *Snapshot) string {
	var b strings.Builder
	for i := range s.Owners {
		o := &s.Owners[i]
		fmt.Fprintf(&b, "%s", ownerName(o.Info))
		for st, n := range o.States.All {
			fmt.Fprintf(&b, " %s=%d", st, n)
		}
		if n := o.Failures.Total(); n > 0 {
			fmt.Fprintf(&b, " failures=%d", n)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func ownerName(info *OwnerInfo) string {
	if info.ID.Kind == event.OwnerProcess {
		return info.Comm.String()
	}
	return info.ID.String()
}

func causes(s *Snapshot) string {
	var b strings.Builder
	for c, n := range s.Counters.Releases {
		if n > 0 {
			fmt.Fprintf(&b, "%s=%d ", event.Cause(c), n)
		}
	}
	return strings.TrimSpace(b.String())
}
