package netns_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

func TestPrivateNamespace(t *testing.T) {
	tracertest.RequireRoot(t)
	own, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	p, err := netns.NewPrivate()
	if err != nil {
		t.Fatal(err)
	}
	var inside uint32
	err = p.Do(func() (err error) {
		inside, err = netns.Current()
		return err
	})
	if err != nil || inside != p.Inode() || inside == own {
		t.Errorf("inside %d of %d, own %d, error %v", inside, p.Inode(), own, err)
	}
	if err := p.Do(loopbackWorks); err != nil {
		t.Errorf("loopback: %v", err)
	}
	p.Leave()
	if now, err := netns.Current(); err != nil || now != own {
		t.Errorf("after it this thread is in %d, error %v; want %d", now, err, own)
	}
}

func loopbackWorks() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, []byte{0}, 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 9})
}
