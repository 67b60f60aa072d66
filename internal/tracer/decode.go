package tracer

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"unsafe"

	"github.com/portwatch/portwatch/internal/event"
)

// This is the only file with unsafe. A record is copied into the struct that
// bpf2go made of its C type, after its length has been compared: the length
// tells the types apart, and no byte of the ring is read past it.

var errRecord = errors.New("record has an unknown length or kind")

func copyRecord[T any](raw []byte) (T, bool) {
	var record T
	if len(raw) != int(unsafe.Sizeof(record)) {
		return record, false
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&record)), len(raw)), raw)
	return record, true
}

// decoder turns records into events. It holds what does not change while a
// tracer lives.
type decoder struct {
	tick tick
}

// decode fills ev. The record may be reused afterwards.
func (d *decoder) decode(raw []byte, ev *event.Event) error {
	*ev = event.Event{}
	switch len(raw) {
	case int(unsafe.Sizeof(bpfPwLeaseRecord{})):
		r, _ := copyRecord[bpfPwLeaseRecord](raw)
		return d.decodeLease(&r, ev)
	case int(unsafe.Sizeof(bpfPwChangeRecord{})):
		r, _ := copyRecord[bpfPwChangeRecord](raw)
		return decodeChange(&r, ev)
	case int(unsafe.Sizeof(bpfPwFailureRecord{})):
		r, _ := copyRecord[bpfPwFailureRecord](raw)
		return decodeFailure(&r, ev)
	case int(unsafe.Sizeof(bpfPwExitRecord{})):
		r, _ := copyRecord[bpfPwExitRecord](raw)
		return decodeExit(&r, ev)
	case int(unsafe.Sizeof(bpfPwForkRecord{})):
		r, _ := copyRecord[bpfPwForkRecord](raw)
		return decodeFork(&r, ev)
	}
	return errRecord
}

var leaseKinds = [...]event.Kind{
	bpfPwKindPW_ALLOCATE:  event.KindAllocate,
	bpfPwKindPW_STATE:     event.KindState,
	bpfPwKindPW_TIME_WAIT: event.KindTimeWait,
	bpfPwKindPW_FOUND:     event.KindCorrection,
}

func (d *decoder) decodeLease(r *bpfPwLeaseRecord, ev *event.Event) error {
	if int(r.Kind) >= len(leaseKinds) || leaseKinds[r.Kind] == 0 {
		return errRecord
	}
	ev.Kind = leaseKinds[r.Kind]
	ev.Time = event.Time(r.Time)
	ev.From = event.State(r.From)
	ev.SocketCgroup = r.SockCgroup
	ev.SearchNanos = r.SearchNs
	ev.NamespaceRange = event.PortRange{Low: r.NetLow, High: r.NetHigh}
	ev.Thread = event.Thread{TID: r.Tid, Comm: event.Comm(r.ThreadComm)}
	toLease(&r.Lease, &ev.Lease)
	if ev.Lease.State == event.StateTimeWait {
		ev.Lease.Expires = d.tick.releaseTime(ev.Time, r.Jiffies, r.Lease.Expires)
		ev.Lease.Entered = d.tick.enteredTime(ev.Time, r.Jiffies, r.Lease.Expires, ev.Lease.Substate)
	}
	if ev.Kind == event.KindCorrection {
		ev.Correction = event.CorrectionHolds
	}
	return nil
}

func decodeChange(r *bpfPwChangeRecord, ev *event.Event) error {
	switch bpfPwKind(r.Kind) {
	case bpfPwKindPW_STATE:
		ev.Kind = event.KindState
	case bpfPwKindPW_RELEASE:
		ev.Kind = event.KindRelease
		ev.Cause = event.Cause(r.Cause)
	default:
		return errRecord
	}
	ev.Time = event.Time(r.Time)
	ev.From = event.State(r.From)
	ev.Lease.ID = event.LeaseID{Cookie: r.Cookie, Born: event.Time(r.Born)}
	ev.Lease.NetNS = r.Netns
	ev.Lease.State = event.State(r.State)
	ev.Lease.Local = netip.AddrPortFrom(netip.Addr{}, r.LocalPort)
	ev.Successor = event.LeaseID{Cookie: r.SuccessorCookie, Born: event.Time(r.SuccessorBorn)}
	return nil
}

// earlyEnd returns the question to ask about a TIME_WAIT whose timer stopped
// before its time; ok is false for every other record.
func earlyEnd(raw []byte) (question bpfPwCheck, ok bool) {
	if len(raw) != int(unsafe.Sizeof(bpfPwChangeRecord{})) || raw[unsafe.Offsetof(bpfPwChangeRecord{}.Early)] == 0 {
		return question, false
	}
	r, _ := copyRecord[bpfPwChangeRecord](raw)
	return bpfPwCheck{Tw: r.Tw, Cookie: r.Cookie}, true
}

// timeWaitAddr is the address of the mini-socket that a record tells of, 0 if it
// tells of none.
func timeWaitAddr(raw []byte) uint64 {
	var r bpfPwLeaseRecord
	if len(raw) != int(unsafe.Sizeof(r)) {
		return 0
	}
	return binary.NativeEndian.Uint64(raw[unsafe.Offsetof(r.Tw):])
}

// recordTime is the time of any record: all of them begin with it.
func recordTime(raw []byte) event.Time {
	if len(raw) < 8 {
		return 0
	}
	return event.Time(binary.NativeEndian.Uint64(raw))
}

func decodeFailure(r *bpfPwFailureRecord, ev *event.Event) error {
	if bpfPwKind(r.Kind) != bpfPwKindPW_FAILURE {
		return errRecord
	}
	ev.Kind = event.KindFailure
	ev.Time = event.Time(r.Time)
	ev.Thread = event.Thread{TID: r.Tid, Comm: event.Comm(r.ThreadComm)}
	ev.NamespaceRange = event.PortRange{Low: r.Value.NetLow, High: r.Value.NetHigh}
	ev.Failure = toFailure(&r.Key, &r.Value)
	return nil
}

func decodeExit(r *bpfPwExitRecord, ev *event.Event) error {
	if bpfPwKind(r.Kind) != bpfPwKindPW_EXIT {
		return errRecord
	}
	ev.Kind = event.KindOwner
	ev.Time = event.Time(r.Time)
	ev.Process = &event.Process{
		Owner:  event.Owner{Kind: event.OwnerProcess, PID: r.Tgid, StartTime: event.Time(r.StartTime)},
		Exited: true,
	}
	return nil
}

func decodeFork(r *bpfPwForkRecord, ev *event.Event) error {
	if bpfPwKind(r.Kind) != bpfPwKindPW_FORK {
		return errRecord
	}
	ev.Kind = event.KindFork
	ev.Time = event.Time(r.Time)
	ev.Fork = &event.Fork{Parent: toProcess(&r.Parent), Child: toProcess(&r.Child)}
	return nil
}

func toProcess(t *bpfPwTask) event.OwnerID {
	return event.OwnerID{Kind: event.OwnerProcess, PID: t.Tgid, StartTime: event.Time(t.StartTime), Exec: t.Exec}
}
