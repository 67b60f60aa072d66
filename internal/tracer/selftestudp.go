package tracer

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// The acts of the self-test with UDP.

func (r *rehearsal) send() error {
	port, fd, err := r.sendOne(unix.AF_INET, loopback4(discardPort))
	if err != nil {
		return err
	}
	r.expect("pw_sendmsg4", "a UDP port taken by a send", allocated(port, 0))
	r.expect("pw_sock_release", "the release of a UDP port", released(port, event.CauseClosed))
	return r.close(fd)
}

func (r *rehearsal) sendSix() error {
	port, _, err := r.sendOne(unix.AF_INET6, loopback6(discardPort))
	if err != nil {
		return err
	}
	r.expect("pw_sendmsg6", "a UDP port taken by a send on IPv6", allocated(port, 0))
	return nil
}

func (r *rehearsal) connectUDP() error {
	port, err := r.connectOne(unix.AF_INET, unix.SOCK_DGRAM, loopback4(discardPort))
	r.expectIf(err, "pw_connect4", "a UDP port taken by connect()", port)
	return err
}

func (r *rehearsal) connectUDPSix() error {
	port, err := r.connectOne(unix.AF_INET6, unix.SOCK_DGRAM, loopback6(discardPort))
	r.expectIf(err, "pw_connect6", "a UDP port taken by connect() on IPv6", port)
	return err
}

// expectIf expects the port's allocation, with its owner, if the call worked:
// without the hook, the walk would bring the port but not who took it.
func (r *rehearsal) expectIf(err error, program, fact string, port uint16) {
	if err != nil {
		return
	}
	took := allocated(port, 0)
	r.expect(program, fact, func(ev *event.Event) bool {
		return took(ev) && ev.Lease.Owner.PID == uint32(os.Getpid())
	})
}
