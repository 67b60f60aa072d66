package sockdiag

import (
	"net/netip"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// Timer is what a socket waits for (idiag_timer).
type Timer uint8

// The timers of a socket, by their numbers (inet_sk_diag_fill,
// net/ipv4/inet_diag.c).
const (
	TimerNone       Timer = 0
	TimerRetransmit Timer = 1
	TimerKeepalive  Timer = 2
	TimerTimeWait   Timer = 3
	TimerProbe      Timer = 4 // zero window
)

// Socket is one socket as the kernel listed it.
type Socket struct {
	Protocol event.Protocol
	// Family is that of the addresses: a v4-mapped one is IPv4 and unmapped.
	Family event.Family
	State  event.State
	// Substate is that of a mini-socket, whose State is TIME_WAIT.
	Substate event.Substate
	Local    netip.AddrPort
	Remote   netip.AddrPort // invalid while there is no far end
	Device   uint32         // interface index that the socket is bound to, 0 for none
	Cookie   uint64         // as SO_COOKIE and the BPF helpers give it
	// Inode is that of the socket's file; 0 if it has none: a mini-socket, an
	// orphan, a connection that was not accepted yet.
	Inode uint32
	// UID is the file owner's and means nothing while Inode is 0: for a socket
	// without a file many kernels print 0, which is root's (sock_i_uid,
	// net/core/sock.c).
	UID uint32
	// Timer runs out after Expires, which has a resolution of a millisecond.
	// For TIME_WAIT it is when the port comes back.
	Timer   Timer
	Expires time.Duration
	// CgroupID is the cgroup2 group in which the socket was created; 0 if the
	// kernel did not tell, as for mini-sockets.
	CgroupID uint64
	// V6Only tells whether an IPv6 socket refuses IPv4 (IPV6_V6ONLY). It is
	// told for LISTEN, BOUND and UNCONNECTED sockets only; false elsewhere.
	V6Only bool
	// ReceiveQueue is the bytes not read yet; of a listener, the connections
	// not accepted yet. SendQueue is the bytes not acknowledged yet; of a
	// listener, the limit of ReceiveQueue.
	ReceiveQueue, SendQueue uint32
}
