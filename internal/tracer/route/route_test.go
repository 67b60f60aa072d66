package route_test

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/tracer/route"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

func TestFind(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.AddAddress(netip.MustParseAddr("10.1.2.3"))
	for to, source := range map[string]string{
		"127.0.0.1": "127.0.0.1", "127.0.0.9": "127.0.0.1", "10.1.2.3": "10.1.2.3", "::1": "::1", "::ffff:10.1.2.3": "10.1.2.3",
	} {
		ns.Do(func() error {
			r, err := route.Find(netip.MustParseAddr(to), 0)
			if r.Source != netip.MustParseAddr(source) {
				t.Errorf("to %s: from %v, want %s", to, r.Source, source)
			}
			return err
		})
	}
	for _, to := range []string{"203.0.113.1", "2001:db8::1"} {
		ns.Do(func() error {
			if r, err := route.Find(netip.MustParseAddr(to), 0); !errors.Is(err, unix.ENETUNREACH) {
				t.Errorf("to %s: %+v, %v; want ENETUNREACH", to, r, err)
			}
			return nil
		})
	}
}

// What is local is what bind() takes for it.
func TestIsLocal(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.AddAddress(netip.MustParseAddr("10.1.2.3"))
	for _, word := range []string{
		"0.0.0.0", "127.0.0.1", "127.9.9.9", "10.1.2.3", "10.1.2.4", "10.255.255.255", "255.255.255.255", "203.0.113.1",
		"224.0.0.1", "0.0.0.7", "::", "::1", "2001:db8::1",
	} {
		addr := netip.MustParseAddr(word)
		ns.Do(func() error {
			got, err := route.IsLocal(addr)
			if want := bind(addr); got != (want == nil) {
				t.Errorf("%s is local: %v, and bind() says %v", addr, got, want)
			}
			return err
		})
	}
}

// bind binds a socket to any port of the address, in a namespace of the test's own.
func bind(addr netip.Addr) error {
	family := unix.AF_INET6
	var to unix.Sockaddr = &unix.SockaddrInet6{Addr: addr.As16()}
	if addr.Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Addr: addr.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, to)
}
