package sockdiag

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/tracer/netns"
)

var (
	// ErrUnavailable says that this kernel has no sock_diag for the protocol:
	// the modules inet_diag, tcp_diag or udp_diag are missing and cannot be
	// loaded.
	ErrUnavailable = errors.New("sock_diag is not available")
	// ErrInterrupted says that the tables changed under a dump so that it
	// holds too much or too little (NLM_F_DUMP_INTR). What was listed was
	// there.
	ErrInterrupted = errors.New("dump was interrupted by a change")
)

// receiveBuffer is how much the kernel may hand over at once. It fills no more
// than 32 KiB (netlink_recvmsg, net/netlink/af_netlink.c), and starts with
// less.
const receiveBuffer = 32 << 10

// Conn is a sock_diag connection to one network namespace. It serves one dump
// at a time.
type Conn struct {
	nl *netlink.Conn
}

// Open connects to the namespace of the calling thread. A socket that landed
// in another one is an error: the netlink library enters the thread's
// namespace on a best-effort basis only.
func Open() (*Conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, &netlink.Config{MessageBufferSize: receiveBuffer})
	if err != nil {
		return nil, fmt.Errorf("open sock_diag: %w", unavailable(err))
	}
	if err := checkNamespace(nl); err != nil {
		return nil, errors.Join(fmt.Errorf("open sock_diag: %w", err), nl.Close())
	}
	return &Conn{nl: nl}, nil
}

// Close ends the connection, and with it all that refers to its namespace.
func (c *Conn) Close() error { return c.nl.Close() }

// DumpIn lists the sockets of a namespace, through a connection that exists
// only meanwhile. fn runs on a thread inside the namespace.
func DumpIn(ctx context.Context, ns netns.Namespace, r Request, fn func(*Socket) error) error {
	return netns.Do(ns.Path, ns.Inode, func() (err error) {
		c, err := Open()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		return c.Dump(ctx, r, fn)
	})
}

// Dump calls fn for each socket. The kernel lists them bucket by bucket, so
// the whole is no picture of one moment: a socket that moves meanwhile may be
// listed twice or not at all. The Socket is fn's until it returns. An error of
// fn ends the dump and is returned as it is; after any other error but
// [ErrInterrupted] the connection must be closed, answers may be under way.
func (c *Conn) Dump(ctx context.Context, r Request, fn func(*Socket) error) error {
	families, err := r.families()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.nl.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	interrupted := false
	for _, family := range families {
		err := c.dump(ctx, &r, family, fn)
		if errors.Is(err, ErrInterrupted) {
			interrupted = true
			continue
		}
		if err != nil {
			return err
		}
	}
	if interrupted {
		return fmt.Errorf("list %s sockets: %w", r.Protocol, ErrInterrupted)
	}
	return nil
}

// dump lists the sockets of one family.
func (c *Conn) dump(ctx context.Context, r *Request, family uint8, fn func(*Socket) error) error {
	request, err := c.nl.Send(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump},
		Data:   r.encode(family),
	})
	if err != nil {
		return fmt.Errorf("list %s sockets: %w", r.Protocol, unavailable(err))
	}
	var flags netlink.HeaderFlags
	for m, err := range c.nl.ReceiveIter() {
		if cause := ctx.Err(); cause != nil {
			return cause
		}
		if err != nil {
			return fmt.Errorf("list %s sockets: %w", r.Protocol, unavailable(err))
		}
		flags |= m.Header.Flags
		if m.Header.Sequence != request.Header.Sequence {
			return fmt.Errorf("list %s sockets: answer %d to request %d",
				r.Protocol, m.Header.Sequence, request.Header.Sequence)
		}
		if err := deliver(m.Data, r, fn); err != nil {
			return err
		}
	}
	if flags&netlink.DumpInterrupted != 0 {
		return ErrInterrupted
	}
	return nil
}

// deliver hands one message to fn if it was asked for.
func deliver(msg []byte, r *Request, fn func(*Socket) error) error {
	s, err := parse(msg, r.Protocol)
	if err != nil || !r.wants(s.State) {
		return err
	}
	return fn(&s)
}

// unavailable marks the errors by which a kernel says that it has no
// sock_diag, or no handler for a family or protocol: no netlink protocol, an
// unknown message type, no module.
func unavailable(err error) error {
	for _, errno := range [...]unix.Errno{unix.EPROTONOSUPPORT, unix.EOPNOTSUPP, unix.ENOENT} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return err
}
