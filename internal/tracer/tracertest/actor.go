package tracertest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// actorEnv makes a test binary play an actor instead of running its tests.
const actorEnv = "PORTWATCH_TEST_ACTOR"

// Main is to be called by TestMain of every package that starts actors.
func Main(m *testing.M) {
	Play()
	os.Exit(m.Run())
}

// Play never returns in a process that was started as an actor, and does
// nothing in any other: for a TestMain that has more to do than Main.
func Play() {
	if name, ok := os.LookupEnv(actorEnv); ok {
		os.Exit(play(name))
	}
}

// Actor is a process of its own that does what it is told with sockets: real
// system calls of a real process, one after another, each answered before the
// next. Its leader thread bears the actor's name.
type Actor struct {
	// PID is the actor's process id.
	PID int
	tb  testing.TB
	cmd *exec.Cmd
	// control is the way to one that was forked by another; nil else.
	control net.Conn
	in      *json.Encoder
	out     *json.Decoder
}

// request is one order to an actor, reply its answer.
type request struct {
	Op    string
	Slot  int    // socket, by the number that "socket" answered
	Addr  string // address and port
	Arg   int
	Arg2  int
	Name  string
	Count int
}

type reply struct {
	Errno  syscall.Errno
	Slot   int
	Addr   string
	Cookie uint64
	PID    int
	Count  int
}

// StartActor starts an actor in the namespace. It ends with the test, or with
// Exit.
func StartActor(tb testing.TB, ns *NS, name string) *Actor {
	tb.Helper()
	return start(tb, ns, name, func(cmd *exec.Cmd) error { return cmd.Start() })
}

// StartActorAs starts an actor under a process id that is free. The kernel
// gives ids in turn, so the last one is set first (ns_last_pid, which
// checkpoint/restore uses); whoever forks in between takes the id, and we try
// again.
func StartActorAs(tb testing.TB, ns *NS, name string, pid int) *Actor {
	tb.Helper()
	for range 100 {
		a := start(tb, ns, name, func(cmd *exec.Cmd) error {
			last := []byte(strconv.Itoa(pid - 1))
			if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", last, 0); err != nil {
				return err
			}
			return cmd.Start()
		})
		if a.PID == pid {
			return a
		}
		a.Exit()
	}
	tb.Fatalf("actor: pid %d was not to be had", pid)
	return nil
}

func start(tb testing.TB, ns *NS, name string, run func(*exec.Cmd) error) *Actor {
	tb.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), actorEnv+"="+name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	ns.Do(func() error { return run(cmd) })
	a := &Actor{
		PID: cmd.Process.Pid, tb: tb, cmd: cmd,
		in: json.NewEncoder(in), out: json.NewDecoder(bufio.NewReader(out)),
	}
	tb.Cleanup(a.Exit)
	a.do(request{Op: "hello"})
	return a
}

// Idle prepares a process that does nothing until it is killed, or until the
// test's process ends.
func Idle(ctx context.Context) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), actorEnv+"=idle")
	_, err := cmd.StdinPipe() // nobody writes to it
	return cmd, err
}

// Exit ends the process and waits for it: its sockets are closed then. It may
// be called twice.
func (a *Actor) Exit() {
	if a.control != nil {
		_ = syscall.Kill(a.PID, syscall.SIGKILL)
		_, _ = io.Copy(io.Discard, a.control) // until the kernel has closed its end
		_ = a.control.Close()
		a.control = nil
	}
	if a.cmd == nil {
		return
	}
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
	a.cmd = nil
}

func (a *Actor) do(r request) reply {
	a.tb.Helper()
	a.begin(r)
	return a.end()
}

func (a *Actor) begin(r request) {
	a.tb.Helper()
	if err := a.in.Encode(r); err != nil {
		a.tb.Fatalf("actor: %s: %v", r.Op, err)
	}
}

func (a *Actor) end() reply {
	a.tb.Helper()
	var answer reply
	if err := a.out.Decode(&answer); err != nil {
		a.tb.Fatalf("actor: %v", err)
	}
	return answer
}

