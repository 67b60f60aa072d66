package tracertest

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// player is the actor's side: it runs on its process's leader thread.
type player struct {
	fds   map[int]int
	next  int
	reply reply
	churn churn
}

// play does what it is told until nobody tells it any more.
func play(name string) int {
	runtime.LockOSThread()
	setName(name)
	p := &player{fds: map[int]int{}}
	in, out, err := control()
	if err != nil || p.inherit() != nil {
		return 1
	}
	for {
		var r request
		if err := in.Decode(&r); err != nil {
			if errors.Is(err, io.EOF) {
				return 0
			}
			return 1
		}
		p.reply = reply{PID: os.Getpid(), Slot: r.Slot}
		p.reply.Errno = errnoOf(p.obey(&r))
		if err := out.Encode(p.reply); err != nil {
			return 1
		}
		if r.Op == "exec" {
			sockets, _ := json.Marshal(p.fds)
			os.Setenv(actorEnv, r.Name)
			os.Setenv(socketsEnv, string(sockets))
			_ = unix.Exec("/proc/self/exe", os.Args, os.Environ())
		}
	}
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if err == nil {
		return 0
	}
	if !errors.As(err, &errno) {
		return syscall.EPROTO
	}
	return errno
}

func (p *player) add(fd int) {
	p.next++
	p.fds[p.next] = fd
	p.reply.Slot = p.next
}

// orders are what an actor can be told, by request.Op.
var orders = map[string]func(p *player, fd int, r *request) error{
	"hello":      func(*player, int, *request) error { return nil },
	"exec":       func(*player, int, *request) error { return nil }, // once it is answered
	"socket":     func(p *player, _ int, r *request) error { return p.socket(r.Name) },
	"bind":       func(_ *player, fd int, r *request) error { return unix.Bind(fd, sockaddr(r.Addr)) },
	"listen":     func(_ *player, fd int, r *request) error { return unix.Listen(fd, r.Arg) },
	"connect":    func(_ *player, fd int, r *request) error { return unix.Connect(fd, sockaddr(r.Addr)) },
	"disconnect": func(_ *player, fd int, _ *request) error { return disconnect(fd) },
	"state":      func(p *player, fd int, _ *request) error { return p.state(fd) },
	"dup":        func(p *player, fd int, _ *request) error { return p.dup(fd) },
	"fork":       func(p *player, _ int, r *request) error { return p.fork(r.Name, r.Addr) },
	"forkmany":   func(_ *player, _ int, r *request) error { return forkMany(r.Count) },
	"accept":     func(p *player, fd int, _ *request) error { return p.accept(fd) },
	"sendto": func(_ *player, fd int, r *request) error {
		return unix.Sendto(fd, []byte{1}, 0, sockaddr(r.Addr))
	},
	"set": func(_ *player, fd int, r *request) error { return unix.SetsockoptInt(fd, r.Arg, r.Arg2, r.Count) },
	"linger0": func(_ *player, fd int, _ *request) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	},
	"nonblock": func(_ *player, fd int, _ *request) error { return unix.SetNonblock(fd, true) },
	"shutdown": func(_ *player, fd int, r *request) error { return unix.Shutdown(fd, r.Arg) },
	"eof": func(_ *player, fd int, _ *request) error {
		_, err := unix.Read(fd, make([]byte, 1))
		return err
	},
	"close":       func(_ *player, fd int, _ *request) error { return unix.Close(fd) },
	"closeacked":  func(_ *player, fd int, _ *request) error { return closeAcked(fd) },
	"name":        func(p *player, fd int, _ *request) error { return p.name(fd) },
	"cookie":      func(p *player, fd int, _ *request) error { return p.cookie(fd) },
	"pass":        func(_ *player, fd int, r *request) error { return pass(fd, r.Name) },
	"receive":     func(p *player, _ int, r *request) error { return p.receive(r.Name) },
	"exhaust":     func(p *player, _ int, r *request) error { return p.exhaust(r) },
	"exhaustbind": func(p *player, _ int, r *request) error { return p.exhaustBind(r) },
	"repeat":      func(_ *player, _ int, r *request) error { return repeat(r) },
	"drop":        func(*player, int, *request) error { return dropCapabilities() },
	"user":        func(_ *player, _ int, r *request) error { return unix.Setfsuid(r.Arg) },
	"churn": func(p *player, _ int, r *request) error {
		p.churn.start(netip.MustParseAddrPort(r.Addr), r.Count)
		return nil
	},
	"calm": func(p *player, _ int, _ *request) error { return p.churn.stop(&p.reply) },
	"serve": func(_ *player, fd int, _ *request) error {
		go serve(fd)
		return nil
	},
	"forkconnect": func(p *player, fd int, r *request) error { return p.forkConnect(fd, r) },
	"threadconnect": func(_ *player, fd int, r *request) error {
		return onThread(r.Name, func() error { return unix.Connect(fd, sockaddr(r.Addr)) })
	},
}

