package tracer

import "github.com/portwatch/portwatch/internal/event"

// reasonOf says why a call was refused, from what was asked, what the kernel
// answered and how far the call came. The table is that of __inet_bind,
// inet_csk_get_port and __inet_hash_connect; whatever is not in it is "other".
func reasonOf(k *bpfPwFailureKey) event.Reason {
	errno := event.Errno(k.Errno)
	switch errno {
	case event.ENOMEM:
		return event.ReasonNoMemory
	case event.EPERM:
		return event.ReasonPolicy
	}
	switch event.Operation(k.Operation) {
	case event.OperationBind:
		return bindReason(k, errno)
	case event.OperationListen:
		return portReason(k, errno)
	case event.OperationConnect:
		return connectReason(k, errno)
	case event.OperationSend:
		if errno == event.EAGAIN {
			return event.ReasonRangeExhausted
		}
	}
	return event.ReasonOther
}

func bindReason(k *bpfPwFailureKey, errno event.Errno) event.Reason {
	switch errno {
	case event.EACCES:
		// The kernel's own EACCES is for ports below
		// ip_unprivileged_port_start; any other is a security module's.
		if bpfPwPhase(k.Phase) == bpfPwPhasePW_PHASE_PRIVILEGED {
			return event.ReasonPrivileged
		}
		return event.ReasonPolicy
	case event.EADDRNOTAVAIL:
		return event.ReasonAddressNotLocal
	}
	return portReason(k, errno)
}

func portReason(k *bpfPwFailureKey, errno event.Errno) event.Reason {
	switch {
	case errno != event.EADDRINUSE:
		return event.ReasonOther
	case k.Folded != 0:
		return event.ReasonOther // which port was asked for is not known any more
	case k.LocalPort == 0:
		return event.ReasonRangeExhausted
	}
	return event.ReasonPortHeld
}

func connectReason(k *bpfPwFailureKey, errno event.Errno) event.Reason {
	phase := bpfPwPhase(k.Phase)
	switch {
	case errno == event.EACCES:
		return event.ReasonPolicy
	case errno == event.EAGAIN && event.Protocol(k.Protocol) == event.UDP:
		return event.ReasonRangeExhausted
	case phase == bpfPwPhasePW_PHASE_NO_PORT:
		return event.ReasonPoolExhausted
	case errno == event.EADDRNOTAVAIL && phase == bpfPwPhasePW_PHASE_STARTED:
		return event.ReasonTupleTaken
	case errno == event.EADDRNOTAVAIL:
		return event.ReasonNoSourceAddress
	}
	return event.ReasonOther
}
