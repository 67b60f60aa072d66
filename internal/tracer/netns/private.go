package netns

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Private is a network namespace that nobody else is in: a loopback device,
// which is up, and the kernel's default settings. It lives on a thread of its
// own and ends with it.
type Private struct {
	inode uint32
	calls chan func()
	ended chan struct{}
}

// NewPrivate makes a namespace. It needs CAP_SYS_ADMIN, and CAP_NET_ADMIN to
// raise the loopback.
func NewPrivate() (*Private, error) {
	p := &Private{calls: make(chan func()), ended: make(chan struct{})}
	made := make(chan error, 1)
	// The thread is never unlocked: it ends with its goroutine, in the
	// namespace that it made.
	goLocked(func() {
		defer close(p.ended)
		err := p.enter()
		made <- err
		if err != nil {
			return
		}
		for call := range p.calls {
			call()
		}
	})
	return p, <-made
}

func (p *Private) enter() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	if p.inode, err = Current(); err != nil {
		return err
	}
	return RaiseLoopback()
}

// Inode is the namespace's number.
func (p *Private) Inode() uint32 { return p.inode }

// Do runs fn on the namespace's thread. What fn opens belongs to the namespace
// and keeps it alive, from whatever thread it is used later.
func (p *Private) Do(fn func() error) error {
	done := make(chan error, 1)
	p.calls <- func() { done <- fn() }
	return <-done
}

// Leave ends the thread, and with it the namespace, unless something that was
// opened in it is still open. It may be called once; Do not any more.
func (p *Private) Leave() {
	close(p.calls)
	<-p.ended
}

// RaiseLoopback sets lo up in the calling thread's namespace, through an AF_UNIX
// socket: sock_ioctl (net/socket.c) hands interface requests of any family to the
// device layer.
func RaiseLoopback() (err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open unix socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}
