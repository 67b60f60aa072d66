package sockdiag_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// row is what the test compares.
type row struct {
	Protocol, Family, State, Substate, Local, Remote string
}

func rowOf(s *sockdiag.Socket) row {
	r := row{
		s.Protocol.String(), s.Family.String(), s.State.String(), s.Substate.String(), s.Local.String(), "",
	}
	if s.Remote.IsValid() {
		r.Remote = s.Remote.String()
	}
	return r
}

func zooRows(bound bool) []row {
	rows := []row{
		{"tcp", "ipv4", "LISTEN", "", "127.0.0.1:8080", ""},
		{"tcp", "ipv4", "ESTABLISHED", "", "127.0.0.2:1001", "127.0.0.1:8080"},
		{"tcp", "ipv4", "ESTABLISHED", "", "127.0.0.1:8080", "127.0.0.2:1001"},
		{"tcp", "ipv4", "TIME_WAIT", "time_wait", "127.0.0.2:1002", "127.0.0.1:8080"},
		{"tcp", "ipv6", "LISTEN", "", "[::]:8086", ""},
		{"tcp", "ipv4", "ESTABLISHED", "", "127.0.0.2:1003", "127.0.0.1:8086"},
		{"tcp", "ipv4", "ESTABLISHED", "", "127.0.0.1:8086", "127.0.0.2:1003"},
		{"udp", "ipv4", "UNCONNECTED", "", "127.0.0.1:1005", ""},
		{"udp", "ipv4", "CONNECTED", "", "127.0.0.1:1006", "127.0.0.1:1005"},
	}
	if bound {
		rows = append(rows, row{"tcp", "ipv4", "BOUND", "", "127.0.0.1:1004", ""})
	}
	sortRows(rows)
	return rows
}

func sortRows(rows []row) {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Local, b.Local), cmp.Compare(a.Remote, b.Remote))
	})
}

func dump(t *testing.T, ns netns.Namespace) []sockdiag.Socket {
	t.Helper()
	var all []sockdiag.Socket
	for _, protocol := range []event.Protocol{event.TCP, event.UDP} {
		r := sockdiag.Request{Protocol: protocol}
		err := sockdiag.DumpIn(t.Context(), ns, r, func(s *sockdiag.Socket) error {
			all = append(all, *s)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// settled dumps until the client that closed is in TIME_WAIT: its peer's FIN
// may still be on its way.
func settled(t *testing.T, ns netns.Namespace) []sockdiag.Socket {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		all := dump(t, ns)
		if slices.ContainsFunc(all, func(s sockdiag.Socket) bool { return s.Substate == event.SubstateTimeWait }) {
			return all
		}
		if time.Now().After(deadline) {
			t.Fatalf("no TIME_WAIT among %+v", all)
		}
		runtime.Gosched()
	}
}

func TestZoo(t *testing.T) {
	private := tracertest.PrivateNetNS(t)
	private.Sysctl("net.ipv4.ip_unprivileged_port_start", "0")
	ns := netns.Namespace{Inode: private.Inode(), Path: private.Path()}
	var zoo sockets
	t.Cleanup(zoo.closeAll)
	private.Do(zoo.zoo)

	all := settled(t, ns)
	rows := make([]row, 0, len(all))
	for i := range all {
		rows = append(rows, rowOf(&all[i]))
		checkSocket(t, &all[i])
	}
	sortRows(rows)
	if diff := gocmp.Diff(zooRows(listsBound(t)), rows); diff != "" {
		t.Errorf("sockets (-want +got):\n%s", diff)
	}
}

// checkSocket tests what differs from run to run.
func checkSocket(t *testing.T, s *sockdiag.Socket) {
	t.Helper()
	if s.Cookie == 0 {
		t.Errorf("%v %v has no cookie", s.State, s.Local)
	}
	if s.State != event.StateTimeWait {
		if s.Inode == 0 || s.UID != uint32(os.Getuid()) {
			t.Errorf("%v %v has inode %d, uid %d", s.State, s.Local, s.Inode, s.UID)
		}
		return
	}
	if s.Inode != 0 || s.CgroupID != 0 || s.Timer != sockdiag.TimerTimeWait {
		t.Errorf("mini-socket has inode %d, cgroup %d, timer %d", s.Inode, s.CgroupID, s.Timer)
	}
	// 60 s and what the timer wheel rounds up to.
	if s.Expires <= 0 || s.Expires > 70*time.Second {
		t.Errorf("mini-socket expires in %v", s.Expires)
	}
}

// listsBound tells whether the kernel lists bound-only sockets: from 6.12 on.
// The version is no proof, but a test has to know what to expect.
func listsBound(t *testing.T) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major > 6 || major == 6 && minor >= 12
}

func TestDumpByState(t *testing.T) {
	private := tracertest.PrivateNetNS(t)
	ns := netns.Namespace{Inode: private.Inode(), Path: private.Path()}
	var zoo sockets
	t.Cleanup(zoo.closeAll)
	private.Do(zoo.zoo)

	r := sockdiag.Request{Family: event.IPv6, Protocol: event.TCP, States: []event.State{event.StateListen}}
	var got []row
	err := sockdiag.DumpIn(t.Context(), ns, r, func(s *sockdiag.Socket) error {
		got = append(got, rowOf(s))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]row{{"tcp", "ipv6", "LISTEN", "", "[::]:8086", ""}}, got); diff != "" {
		t.Errorf("sockets (-want +got):\n%s", diff)
	}
}

func TestDumpInLeavesNothing(t *testing.T) {
	private := tracertest.PrivateNetNS(t)
	ns := netns.Namespace{Inode: private.Inode(), Path: private.Path()}
	dump(t, ns) // the runtime opens its poller at the first connection
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	dump(t, ns)
	after, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before) {
		t.Errorf("%d descriptors before, %d after", len(before), len(after))
	}
}

func TestConnServesManyDumps(t *testing.T) {
	private := tracertest.PrivateNetNS(t)
	var zoo sockets
	t.Cleanup(zoo.closeAll)
	private.Do(zoo.zoo)
	private.Do(func() error {
		c, err := sockdiag.Open()
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		return dumpTwice(c)
	})
}

// dumpTwice breaks off a dump and expects the next one to be whole.
func dumpTwice(c *sockdiag.Conn) error {
	r := sockdiag.Request{Family: event.IPv4, Protocol: event.TCP}
	enough, seen := fmt.Errorf("enough"), 0
	if err := c.Dump(context.Background(), r, func(*sockdiag.Socket) error { return enough }); !errors.Is(err, enough) {
		return fmt.Errorf("first dump: %w", err)
	}
	if err := c.Dump(context.Background(), r, func(*sockdiag.Socket) error { seen++; return nil }); err != nil {
		return fmt.Errorf("second dump: %w", err)
	}
	if seen < 4 {
		return fmt.Errorf("second dump listed %d sockets", seen)
	}
	return nil
}
