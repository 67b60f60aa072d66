package tracer

import (
	"net/netip"

	"github.com/portwatch/portwatch/internal/event"
)

// toLease translates the kernel side's lease. The times of a TIME_WAIT are left
// to the caller, who knows the clock.
func toLease(l *bpfPwLease, to *event.Lease) {
	*to = event.Lease{
		ID:       event.LeaseID{Cookie: l.Cookie, Born: event.Time(l.Born)},
		NetNS:    l.Netns,
		Device:   l.Device,
		Protocol: event.Protocol(l.Protocol),
		Family:   event.Family(l.Family),
		State:    event.State(l.Word.State),
		Substate: event.Substate(l.Word.Substate),
		Origin:   event.Origin(l.Word.Origin),
		Local:    toAddrPort(&l.LocalAddr, l.LocalPort, l.Family),
		Range:    event.PortRange{Low: l.RangeLow, High: l.RangeHigh},
		Owner: event.Owner{
			Kind:       event.OwnerKind(l.OwnerKind),
			Confidence: event.Confidence(l.Confidence),
			PID:        l.Tgid,
			StartTime:  event.Time(l.StartTime),
			Exec:       l.Word.Exec,
			Comm:       event.Comm(l.Comm),
			UID:        l.Uid,
			CgroupID:   l.CgroupId,
		},
	}
	flags := bpfPwFlag(l.Word.Flags)
	to.V6Only = flags&bpfPwFlagPW_V6ONLY != 0
	to.TimestampsSeen = to.State == event.StateTimeWait && flags&bpfPwFlagPW_TIMESTAMPS != 0
	if l.RemotePort != 0 {
		to.Remote = toAddrPort(&l.RemoteAddr, l.RemotePort, l.Family)
	}
}

func toAddrPort(addr *[16]byte, port uint16, family uint8) netip.AddrPort {
	if event.Family(family) == event.IPv4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(addr[:4])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(*addr), port)
}

// toFailure translates a refusal. Count stays the running number of the key:
// whoever reports it knows how much of it was reported before.
func toFailure(k *bpfPwFailureKey, v *bpfPwFailure) *event.Failure {
	f := &event.Failure{
		Operation: event.Operation(k.Operation),
		Errno:     event.Errno(k.Errno),
		NetNS:     k.Netns,
		Device:    k.Device,
		Protocol:  event.Protocol(k.Protocol),
		Family:    event.Family(k.Family),
		Range:     event.PortRange{Low: k.RangeLow, High: k.RangeHigh},
		Owner: event.Owner{
			Kind:       event.OwnerKind(v.OwnerKind),
			Confidence: event.ConfidenceExact,
			PID:        k.Tgid,
			StartTime:  event.Time(k.StartTime),
			Exec:       k.Exec,
			Comm:       event.Comm(v.Comm),
			UID:        v.Uid,
			CgroupID:   v.CgroupId,
		},
		Count:  v.Count,
		First:  event.Time(v.First),
		Last:   event.Time(v.Last),
		Folded: k.Folded != 0,
	}
	if k.Folded == 0 && k.Unspecified == 0 {
		f.Local = toAddrPort(&k.LocalAddr, k.LocalPort, k.Family)
	}
	if k.Folded == 0 && k.RemotePort != 0 {
		f.Remote = toAddrPort(&k.RemoteAddr, k.RemotePort, k.Family)
	}
	f.Reason = reasonOf(k)
	return f
}
