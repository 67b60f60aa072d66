package tracer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// act is something done in the private namespace, on its thread, with the
// hooks that it proves.
type act struct {
	name   string
	proves []string
	do     func(*rehearsal) error
	wait   bool // the next act builds on the fact
}

// The ports of the self-test; nobody else is in the namespace.
const (
	servedPort   = 20001
	closedPort   = 20002
	sixPort      = 20003
	crowdedPort  = 20004
	discardPort  = 9 // nobody listens there
	firstOfRange = 20100
	lastOfRange  = 20101
)

var acts = [...]act{
	{"connect() whose SYN nobody answers", []string{"pw_retransmit"}, (*rehearsal).connectToCrowd, false},
	{"bind() and close()", []string{"pw_post_bind4", "pw_bind4", "pw_destroy"}, (*rehearsal).bindAndClose, false},
	{"bind() on IPv6", []string{"pw_post_bind6", "pw_bind6"}, (*rehearsal).bindSix, false},
	{"bind() with half an address", []string{"pw_bind4_outer", "pw_bind6_outer"}, (*rehearsal).bindShort, false},
	{"listen() without bind()", []string{"pw_listen_x", "pw_get_port"}, (*rehearsal).listenUnbound, false},
	{"UDP send", []string{"pw_sendmsg4", "pw_autobind", "pw_sock_release", "pw_udp_unhash"}, (*rehearsal).send, false},
	{"UDP send on IPv6", []string{"pw_sendmsg6"}, (*rehearsal).sendSix, false},
	{"UDP connect()", []string{"pw_connect4", "pw_dgram_connect", "pw_dgram_connect_x"}, (*rehearsal).connectUDP, false},
	{"UDP connect() on IPv6", []string{"pw_connect6"}, (*rehearsal).connectUDPSix, false},
	{"UDP connect(AF_UNSPEC)", []string{"pw_udp_disconnect"}, (*rehearsal).disconnectUDP, false},
	{"connect() on IPv6", []string{"pw_hash_connect6"}, (*rehearsal).connectSix, false},
	{
		"connect(), closed by the client first",
		[]string{"pw_set_state", "pw_hash_connect4", "pw_stream_connect", "pw_stream_connect_outer"},
		(*rehearsal).connectAndClose, true,
	},
	{"the peer's close()", []string{"pw_timer_cancel", "pw_tw_schedule"}, (*rehearsal).closePeer, true},
	{"close() without room for a TIME_WAIT", []string{"pw_tw_alloc"}, (*rehearsal).overflow, false},
	{"listen() on what is connected", []string{"pw_listen_outer"}, (*rehearsal).listenConnected, false},
	{"bind() to a held port", []string{"pw_bind_x", "pw_bind4"}, (*rehearsal).bindHeld, false},
	{
		"connect() and UDP send without a port left",
		[]string{"pw_connect_x", "pw_hash_connect4", "pw_send_x", "pw_autobind"},
		(*rehearsal).exhaust, false,
	},
}

// connectToCrowd leaves a SYN unanswered: the listener takes one connection,
// and nobody accepts it (tcp_conn_request drops what finds the queue full).
func (r *rehearsal) connectToCrowd() error {
	if _, err := r.listener(crowdedPort, 0); err != nil {
		return err
	}
	for range 4 {
		fd, err := r.socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK)
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, loopback4(crowdedPort)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
			return fmt.Errorf("connect: %w", err)
		}
	}
	fd, err := r.socket(unix.AF_INET, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	r.blocked = make(chan struct{})
	go func() {
		defer close(r.blocked)
		_ = unix.Connect(fd, loopback4(crowdedPort)) // until leave shuts the socket down
	}()
	// Only an allocation that no system call told bears no thread.
	r.expect("a port in SYN_SENT", func(ev *event.Event) bool {
		return ev.Kind == event.KindAllocate && ev.Lease.Remote.Port() == crowdedPort && ev.Thread.TID == 0
	}, "pw_retransmit")
	return nil
}

func (r *rehearsal) bindAndClose() error {
	fd, err := r.socket(unix.AF_INET, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, loopback4(closedPort)); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	r.expect("a bound port", allocated(closedPort, event.OriginBind), "pw_post_bind4", "pw_bind4")
	r.expect("the release of a bound port", released(closedPort, event.CauseClosed), "pw_destroy")
	return r.close(fd)
}