// Socket is a socket of an actor.
type Socket struct {
	actor *Actor
	slot  int
}

// Kinds of sockets.
const (
	TCP4 = "tcp4"
	TCP6 = "tcp6"
	UDP4 = "udp4"
	UDP6 = "udp6"
)

// Socket makes a socket.
func (a *Actor) Socket(kind string) *Socket {
	a.tb.Helper()
	answer := a.do(request{Op: "socket", Name: kind})
	if answer.Errno != 0 {
		a.tb.Fatalf("actor: socket: %v", answer.Errno)
	}
	return &Socket{actor: a, slot: answer.Slot}
}

func (s *Socket) call(op, addr string, arg, arg2 int) reply {
	s.actor.tb.Helper()
	return s.actor.do(request{Op: op, Slot: s.slot, Addr: addr, Arg: arg, Arg2: arg2})
}

// Bind calls bind(2).
func (s *Socket) Bind(addr string) syscall.Errno {
	s.actor.tb.Helper()
	return s.call("bind", addr, 0, 0).Errno
}

// Listen calls listen(2).
func (s *Socket) Listen(backlog int) syscall.Errno {
	s.actor.tb.Helper()
	return s.call("listen", "", backlog, 0).Errno
}

// Connect calls connect(2).
func (s *Socket) Connect(addr netip.AddrPort) syscall.Errno {
	s.actor.tb.Helper()
	return s.call("connect", addr.String(), 0, 0).Errno
}

// ConnectOnThread calls connect(2) on a thread of another name.
func (s *Socket) ConnectOnThread(name string, addr netip.AddrPort) syscall.Errno {
	s.actor.tb.Helper()
	return s.actor.do(request{Op: "threadconnect", Slot: s.slot, Addr: addr.String(), Name: name}).Errno
}

// BeginConnect calls connect(2) and does not wait for its answer: the actor is
// good for nothing else until it has one.
func (s *Socket) BeginConnect(addr netip.AddrPort) {
	s.actor.tb.Helper()
	s.actor.begin(request{Op: "connect", Slot: s.slot, Addr: addr.String()})
}

// Disconnect calls connect(2) with AF_UNSPEC.
func (s *Socket) Disconnect() syscall.Errno {
	s.actor.tb.Helper()
	return s.call("disconnect", "", 0, 0).Errno
}

// Accept calls accept(2).
func (s *Socket) Accept() *Socket {
	s.actor.tb.Helper()
	answer := s.call("accept", "", 0, 0)
	if answer.Errno != 0 {
		s.actor.tb.Fatalf("actor: accept: %v", answer.Errno)
	}
	return &Socket{actor: s.actor, slot: answer.Slot}
}

// Serve accepts from now on, waits for each peer's FIN and closes then. The
// socket is good for nothing else.
func (s *Socket) Serve() { s.actor.tb.Helper(); s.call("serve", "", 0, 0) }

// SendTo calls sendto(2) with one byte.
func (s *Socket) SendTo(addr netip.AddrPort) syscall.Errno {
	s.actor.tb.Helper()
	return s.call("sendto", addr.String(), 0, 0).Errno
}

// Set calls setsockopt(2) with an int.
func (s *Socket) Set(level, option, value int) {
	s.actor.tb.Helper()
	answer := s.actor.do(request{Op: "set", Slot: s.slot, Arg: level, Arg2: option, Count: value})
	if answer.Errno != 0 {
		s.actor.tb.Fatalf("actor: setsockopt(%d, %d): %v", level, option, answer.Errno)
	}
}

// Linger0 makes close() send a reset.
func (s *Socket) Linger0() { s.actor.tb.Helper(); s.call("linger0", "", 0, 0) }

// NonBlocking sets O_NONBLOCK.
func (s *Socket) NonBlocking() { s.actor.tb.Helper(); s.call("nonblock", "", 0, 0) }

// Shutdown calls shutdown(2).
func (s *Socket) Shutdown(how int) syscall.Errno {
	s.actor.tb.Helper()
	return s.call("shutdown", "", how, 0).Errno
}