func (p *player) obey(r *request) error {
	order, known := orders[r.Op]
	if !known {
		return syscall.ENOSYS
	}
	return order(p, p.fds[r.Slot], r)
}

func (p *player) socket(kind string) error {
	family, typ := unix.AF_INET, unix.SOCK_STREAM
	if strings.HasSuffix(kind, "6") {
		family = unix.AF_INET6
	}
	if strings.HasPrefix(kind, "udp") {
		typ = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, typ, 0) // not close-on-exec: it outlives an exec
	if err != nil {
		return err
	}
	p.add(fd)
	return nil
}

func (p *player) cookie(fd int) (err error) {
	p.reply.Cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	return err
}

func (p *player) accept(fd int) error {
	child, _, err := unix.Accept(fd)
	if err != nil {
		return err
	}
	p.add(child)
	return nil
}

func (p *player) name(fd int) error {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		p.reply.Addr = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
	case *unix.SockaddrInet6:
		p.reply.Addr = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)).String()
	}
	return nil
}

func sockaddr(s string) unix.Sockaddr {
	ap := netip.MustParseAddrPort(s)
	if ap.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16()}
}

// exhaust connects until the kernel refuses. It keeps the sockets open, or
// closes each before the peer does.
func (p *player) exhaust(r *request) error {
	for p.reply.Count < r.Count {
		if err := p.socket(TCP4); err != nil {
			return err
		}
		fd := p.fds[p.next]
		if err := unix.Connect(fd, sockaddr(r.Addr)); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		p.reply.Count++
		if r.Arg == 1 {
			if err := closeAcked(fd); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeAcked is [Socket.CloseAcked]. A peer that has closed already, or resets,
// leaves nothing to wait for.
func closeAcked(fd int) error {
	const finWait1 = 4 // include/net/tcp_states.h
	if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	for {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || info.State != finWait1 {
			return errors.Join(err, unix.Close(fd))
		}
		runtime.Gosched()
	}
}

func (p *player) exhaustBind(r *request) error {
	for p.reply.Count < r.Count {
		if err := p.socket(r.Name); err != nil {
			return err
		}
		if err := unix.Bind(p.fds[p.next], sockaddr(r.Addr)); err != nil {
			return errors.Join(err, unix.Close(p.fds[p.next]))
		}
		p.reply.Count++
	}
	return nil
}

func repeat(r *request) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := sockaddr(r.Addr)
	for range r.Count {
		err = unix.Bind(fd, to)
	}
	return err
}

// onThread runs f on a thread of its own that bears the name.
func onThread(name string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its name
		setName(name)
		done <- f()
	}()
	return <-done
}

func pass(fd int, path string) error {
	conn, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return err
	}
	defer unix.Close(conn)
	for { // the receiver may not listen yet
		if err = unix.Connect(conn, &unix.SockaddrUnix{Name: path}); !errors.Is(err, unix.ECONNREFUSED) {
			break
		}
		runtime.Gosched()
	}
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(conn, []byte{1}, unix.UnixRights(fd), nil, 0); err != nil {
		return err
	}
	return unix.Close(fd)
}

func (p *player) receive(path string) error {
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	if err := errors.Join(unix.Bind(listener, &unix.SockaddrUnix{Name: path}), unix.Listen(listener, 1)); err != nil {
		return err
	}
	conn, _, err := unix.Accept(listener)
	if err != nil {
		return err
	}
	defer unix.Close(conn)
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(conn, make([]byte, 1), oob, 0)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		return errors.Join(err, syscall.EPROTO)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	p.add(fds[0])
	return nil
}

// dropCapabilities gives up those of the calling thread, on which all calls of
// an actor are made.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}

// serve lets the clients close first.
func serve(fd int) {
	for {
		child, _, err := unix.Accept(fd)
		if err != nil {
			return
		}
		go func() {
			_, _ = unix.Read(child, make([]byte, 1))
			_ = unix.Close(child)
		}()
	}
}
