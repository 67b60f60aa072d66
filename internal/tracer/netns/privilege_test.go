package netns_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// netBindService is CAP_NET_BIND_SERVICE.
const netBindService = 10

// A capability counts in the user namespace that owns the network namespace, and
// in those below.
func TestHolds(t *testing.T) {
	tracertest.RequireRoot(t)
	const nobody = 65534
	toRoot := []syscall.SysProcIDMap{{ContainerID: 0, HostID: nobody, Size: 1}}
	root, contained := inhabit(t), inhabitAs(t, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: toRoot, GidMappings: toRoot, Credential: &syscall.Credential{},
	})
	plain := inhabitAs(t, &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET, Credential: &syscall.Credential{Uid: nobody, Gid: nobody},
	})
	of := func(p *os.Process) netns.Namespace {
		path := fmt.Sprintf("/proc/%d/ns/net", p.Pid)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return netns.Namespace{Path: path, Inode: uint32(info.Sys().(*syscall.Stat_t).Ino)}
	}
	tests := []struct {
		name string
		ns   netns.Namespace
		who  *os.Process
		want bool
	}{
		{"root in its own", of(root), root, true},
		{"root in one of a user namespace below", of(contained), root, true},
		{"contained root in its own", of(contained), contained, true},
		{"contained root in the host's", of(root), contained, false},
		{"nobody in its own", of(plain), plain, false},
		{"nobody in root's", of(root), plain, false},
	}
	for _, tt := range tests {
		got, err := tt.ns.Holds(tt.who.Pid, netBindService)
		if err != nil || got != tt.want {
			t.Errorf("%s: holds %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
	if _, err := of(root).Holds(1<<22+1, netBindService); err == nil {
		t.Error("a process that does not exist holds something")
	}
}
