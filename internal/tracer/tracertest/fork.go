package tracertest

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// What a forked or exec'd player finds in its environment: where its orders come
// from, if not from standard input, and the sockets that it has already.
const (
	controlEnv = "PORTWATCH_TEST_CONTROL"
	socketsEnv = "PORTWATCH_TEST_SOCKETS"
)

// Fork makes the actor fork a child that has all its sockets, and a name of its
// own. The child ends with the test, or with Exit; it cannot Exec.
func (a *Actor) Fork(name string) *Actor {
	a.tb.Helper()
	// A path in the file system leads across network namespaces, and must be
	// short.
	dir, err := os.MkdirTemp("", "pw")
	if err != nil {
		a.tb.Fatal(err)
	}
	defer os.RemoveAll(dir)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "c"), Net: "unix"})
	if err != nil {
		a.tb.Fatal(err)
	}
	defer listener.Close()
	if answer := a.do(request{Op: "fork", Name: name, Addr: listener.Addr().String()}); answer.Errno != 0 {
		a.tb.Fatalf("actor: fork: %v", answer.Errno)
	}
	if err := listener.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		a.tb.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		a.tb.Fatalf("actor: fork: %v", err)
	}
	child := &Actor{tb: a.tb, control: conn, in: json.NewEncoder(conn), out: json.NewDecoder(bufio.NewReader(conn))}
	a.tb.Cleanup(child.Exit)
	child.PID = child.do(request{Op: "hello"}).PID
	return child
}

// In is the same socket in the hands of a child that was forked since it was
// made.
func (s *Socket) In(child *Actor) *Socket { return &Socket{actor: child, slot: s.slot} }

// Dup calls dup(2).
func (s *Socket) Dup() *Socket {
	s.actor.tb.Helper()
	answer := s.call("dup", "", 0, 0)
	if answer.Errno != 0 {
		s.actor.tb.Fatalf("actor: dup: %v", answer.Errno)
	}
	return &Socket{actor: s.actor, slot: answer.Slot}
}

// TryAccept calls accept(2) on a socket that does not block.
func (s *Socket) TryAccept() (*Socket, syscall.Errno) {
	s.actor.tb.Helper()
	answer := s.call("accept", "", 0, 0)
	return &Socket{actor: s.actor, slot: answer.Slot}, answer.Errno
}

// TCPState is the state of a TCP socket.
func (s *Socket) TCPState() event.State {
	s.actor.tb.Helper()
	return event.State(s.call("state", "", 0, 0).Count)
}

func (p *player) state(fd int) error {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return err
	}
	p.reply.Count = int(info.State)
	return nil
}

// fork starts a player with the same sockets. Go forks only to exec, which is
// nothing that a socket notices.
func (p *player) fork(name, control string) error {
	sockets, err := json.Marshal(p.fds)
	if err != nil {
		return err
	}
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), actorEnv+"="+name, controlEnv+"="+control, socketsEnv+"="+string(sockets))
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		return err
	}
	go func() { _ = child.Wait() }()
	return nil
}

// inherit takes over what the environment says of an earlier life.
func (p *player) inherit() error {
	sockets := os.Getenv(socketsEnv)
	if sockets == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(sockets), &p.fds); err != nil {
		return err
	}
	for slot := range p.fds {
		p.next = max(p.next, slot)
	}
	return nil
}

// control is where a player's orders come from and its answers go.
func control() (*json.Decoder, *json.Encoder, error) {
	path := os.Getenv(controlEnv)
	if path == "" {
		return json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout), nil
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, nil, err
	}
	return json.NewDecoder(conn), json.NewEncoder(conn), nil
}

func (p *player) dup(fd int) error {
	copied, err := unix.Dup(fd)
	if err != nil {
		return err
	}
	p.add(copied)
	return nil
}