func (r *rehearsal) bindSix() error {
	fd, err := r.socket(unix.AF_INET6, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, loopback6(sixPort)); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	r.expect("a port bound on IPv6", allocated(sixPort, event.OriginBind), "pw_post_bind6", "pw_bind6")
	return nil
}

// bindShort asks with an address that is too short to look at.
func (r *rehearsal) bindShort() error {
	for family, program := range map[int]string{unix.AF_INET: "pw_bind4_outer", unix.AF_INET6: "pw_bind6_outer"} {
		fd, err := r.socket(family, unix.SOCK_STREAM)
		if err != nil {
			return err
		}
		half := [8]byte{byte(family)}
		_, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&half)), uintptr(len(half)))
		if errno != unix.EINVAL {
			return fmt.Errorf("bind: %w is not the refusal that was expected", errno)
		}
		refused := refusedWith(event.OperationBind, event.EINVAL, event.ReasonOther)
		r.expect("a bind() refused for its address's length", func(ev *event.Event) bool {
			return refused(ev) && (ev.Failure.Family == event.IPv4) == (family == unix.AF_INET)
		}, program)
	}
	return nil
}

func (r *rehearsal) listenUnbound() error {
	fd, err := r.socket(unix.AF_INET, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	if err := unix.Listen(fd, 1); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	r.expect("a port given by listen()", func(ev *event.Event) bool {
		return ev.Kind == event.KindAllocate && ev.Lease.Origin == event.OriginListen
	}, "pw_listen_x", "pw_get_port")
	return nil
}

// connectSix connects over IPv6.
func (r *rehearsal) connectSix() error {
	fd, err := r.socket(unix.AF_INET6, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Bind(fd, loopback6(servedPort)), unix.Listen(fd, 1)); err != nil {
		return fmt.Errorf("listen on IPv6: %w", err)
	}
	port, err := r.connectOne(unix.AF_INET6, unix.SOCK_STREAM, loopback6(servedPort))
	if err != nil {
		return err
	}
	r.expect("a port taken by connect() on IPv6", allocated(port, event.OriginConnect), "pw_hash_connect6")
	return nil
}

// connectAndClose bears a TIME_WAIT in sub-state fin_wait2: the peer stays
// open. Its time-out is made to differ from that of the true TIME_WAIT: a timer
// that is set anew within its slot of the wheel is not taken off it, and no
// tracepoint tells (__mod_timer, kernel/time/timer.c).
func (r *rehearsal) connectAndClose() error {
	if err := os.WriteFile("/proc/sys/net/ipv4/tcp_fin_timeout", []byte("20"), 0); err != nil {
		return err
	}
	server, err := r.listener(servedPort, 16)
	if err != nil {
		return err
	}
	port, err := r.connectOne(unix.AF_INET, unix.SOCK_STREAM, loopback4(servedPort))
	if err != nil {
		return err
	}
	client := r.fds[len(r.fds)-1]
	peer, _, err := unix.Accept4(server, unix.SOCK_CLOEXEC)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	r.fds = append(r.fds, peer)
	r.expect("a port taken by connect()", allocated(port, event.OriginConnect), "pw_set_state", "pw_hash_connect4")
	// Only the end of connect() knows the thread.
	r.expect("a port with the thread that took it", func(ev *event.Event) bool {
		return ev.Kind == event.KindAllocate && ev.Lease.Local.Port() == port && ev.Thread.TID != 0
	}, "pw_stream_connect", "pw_stream_connect_outer")
	r.expect("the birth of a TIME_WAIT", func(ev *event.Event) bool {
		born := ev.Kind == event.KindTimeWait && ev.Lease.Local.Port() == port && ev.Lease.Substate == event.SubstateFinWait2
		if born {
			r.waiting = ev.Lease.ID
		}
		return born
	}, "pw_set_state")
	return r.close(client)
}

// closePeer sends the FIN for which the sub-state waits: its timer is set
// anew.
func (r *rehearsal) closePeer() error {
	if r.waiting == (event.LeaseID{}) {
		return errors.New("no TIME_WAIT was born")
	}
	r.expect("the renewal of a TIME_WAIT", func(ev *event.Event) bool {
		return ev.Kind == event.KindTimeWait && ev.From == event.StateTimeWait && ev.Lease.ID == r.waiting
	}, "pw_timer_cancel", "pw_tw_schedule")
	return r.close(r.fds[len(r.fds)-1])
}

// overflow closes a connection when no TIME_WAIT is permitted, from here on.
func (r *rehearsal) overflow() error {
	if err := os.WriteFile("/proc/sys/net/ipv4/tcp_max_tw_buckets", []byte("0"), 0); err != nil {
		return err
	}
	port, err := r.connectOne(unix.AF_INET, unix.SOCK_STREAM, loopback4(servedPort))
	if err != nil {
		return err
	}
	r.expect("a TIME_WAIT without room", released(port, event.CauseOverflow), "pw_tw_alloc")
	return r.close(r.fds[len(r.fds)-1])
}

func (r *rehearsal) listenConnected() error {
	if _, err := r.connectOne(unix.AF_INET, unix.SOCK_STREAM, loopback4(servedPort)); err != nil {
		return err
	}
	if err := unix.Listen(r.fds[len(r.fds)-1], 1); !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("listen: %w is not the refusal that was expected", err)
	}
	r.expect("a listen() refused for the socket's state",
		refusedWith(event.OperationListen, event.EINVAL, event.ReasonOther), "pw_listen_x", "pw_listen_outer")
	return nil
}

