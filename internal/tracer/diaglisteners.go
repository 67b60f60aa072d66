package tracer

import (
	"net/netip"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
)

// diagListeners are the listening sockets that a dump of one namespace has
// listed so far. The kernel lists those of an address family before all others
// (inet_diag_dump_icsk; net/ipv4/inet_diag.c, tcp_diag.c), and a listener's
// children have its family.
type diagListeners map[uint16][]diagListener

type diagListener struct {
	addr   netip.Addr
	device uint32
	v6Only bool
}

// accepted reports whether a socket came out of a listener: its local port is
// listened on, at its address. Such a socket costs no ephemeral port.
//
// That is right because nothing else gets to a port that is listened on: for
// connect() it is taken, and bind() is refused it (inet_csk_bind_conflict). It
// errs in two cases. A socket that shares the port by SO_REUSEPORT and then
// connects passes for accepted, and is not shown. And a connection whose
// listener has been closed is taken for a lease of origin unknown: no table
// says any more where it came from.
func (l diagListeners) accepted(s *sockdiag.Socket) bool {
	if s.Protocol != event.TCP {
		return false
	}
	switch s.State {
	case event.StateListen:
		port := s.Local.Port()
		l[port] = append(l[port], diagListener{addr: s.Local.Addr(), device: s.Device, v6Only: s.V6Only})
		return false
	case event.StateBound:
		return false // no child is bound and nothing else
	case event.StateSynRecv, event.StateNewSynRecv:
		return true // half of a child; a simultaneous open passes through here too
	}
	for _, listener := range l[s.Local.Port()] {
		if listener.takes(s) {
			return true
		}
	}
	return false
}

func (l *diagListener) takes(s *sockdiag.Socket) bool {
	if l.device != 0 && l.device != s.Device {
		return false
	}
	addr := s.Local.Addr()
	if l.addr.IsUnspecified() {
		return l.addr.Is4() == addr.Is4() || l.addr.Is6() && !l.v6Only
	}
	return l.addr == addr
}
