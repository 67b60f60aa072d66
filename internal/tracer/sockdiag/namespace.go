package sockdiag

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/tracer/netns"
)

// checkNamespace makes sure that nl belongs to the calling thread's network
// namespace. Where the kernel has no namespace cookies (before 5.14) nothing
// can be said, and nothing is.
func checkNamespace(nl *netlink.Conn) error {
	want, err := netns.Cookie()
	if errors.Is(err, unix.ENOPROTOOPT) {
		return nil
	}
	if err != nil {
		return err
	}
	got, err := cookieOf(nl)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("socket is in network namespace with cookie %d, its thread in %d", got, want)
	}
	return nil
}

func cookieOf(nl *netlink.Conn) (cookie uint64, err error) {
	raw, err := nl.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		cookie, failed = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	})
	return cookie, errors.Join(err, failed)
}