// WaitEOF reads until the peer's FIN has come.
func (s *Socket) WaitEOF() { s.actor.tb.Helper(); s.call("eof", "", 0, 0) }

// CloseAcked closes once the peer's kernel has acknowledged the FIN, so that a
// TIME_WAIT is born at once. A plain close() that meets the acknowledgement
// half-way leaves a socket without a process in FIN_WAIT2, which turns into a
// TIME_WAIT only tcp_fin_timeout later.
func (s *Socket) CloseAcked() { s.actor.tb.Helper(); s.call("closeacked", "", 0, 0) }

// Close calls close(2).
func (s *Socket) Close() { s.actor.tb.Helper(); s.call("close", "", 0, 0) }

// Local is the socket's own address.
func (s *Socket) Local() netip.AddrPort {
	s.actor.tb.Helper()
	addr, err := netip.ParseAddrPort(s.call("name", "", 0, 0).Addr)
	if err != nil {
		s.actor.tb.Fatal(err)
	}
	return addr
}

// Cookie is SO_COOKIE. Asking makes the kernel give the socket one, which no
// plain program does: ask when all else is done.
func (s *Socket) Cookie() uint64 {
	s.actor.tb.Helper()
	return s.call("cookie", "", 0, 0).Cookie
}

// PassTo hands the socket to another actor over a UNIX socket pair's end that
// both share; the sender closes its own descriptor.
func (s *Socket) PassTo(to *Actor) *Socket {
	s.actor.tb.Helper()
	path := fmt.Sprintf("@portwatch-%d-%d", s.actor.PID, s.slot)
	to.begin(request{Op: "receive", Name: path})
	if answer := s.actor.do(request{Op: "pass", Slot: s.slot, Name: path}); answer.Errno != 0 {
		s.actor.tb.Fatalf("actor: pass: %v", answer.Errno)
	}
	return &Socket{actor: to, slot: to.end().Slot}
}

// ExhaustConnect connects and closes, as CloseAcked does, until connect(2) fails, at most limit
// times: it answers how many succeeded, and the errno of the one that did not.
func (a *Actor) ExhaustConnect(addr netip.AddrPort, limit int, closing bool) (int, syscall.Errno) {
	a.tb.Helper()
	r := request{Op: "exhaust", Addr: addr.String(), Count: limit}
	if closing {
		r.Arg = 1
	}
	answer := a.do(r)
	return answer.Count, answer.Errno
}

// ExhaustBind binds sockets of a kind to any port of an address until bind(2)
// fails, at most limit times, and keeps them open: it answers how many succeeded,
// and the errno of the one that did not.
func (a *Actor) ExhaustBind(kind, addr string, limit int) (int, syscall.Errno) {
	a.tb.Helper()
	answer := a.do(request{Op: "exhaustbind", Name: kind, Addr: addr, Count: limit})
	return answer.Count, answer.Errno
}

// Repeat makes the same failing bind(2) over and over.
func (a *Actor) Repeat(addr string, count int) syscall.Errno {
	a.tb.Helper()
	return a.do(request{Op: "repeat", Addr: addr, Count: count}).Errno
}

// Exec makes the process exec itself under a new name; its sockets stay open.
func (a *Actor) Exec(name string) {
	a.tb.Helper()
	a.do(request{Op: "exec", Name: name})
}

// DropCapabilities makes the process as powerless as any user's.
func (a *Actor) DropCapabilities() {
	a.tb.Helper()
	if answer := a.do(request{Op: "drop"}); answer.Errno != 0 {
		a.tb.Fatalf("actor: drop capabilities: %v", answer.Errno)
	}
}

// BeUser makes the sockets that the actor makes from now on those of a user. It
// keeps its other powers.
func (a *Actor) BeUser(uid int) {
	a.tb.Helper()
	if answer := a.do(request{Op: "user", Arg: uid}); answer.Errno != 0 {
		a.tb.Fatalf("actor: become user %d: %v", uid, answer.Errno)
	}
}
