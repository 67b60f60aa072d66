package tracer

import (
	"net/netip"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// lookIn looks at one namespace, with BPF or without.
func lookIn(t *testing.T, ns *tracertest.NS, noBPF bool) []event.Sighting {
	t.Helper()
	l, err := OpenLooker(noBPF)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	if !noBPF && l.Reason() != "" {
		t.Fatalf("the looker does without BPF: %s", l.Reason())
	}
	sight, err := l.Look(t.Context(), func(s *event.Sighting) bool { return s.Lease.NetNS == ns.Inode() })
	if err != nil {
		t.Fatal(err)
	}
	return sight.Sightings
}

// at are the sightings on a port.
func at(all []event.Sighting, port uint16) (found []event.Sighting) {
	for i := range all {
		if all[i].Lease.Local.Port() == port {
			found = append(found, all[i])
		}
	}
	return found
}

func must(t *testing.T, errno syscall.Errno) {
	t.Helper()
	if errno != 0 {
		t.Fatal(errno)
	}
}

// TestLookSeesEveryHolder makes a socket of each kind that holds a port.
func TestLookSeesEveryHolder(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	server, client := tracertest.StartActor(t, ns, "server"), tracertest.StartActor(t, ns, "client")
	listener := server.Socket(tracertest.TCP4)
	listener.Set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	must(t, listener.Bind("127.0.0.1:8080"))
	must(t, listener.Listen(16))
	to := netip.MustParseAddrPort("127.0.0.1:8080")
	bound := server.Socket(tracertest.TCP6)
	must(t, bound.Bind("[::]:9000"))
	datagram := server.Socket(tracertest.UDP4)
	datagram.Set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	must(t, datagram.Bind("127.0.0.1:9001"))
	live, ended := client.Socket(tracertest.TCP4), client.Socket(tracertest.TCP4)
	must(t, live.Bind("127.0.0.1:9002"))
	must(t, live.Connect(to))
	must(t, ended.Bind("127.0.0.1:9003"))
	must(t, ended.Connect(to))
	accepted := listener.Accept()
	ended.CloseAcked()
	other := tracertest.StartActor(t, ns, "other")
	accepted.PassTo(other)

	for _, noBPF := range []bool{false, true} {
		all := lookIn(t, ns, noBPF)
		expect := func(port uint16, state event.State, comm string, sharing event.Sharing) {
			t.Helper()
			for _, s := range at(all, port) {
				if s.Lease.State != state {
					continue
				}
				if got := s.Lease.Owner.Comm.String(); got != comm {
					t.Errorf("noBPF %v: the owner of port %d in %v is %q, want %q", noBPF, port, state, got, comm)
				}
				if noBPF {
					sharing = event.Sharing{}
				}
				if s.Sharing != sharing {
					t.Errorf("noBPF %v: port %d in %v shares as %+v, want %+v", noBPF, port, state, s.Sharing, sharing)
				}
				return
			}
			t.Errorf("noBPF %v: nothing on port %d is in %v: %+v", noBPF, port, state, at(all, port))
		}
		plain := event.Sharing{Known: true}
		addr := event.Sharing{Known: true, ReuseAddr: true}
		expect(8080, event.StateListen, "server", addr)
		expect(8080, event.StateEstablished, "other", addr)
		expect(9001, event.StateUnconnected, "server", event.Sharing{Known: true, ReusePort: true})
		expect(9002, event.StateEstablished, "client", plain)
		expect(9003, event.StateTimeWait, "", plain)
		if !noBPF || sockdiag.ListsBound(KernelRelease()) {
			expect(9000, event.StateBound, "server", plain)
		}
		for _, s := range at(all, 9003) {
			if s.Lease.State == event.StateTimeWait && s.Lease.Expires < bootNow() {
				t.Errorf("noBPF %v: the TIME_WAIT ends at %d, which is over", noBPF, s.Lease.Expires)
			}
		}
	}
}

// The TCP sockets of an MPTCP one are the kernel's own: the program that has the
// MPTCP socket is named nevertheless.
func TestLookKnowsWhoHasMPTCP(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	tracertest.StartActor(t, ns, "inhabitant") // makes the namespace one that is walked
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	ns.Do(func() error {
		for _, port := range []int{9000, 9001} {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
			if err != nil {
				t.Log("cannot know: whether MPTCP sockets are named, this kernel makes none")
				return nil
			}
			fds = append(fds, fd)
			if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err != nil {
				return err
			}
		}
		return unix.Listen(fds[0], 1)
	})
	if len(fds) == 0 {
		return
	}
	all := lookIn(t, ns, false)
	for port, state := range map[uint16]event.State{9000: event.StateListen, 9001: event.StateBound} {
		got := at(all, port)
		if len(got) != 1 || got[0].Lease.State != state || got[0].Lease.Owner.PID != uint32(os.Getpid()) || got[0].Processes != 1 {
			t.Errorf("port %d: %+v, want one socket in %v, of this process", port, got, state)
		}
	}
}

// The bucket says whom bind() lets on the port unseen. From 6.12 on a socket alone
// leaves its own address only, before that every address.
func TestLookBucketTellsWhoMayShare(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	a := tracertest.StartActor(t, ns, "sharer")
	plain, sharer := a.Socket(tracertest.TCP4), a.Socket(tracertest.TCP4)
	must(t, plain.Bind("127.0.0.1:9000"))
	sharer.Set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	must(t, sharer.Bind("127.0.0.1:9001"))
	all := lookIn(t, ns, false)
	if got := at(all, 9000); len(got) != 1 || got[0].Bucket != (event.Bucket{Known: true, Bound: true}) {
		t.Errorf("port 9000: %+v, want a bucket that lets nobody pass", got)
	}
	got := at(all, 9001)
	if len(got) != 1 || got[0].Lease.Origin != event.OriginBind {
		t.Fatalf("port 9001: %+v, want one socket that asked for it", got)
	}
	switch b := got[0].Bucket; b.ReusePort {
	case event.ReachEverywhere:
	case event.ReachAddress:
		if b.At != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("port 9001 is left at %v, want 127.0.0.1", b.At)
		}
	default:
		t.Errorf("port 9001: %+v, want a bucket that lets SO_REUSEPORT pass", b)
	}
}
