package tracer

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// The sockets of the self-test. All of these run on the namespace's thread.

func loopback4(port int) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

func loopback6(port int) unix.Sockaddr {
	return &unix.SockaddrInet6{Port: port, Addr: [16]byte{15: 1}}
}

// socket makes a socket that leave closes.
func (r *rehearsal) socket(family, kind int) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make socket: %w", err)
	}
	r.fds = append(r.fds, fd)
	return fd, nil
}

// close closes a socket before leave does.
func (r *rehearsal) close(fd int) error {
	r.fds = slices.DeleteFunc(r.fds, func(open int) bool { return open == fd })
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

func (r *rehearsal) listener(port, backlog int) (int, error) {
	fd, err := r.socket(unix.AF_INET, unix.SOCK_STREAM)
	if err != nil {
		return -1, err
	}
	if err := errors.Join(unix.Bind(fd, loopback4(port)), unix.Listen(fd, backlog)); err != nil {
		return -1, fmt.Errorf("listen on port %d: %w", port, err)
	}
	return fd, nil
}

// connectOne makes a socket and connects it: its fd is the last of r.fds.
func (r *rehearsal) connectOne(family, kind int, to unix.Sockaddr) (port uint16, err error) {
	fd, err := r.socket(family, kind)
	if err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, to); err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	return portOf(fd)
}

// sendOne makes a UDP socket and sends a byte.
func (r *rehearsal) sendOne(family int, to unix.Sockaddr) (port uint16, fd int, err error) {
	if fd, err = r.socket(family, unix.SOCK_DGRAM); err != nil {
		return 0, -1, err
	}
	if err := unix.Sendto(fd, []byte{0}, 0, to); err != nil {
		return 0, fd, fmt.Errorf("send: %w", err)
	}
	port, err = portOf(fd)
	return port, fd, err
}

func portOf(fd int) (uint16, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, fmt.Errorf("ask for port: %w", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(sa.Port), nil
	case *unix.SockaddrInet6:
		return uint16(sa.Port), nil
	}
	return 0, errors.New("ask for port: not an internet socket")
}

// The facts that the acts expect.

// allocated recognises the allocation of a port, by any request if origin is
// OriginUnknown.
func allocated(port uint16, origin event.Origin) func(*event.Event) bool {
	return func(ev *event.Event) bool {
		return ev.Kind == event.KindAllocate && ev.Lease.Local.Port() == port &&
			(origin == event.OriginUnknown || ev.Lease.Origin == origin)
	}
}

// releaseOf recognises the end of a lease by its port.
func released(port uint16, cause event.Cause) func(*event.Event) bool {
	return func(ev *event.Event) bool {
		return ev.Kind == event.KindRelease && ev.Lease.Local.Port() == port && ev.Cause == cause
	}
}

func refusedWith(operation event.Operation, errno event.Errno, reason event.Reason) func(*event.Event) bool {
	return func(ev *event.Event) bool {
		f := ev.Failure
		return f != nil && f.Operation == operation && f.Errno == errno && f.Reason == reason
	}
}
