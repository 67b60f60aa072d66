package tracertest

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
)

// NS is a network namespace of a test's own. It lives until the test ends and
// nothing but the test's sockets are in it.
type NS struct {
	tb    testing.TB
	file  *os.File // holds the namespace
	inode uint32
}

// PrivateNetNS makes a network namespace whose loopback is up and whose
// settings are those of the scenarios: tcp_tw_reuse=0, tcp_rfc1337=1 and, where
// the kernel has it, ip_local_port_step_width=0. It calls [RequireRoot]. The
// namespace ends with the test, or with the last socket that the test leaves in
// it.
//
// Without tcp_rfc1337 a reset ends a TIME_WAIT, and on a busy machine one comes by
// itself: a late ACK meets the TIME_WAIT, which answers a peer that has gone. A
// pool of 100 ports then serves 101 connections.
func PrivateNetNS(tb testing.TB) *NS {
	tb.Helper()
	RequireRoot(tb)
	type made struct {
		file *os.File
		err  error
	}
	results := make(chan made, 1)
	go func() {
		file, err := create()
		results <- made{file, err}
	}()
	res := <-results
	if res.err != nil {
		tb.Fatalf("make network namespace: %v", res.err)
	}
	tb.Cleanup(func() { _ = res.file.Close() })
	ns := &NS{tb: tb, file: res.file}
	ns.prepare()
	return ns
}

// Release lets go of the namespace before the test ends: from here on it lives
// only as long as a process in it.
func (ns *NS) Release() { _ = ns.file.Close() }

// Do runs fn inside the namespace, on a thread of its own (see [netns.Do]),
// and fails the test if fn does.
func (ns *NS) Do(fn func() error) {
	ns.tb.Helper()
	if err := netns.Do(ns.Path(), ns.inode, fn); err != nil {
		ns.tb.Fatal(err)
	}
}

// Inode is the namespace's inode number.
func (ns *NS) Inode() uint32 { return ns.inode }

// Path leads to the namespace, within this process and as long as the test
// runs.
func (ns *NS) Path() string { return "/proc/self/fd/" + strconv.Itoa(int(ns.file.Fd())) }

// SetRange sets net.ipv4.ip_local_port_range.
func (ns *NS) SetRange(low, high uint16) {
	ns.tb.Helper()
	ns.Sysctl("net.ipv4.ip_local_port_range", fmt.Sprintf("%d\t%d", low, high))
}

// Sysctl sets one of the namespace's settings, named as for sysctl(8).
func (ns *NS) Sysctl(name, value string) {
	ns.tb.Helper()
	ns.Do(func() error { return sysctl(name, value) })
}

// AddAddress gives the loopback another IPv4 address, which is not one of
// 127.0.0.0/8: the kernel has rules of its own for those.
func (ns *NS) AddAddress(addr netip.Addr) {
	ns.tb.Helper()
	ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		alias, err := unix.NewIfreq("lo:1")
		if err != nil {
			return err
		}
		if err := alias.SetInet4Addr(addr.AsSlice()); err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, alias)
	})
}

// Moving reports whether a TCP socket of the namespace is in a state that nobody
// rests in: the softirqs that move it on come when they come.
func (ns *NS) Moving() bool {
	ns.tb.Helper()
	found := false
	at := netns.Namespace{Inode: ns.inode, Path: ns.Path()}
	err := sockdiag.DumpIn(ns.tb.Context(), at, sockdiag.Request{Protocol: event.TCP}, func(s *sockdiag.Socket) error {
		switch s.State {
		case event.StateFinWait1, event.StateClosing, event.StateLastAck, event.StateSynRecv, event.StateNewSynRecv:
			found = true
		}
		return nil
	})
	if err != nil {
		ns.tb.Fatal(err)
	}
	return found
}

// prepare learns the inode, raises the loopback and sets the settings.
func (ns *NS) prepare() {
	ns.tb.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(ns.file.Fd()), &st); err != nil {
		ns.tb.Fatalf("stat network namespace: %v", err)
	}
	ns.inode = uint32(st.Ino)
	ns.Do(func() error {
		if err := netns.RaiseLoopback(); err != nil {
			return err
		}
		for name, value := range map[string]string{"net.ipv4.tcp_tw_reuse": "0", "net.ipv4.tcp_rfc1337": "1"} {
			if err := sysctl(name, value); err != nil {
				return err
			}
		}
		err := sysctl("net.ipv4.ip_local_port_step_width", "0")
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// create makes a namespace and leaves it again. A thread that cannot return is
// not used again: it stays locked and ends with the goroutine.
func create() (*os.File, error) {
	const path = "/proc/thread-self/ns/net"
	runtime.LockOSThread()
	home, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = home.Close() }()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	file, err := os.Open(path)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return file, errors.Join(err, fmt.Errorf("return: %w", back))
	}
	runtime.UnlockOSThread()
	return file, err
}

// sysctl writes a setting of the calling thread's namespace: /proc/sys/net
// follows the thread, not the process.
func sysctl(name, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	// No O_CREATE: a setting that the kernel lacks is ErrNotExist.
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
