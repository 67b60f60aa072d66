package tracertest

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ForkWay is a way to make a process.
type ForkWay int

// The ways of ForkToConnect.
const (
	ForkPlain    ForkWay = iota
	ForkOnThread         // by a thread that is not the leader
	ForkAsSister         // CLONE_PARENT: the child is the actor's parent's
)

// ForkToConnect makes the actor fork a child whose first system call is
// connect(2) on the socket, to an IPv4 address, and whose second is exit(2). It
// returns the child's process id when it has ended, and what connect answered.
func (s *Socket) ForkToConnect(way ForkWay, addr netip.AddrPort) (pid int, errno syscall.Errno) {
	s.actor.tb.Helper()
	answer := s.actor.do(request{Op: "forkconnect", Slot: s.slot, Addr: addr.String(), Arg: int(way)})
	if way != ForkAsSister || answer.PID == 0 {
		return answer.PID, answer.Errno
	}
	if err := reap(answer.PID); err != nil {
		errno = errnoOf(err)
	}
	return answer.PID, errno
}

// ForkMany makes the actor fork so many children, one after another, that do
// nothing.
func (a *Actor) ForkMany(count int) {
	a.tb.Helper()
	if answer := a.do(request{Op: "forkmany", Count: count}); answer.Errno != 0 {
		a.tb.Fatalf("actor: fork: %v", answer.Errno)
	}
}

func (p *player) forkConnect(fd int, r *request) error {
	p.reply.PID = 0
	sa := unix.RawSockaddrInet4{Family: unix.AF_INET}
	to := netip.MustParseAddrPort(r.Addr)
	sa.Addr = to.Addr().As4()
	port := (*[2]byte)(unsafe.Pointer(&sa.Port))
	port[0], port[1] = byte(to.Port()>>8), byte(to.Port())
	fork := func() error {
		var flags uintptr
		if ForkWay(r.Arg) == ForkAsSister {
			flags = unix.CLONE_PARENT
		}
		pid, errno := rawFork(flags, uintptr(fd), &sa)
		if errno != 0 {
			return errno
		}
		p.reply.PID = pid
		if flags != 0 {
			return nil
		}
		return reap(pid)
	}
	if ForkWay(r.Arg) == ForkOnThread {
		return onThread("forker", fork)
	}
	return fork()
}

func forkMany(count int) error {
	var nowhere unix.RawSockaddrInet4
	for range count {
		pid, errno := rawFork(0, ^uintptr(0), &nowhere)
		if errno != 0 {
			return errno
		}
		if err := reap(pid); err != nil && errnoOf(err) != unix.EBADF {
			return err
		}
	}
	return nil
}

// rawFork is fork(2) without Go: the child connects and ends with the errno.
//
//go:norace
//go:nosplit
func rawFork(flags, fd uintptr, to *unix.RawSockaddrInet4) (pid int, errno syscall.Errno) {
	child, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || child != 0 {
		return int(child), errno
	}
	_, _, errno = unix.RawSyscall(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(to)), unsafe.Sizeof(*to))
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(errno), 0, 0)
	}
}

// reap waits for a child and returns the errno that it ended with.
func reap(pid int) error {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if !status.Exited() {
			return syscall.EPROTO
		}
		if code := status.ExitStatus(); code != 0 {
			return syscall.Errno(code)
		}
		return nil
	}
}
