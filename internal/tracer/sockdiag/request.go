package sockdiag

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// Request says which sockets to list.
type Request struct {
	// Family of the socket, 0 for both. It may differ from Socket.Family: an
	// IPv6 socket that talks to IPv4 is listed with IPv6 and then shown as
	// IPv4.
	Family   event.Family
	Protocol event.Protocol
	// States to list, nil for all.
	States []event.State
}

// Layout of struct inet_diag_req_v2.
const (
	offReqFamily   = 0
	offReqProtocol = 1
	offReqStates   = 4
	sizeofReq      = 8 + sizeofID
)

// allStates has every bit that the kernel knows, TCP_BOUND_INACTIVE included;
// kernels before 6.12 ignore that one.
const allStates uint32 = 1<<(kernelBound+1) - 2

// families are the kernel's numbers of the families asked for.
func (r *Request) families() ([]uint8, error) {
	switch r.Family {
	case 0:
		return []uint8{unix.AF_INET, unix.AF_INET6}, nil
	case event.IPv4:
		return []uint8{unix.AF_INET}, nil
	case event.IPv6:
		return []uint8{unix.AF_INET6}, nil
	}
	return nil, fmt.Errorf("request sockets: unknown family %d", r.Family)
}

// mask selects the states in the kernel. It may select too much: the kernel
// takes a mini-socket's sub-state for its state.
func (r *Request) mask() uint32 {
	if r.States == nil {
		return allStates
	}
	var mask uint32
	for _, s := range r.States {
		switch s {
		case event.StateTimeWait:
			mask |= 1<<event.StateTimeWait | 1<<event.StateFinWait2
		case event.StateNewSynRecv: // listed as SYN_RECV
			mask |= 1 << event.StateSynRecv
		case event.StateBound:
			mask |= 1 << kernelBound
		case event.StateUnconnected:
			mask |= 1 << event.StateClose
		case event.StateConnected:
			mask |= 1 << event.StateEstablished
		default:
			mask |= 1 << s & allStates
		}
	}
	return mask
}

// wants reports whether a socket that the kernel listed was asked for.
func (r *Request) wants(state event.State) bool {
	if r.States == nil {
		return true
	}
	for _, s := range r.States {
		if s == state || s == event.StateNewSynRecv && state == event.StateSynRecv {
			return true
		}
	}
	return false
}

// encode renders struct inet_diag_req_v2; the identity is left empty, a dump
// does not look at it.
func (r *Request) encode(family uint8) []byte {
	b := make([]byte, sizeofReq)
	b[offReqFamily] = family
	b[offReqProtocol] = uint8(r.Protocol)
	binary.NativeEndian.PutUint32(b[offReqStates:], r.mask())
	return b
}