func (r *rehearsal) bindHeld() error {
	fd, err := r.socket(unix.AF_INET, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, loopback4(servedPort)); !errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("bind: %w is not the refusal that was expected", err)
	}
	r.expect("a refused bind()", refusedWith(event.OperationBind, event.EADDRINUSE, event.ReasonPortHeld), "pw_bind_x", "pw_bind4")
	return nil
}

// exhaust uses up a range of two ports: one of a single port would make the
// kernel complain about its parity (ipv4_local_port_range,
// net/ipv4/sysctl_net_ipv4.c).
func (r *rehearsal) exhaust() error {
	text := fmt.Appendf(nil, "%d %d", firstOfRange, lastOfRange)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", text, 0); err != nil {
		return err
	}
	for range lastOfRange - firstOfRange + 1 {
		if _, err := r.connectOne(unix.AF_INET, unix.SOCK_STREAM, loopback4(servedPort)); err != nil {
			return err
		}
		if _, err := r.connectOne(unix.AF_INET, unix.SOCK_DGRAM, loopback4(discardPort)); err != nil {
			return err
		}
	}
	if _, err := r.connectOne(unix.AF_INET, unix.SOCK_STREAM, loopback4(servedPort)); !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("%w is not the refusal that was expected", err)
	}
	if _, _, err := r.sendOne(unix.AF_INET, loopback4(discardPort)); !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("%w is not the refusal that was expected", err)
	}
	r.expect("a refused connect()", refusedWith(event.OperationConnect, event.EADDRNOTAVAIL, event.ReasonPoolExhausted),
		"pw_connect_x", "pw_hash_connect4")
	r.expect("a refused send", refusedWith(event.OperationSend, event.EAGAIN, event.ReasonRangeExhausted), "pw_send_x", "pw_autobind")
	return nil
}

// expectEnd waits for the namespace to take its TIME_WAIT along, which spares
// the minute until that runs out.
func (r *rehearsal) expectEnd() {
	programs := []string{"pw_timer_cancel", "pw_tw_kill", "pw_tw_destructor"}
	if r.waiting == (event.LeaseID{}) {
		r.fail("the end of a TIME_WAIT", errors.New("no TIME_WAIT was born"), programs)
		return
	}
	r.expect("the end of a TIME_WAIT", func(ev *event.Event) bool {
		return ev.Kind == event.KindRelease && ev.Lease.ID == r.waiting && ev.Cause == event.CauseNetNS
	}, programs...)
}

// leave closes every socket and ends the namespace.
func (r *rehearsal) leave() {
	for _, fd := range slices.Backward(r.fds) {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // wakes a connect() that waits
	}
	if r.blocked != nil {
		<-r.blocked
	}
	for _, fd := range slices.Backward(r.fds) {
		_ = unix.Close(fd)
	}
	r.fds = nil
	r.ns.Leave()
}
