package launch

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"
)

// unable says that this machine does not let the test run: where root was
// promised, that is a failure.
func unable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("PORTWATCH_TEST_ROOT") != "" {
		t.Fatal(why)
	}
	t.Log(why)
}

// What the command starts is in its group, a daemon that outlives it too; the
// group goes, and the daemon is where it would have been.
func TestGroupHoldsTheTree(t *testing.T) {
	g, err := NewGroup()
	if errors.Is(err, fs.ErrPermission) {
		unable(t, err.Error())
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	p, out := shell(t, Command{Group: g}, `cat < /dev/zero > /dev/null & echo $!; sed -n s/^0:://p /proc/$!/cgroup`)
	text := make([]byte, 4096)
	var said string
	for strings.Count(said, "\n") < 2 {
		n, err := out.Read(text)
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			t.Fatalf("read %q: %v", said, err)
		}
		said += string(text[:n])
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(said)
	daemon, err := strconv.Atoi(words[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if p, err := os.FindProcess(daemon); err == nil {
			_ = p.Kill()
		}
	}()
	if !g.Holds(0, words[1]) {
		t.Errorf("the daemon is in %s, want %s", words[1], g.Path)
	}
	name := g.dir.Name()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat %s: %v, want that it is gone", name, err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile("/proc/" + words[0] + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if findPath(string(own)) != findPath(string(theirs)) {
		t.Errorf("the daemon is left in %q, and we are in %q", findPath(string(theirs)), findPath(string(own)))
	}
}

func TestGroupHolds(t *testing.T) {
	g := &Group{ID: 7, Path: "/user/portwatch-run-1"}
	for _, tt := range []struct {
		id   uint64
		path string
		want bool
	}{
		{7, "", true},
		{7, "/elsewhere", true},
		{8, "/user/portwatch-run-1", true},
		{8, "/user/portwatch-run-1/below", true},
		{8, "/user/portwatch-run-12", false},
		{8, "/user", false},
		{0, "", false},
	} {
		if got := g.Holds(tt.id, tt.path); got != tt.want {
			t.Errorf("Holds(%d, %q) = %t", tt.id, tt.path, got)
		}
	}
}

func TestFindHierarchy(t *testing.T) {
	for _, tt := range []struct{ name, mountinfo, want string }{
		{"v2", "25 30 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup"},
		{"hybrid", "1 2 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n3 2 0:3 / /sys/fs/cgroup/unified rw - cgroup2 c rw\n", "/sys/fs/cgroup/unified"},
		{"a part of it", "25 30 0:22 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", ""},
		{"a blank", `25 30 0:22 / /a\040b rw - cgroup2 cgroup2 rw`, "/a b"},
		{"v1", "1 2 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", ""},
		{"garbage", "x\n - cgroup2\n\n", ""},
	} {
		if got := findHierarchy(tt.mountinfo); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestFindPath(t *testing.T) {
	for _, tt := range []struct{ cgroups, want string }{
		{"0::/user.slice\n", "/user.slice"},
		{"3:cpu:/x\n0::/\n", "/"},
		{"0::/../elsewhere\n", ""},
		{"3:cpu:/x\n", ""},
	} {
		if got := findPath(tt.cgroups); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.cgroups, got, tt.want)
		}
	}
}
