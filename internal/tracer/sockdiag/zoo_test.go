package sockdiag_test

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

var (
	loopback  = [4]byte{127, 0, 0, 1}
	loopback2 = [4]byte{127, 0, 0, 2}
	mapped    = netip.MustParseAddr("::ffff:127.0.0.2").As16()
)

// sockets makes sockets in the namespace of the calling thread, keeps them
// open until the test ends, and collects the first error.
type sockets struct {
	fds []int
	err error
}

func (s *sockets) open(family, kind int) int {
	if s.err != nil {
		return -1
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	s.keep("socket", err)
	s.fds = append(s.fds, fd)
	return fd
}

func (s *sockets) keep(what string, err error) {
	if s.err == nil && err != nil {
		s.err = fmt.Errorf("%s: %w", what, err)
	}
}

func (s *sockets) bind(family, kind int, addr unix.Sockaddr) int {
	fd := s.open(family, kind)
	s.keep("bind", unix.Bind(fd, addr))
	return fd
}

func (s *sockets) listen(family int, addr unix.Sockaddr) int {
	fd := s.bind(family, unix.SOCK_STREAM, addr)
	s.keep("listen", unix.Listen(fd, 4))
	return fd
}

// connect connects from a fixed port and returns both ends.
func (s *sockets) connect(family int, from, to unix.Sockaddr, listener int) (client, server int) {
	client = s.bind(family, unix.SOCK_STREAM, from)
	s.keep("connect", unix.Connect(client, to))
	server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	s.keep("accept", err)
	s.fds = append(s.fds, server)
	return client, server
}

func (s *sockets) close(fd int) {
	s.keep("close", unix.Close(fd))
	s.fds = slices.DeleteFunc(s.fds, func(open int) bool { return open == fd })
}

func (s *sockets) closeAll() {
	for _, fd := range s.fds {
		_ = unix.Close(fd)
	}
}

func v4(addr [4]byte, port int) unix.Sockaddr { return &unix.SockaddrInet4{Addr: addr, Port: port} }

func v6(addr [16]byte, port int) unix.Sockaddr { return &unix.SockaddrInet6{Addr: addr, Port: port} }

// zoo opens one socket of each kind.
func (s *sockets) zoo() error {
	listener := s.listen(unix.AF_INET, v4(loopback, 8080))
	s.connect(unix.AF_INET, v4(loopback2, 1001), v4(loopback, 8080), listener)
	client, server := s.connect(unix.AF_INET, v4(loopback2, 1002), v4(loopback, 8080), listener)
	s.close(client) // first, so the TIME_WAIT is the client's
	s.close(server)

	dual := s.listen(unix.AF_INET6, v6([16]byte{}, 8086))
	s.connect(unix.AF_INET6, v6(mapped, 1003), v4As6(loopback, 8086), dual)

	s.bind(unix.AF_INET, unix.SOCK_STREAM, v4(loopback, 1004))
	s.bind(unix.AF_INET, unix.SOCK_DGRAM, v4(loopback, 1005))
	udp := s.bind(unix.AF_INET, unix.SOCK_DGRAM, v4(loopback, 1006))
	s.keep("connect", unix.Connect(udp, v4(loopback, 1005)))
	return s.err
}

func v4As6(addr [4]byte, port int) unix.Sockaddr {
	return v6(netip.AddrFrom16(netip.AddrFrom4(addr).As16()).As16(), port)
}
