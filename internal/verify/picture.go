package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
)

// Socket is a socket that the kernel lists.
type Socket struct {
	sockdiag.Socket
	NetNS uint32
}

// Picture is what the kernel listed within a short time.
type Picture struct {
	Began, Ended event.Time // boot clock
	Sockets      []Socket
	// Namespaces are those that were listed: of all others nothing is known.
	Namespaces map[uint32]bool
	// BoundListed says that sockets which are bound and nothing else were
	// listed: kernels before 6.12 leave them out.
	BoundListed bool
}

// List asks sock_diag for the sockets of every network namespace, or of those
// given only. A namespace that ends meanwhile is left out; one that may not be
// entered is an error.
func List(ctx context.Context, only ...uint32) (*Picture, error) {
	bound, err := listsBound(ctx)
	if err != nil {
		return nil, err
	}
	listing, err := netns.List("/proc")
	if err != nil {
		return nil, fmt.Errorf("list sockets: %w", err)
	}
	p := &Picture{Began: bootNow(), Namespaces: map[uint32]bool{}, BoundListed: bound}
	for _, ns := range listing.Namespaces {
		if len(only) > 0 && !slices.Contains(only, ns.Inode) {
			continue
		}
		err := p.add(ctx, ns)
		if errors.Is(err, netns.ErrGone) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list sockets of namespace %d: %w", ns.Inode, err)
		}
		p.Namespaces[ns.Inode] = true
	}
	p.Ended = bootNow()
	return p, nil
}

func (p *Picture) add(ctx context.Context, ns netns.Namespace) error {
	for _, protocol := range [...]event.Protocol{event.TCP, event.UDP} {
		err := sockdiag.DumpIn(ctx, ns, sockdiag.Request{Protocol: protocol}, func(s *sockdiag.Socket) error {
			p.Sockets = append(p.Sockets, Socket{Socket: *s, NetNS: ns.Inode})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// listsBound tries in a namespace of its own whether the kernel lists a socket
// that is bound and nothing else.
func listsBound(ctx context.Context) (listed bool, err error) {
	private, err := netns.NewPrivate()
	if err != nil {
		return false, fmt.Errorf("list sockets: %w", err)
	}
	defer private.Leave()
	err = private.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
			return err
		}
		conn, err := sockdiag.Open()
		if err != nil {
			return err
		}
		err = conn.Dump(ctx, sockdiag.Request{Protocol: event.TCP}, func(s *sockdiag.Socket) error {
			listed = listed || s.State == event.StateBound
			return nil
		})
		return errors.Join(err, conn.Close())
	})
	if err != nil {
		return false, fmt.Errorf("list a bound socket: %w", err)
	}
	return listed, nil
}

// bootNow is the clock of events.
func bootNow() event.Time {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return event.Time(ts.Nano())
}
