package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// What a running portwatch holds and does: no socket that takes a port, no
// handle of a foreign namespace, no setting changed.
func TestLiveKeepsOutOfTheWay(t *testing.T) {
	for _, mode := range []string{"tracepoint", "diag"} {
		t.Run(mode, func(t *testing.T) {
			tracertest.RequireRoot(t)
			settings := netSettings(t)
			l := startLive(t, "top", "--batch", "-i", "1s", "--mode", mode)
			for range 3 {
				if inet := internetSockets(t, l.Process.Pid); len(inet) > 0 {
					t.Errorf("portwatch holds internet sockets: %v", inet)
				}
				if _, err := l.out.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if code := l.ended(t); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			for name, value := range netSettings(t) {
				if settings[name] != value {
					t.Errorf("%s: %q before, %q after", name, settings[name], value)
				}
			}
		})
	}
}

// internetSockets are the process's descriptors that are listed among the
// IPv4 and IPv6 sockets of its namespace.
func internetSockets(t *testing.T, pid int) []string {
	t.Helper()
	listed := ""
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6"} {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		listed += string(text)
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatalf("no descriptors: %v", err)
	}
	var found []string
	for _, fd := range fds {
		link, _ := os.Readlink(fd)
		inode, isSocket := strings.CutPrefix(link, "socket:[")
		if isSocket && strings.Contains(listed, " "+strings.TrimSuffix(inode, "]")+" ") {
			found = append(found, link)
		}
	}
	return found
}

// netSettings reads the settings that port allocation depends on, and those of
// BPF.
func netSettings(t *testing.T) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, pattern := range []string{"/proc/sys/net/ipv4/*", "/proc/sys/net/core/*", "/proc/sys/kernel/bpf_*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if text, err := os.ReadFile(name); err == nil {
				values[name] = string(text)
			}
		}
	}
	if len(values) == 0 {
		t.Fatal("no settings")
	}
	return values
}
