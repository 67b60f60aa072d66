package tracertest

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Churn makes the actor open connections and close them before the peer does, as
// fast as it can, to so many addresses in turn, one after another from addr on.
// It goes on until Calm; the actor does other things meanwhile.
func (a *Actor) Churn(addr netip.AddrPort, addresses int) {
	a.tb.Helper()
	if answer := a.do(request{Op: "churn", Addr: addr.String(), Count: addresses}); answer.Errno != 0 {
		a.tb.Fatalf("actor: churn: %v", answer.Errno)
	}
}

// Calm ends the churn and says how many connections it made, and what refused
// the last one that was not to be had, if any was.
func (a *Actor) Calm() (connections int, refused error) {
	a.tb.Helper()
	answer := a.do(request{Op: "calm"})
	if answer.Errno != 0 {
		refused = answer.Errno
	}
	return answer.Count, refused
}

// churn is the load that an actor makes beside its orders.
type churn struct {
	worker sync.WaitGroup
	ending atomic.Bool
	made   int
	err    error
}

func (c *churn) start(first netip.AddrPort, addresses int) {
	var to []unix.Sockaddr
	for addr := first.Addr(); len(to) < addresses; addr = addr.Next() {
		to = append(to, sockaddr(netip.AddrPortFrom(addr, first.Port()).String()))
	}
	c.worker.Go(func() {
		for i := 0; !c.ending.Load(); i++ {
			if err := visit(to[i%len(to)]); err != nil {
				c.err = err
			} else {
				c.made++
			}
		}
	})
}

// stop ends the load; it may never have begun.
func (c *churn) stop(answer *reply) error {
	c.ending.Store(true)
	c.worker.Wait()
	answer.Count = c.made
	return c.err
}

// visit opens a connection and closes it first. The peer's answer paces it: a
// full accept queue would make the next connect() wait for a second.
func visit(to unix.Sockaddr) (err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	if err := unix.Connect(fd, to); err != nil {
		return err
	}
	if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
		return err
	}
	_, err = unix.Read(fd, make([]byte, 1))
	return err
}
