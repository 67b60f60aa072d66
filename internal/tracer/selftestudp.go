package tracer

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// The acts of the self-test with UDP.

func (r *rehearsal) send() error {
	port, fd, err := r.sendOne(unix.AF_INET, loopback4(discardPort))
	if err != nil {
		return err
	}
	r.expect("a UDP port taken by a send", allocated(port, 0), "pw_sendmsg4", "pw_autobind")
	r.expect("the release of a UDP port", released(port, event.CauseClosed), "pw_sock_release", "pw_udp_unhash")
	return r.close(fd)
}

func (r *rehearsal) sendSix() error {
	port, _, err := r.sendOne(unix.AF_INET6, loopback6(discardPort))
	if err != nil {
		return err
	}
	r.expect("a UDP port taken by a send on IPv6", allocated(port, 0), "pw_sendmsg6")
	return nil
}

func (r *rehearsal) connectUDP() error {
	port, err := r.connectOne(unix.AF_INET, unix.SOCK_DGRAM, loopback4(discardPort))
	if err != nil {
		return err
	}
	r.expectOwn("a UDP port taken by connect()", port, "pw_connect4", "pw_dgram_connect", "pw_dgram_connect_x")
	return nil
}

func (r *rehearsal) connectUDPSix() error {
	port, err := r.connectOne(unix.AF_INET6, unix.SOCK_DGRAM, loopback6(discardPort))
	if err != nil {
		return err
	}
	r.expectOwn("a UDP port taken by connect() on IPv6", port, "pw_connect6")
	return nil
}

// disconnectUDP gives a port back that connect() had taken.
func (r *rehearsal) disconnectUDP() error {
	port, err := r.connectOne(unix.AF_INET, unix.SOCK_DGRAM, loopback4(discardPort))
	if err != nil {
		return err
	}
	unspecified := [16]byte{unix.AF_UNSPEC}
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(r.fds[len(r.fds)-1]), uintptr(unsafe.Pointer(&unspecified)), uintptr(len(unspecified)))
	if errno != 0 {
		return fmt.Errorf("disconnect: %w", errno)
	}
	r.expect("the release of a disconnected UDP port", released(port, event.CauseDisconnected), "pw_udp_disconnect")
	return nil
}

// expectOwn expects the port's allocation with its owner: without the hook, the
// walk would bring the port but not who took it.
func (r *rehearsal) expectOwn(fact string, port uint16, programs ...string) {
	took := allocated(port, 0)
	r.expect(fact, func(ev *event.Event) bool {
		return took(ev) && ev.Lease.Owner.PID == uint32(os.Getpid())
	}, programs...)
}
