package netns_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// many is how many namespaces the big test makes.
const many = 100

// threadsOutside counts the threads of this process that are not in home.
func threadsOutside(t *testing.T, home uint32) int {
	t.Helper()
	links, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	outside := 0
	for _, link := range links {
		to, err := os.Readlink(link)
		if err == nil && to != fmt.Sprintf("net:[%d]", home) {
			outside++
		}
	}
	return outside
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func TestHundredNamespaces(t *testing.T) {
	tracertest.RequireRoot(t)
	pids := make(map[int]bool, many)
	for range many {
		pids[inhabit(t).Pid] = true
	}
	home, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)

	list, err := netns.List("/proc")
	if err != nil {
		t.Fatal(err)
	}
	cookies := make(map[uint64]bool, many)
	for _, ns := range list.Namespaces {
		if !pids[ns.PID] {
			continue
		}
		if want := fmt.Sprintf("pid:%d", ns.PID); ns.Name != want {
			t.Errorf("name of %d is %q, want %q", ns.Inode, ns.Name, want)
		}
		cookies[visit(t, ns)] = true
	}
	if len(cookies) != many {
		t.Errorf("visited %d namespaces, want %d", len(cookies), many)
	}
	if n := threadsOutside(t, home); n != 0 {
		t.Errorf("%d threads are in foreign namespaces", n)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// visit enters ns, proves that it is the one, and gives its cookie.
func visit(t *testing.T, ns netns.Namespace) (cookie uint64) {
	t.Helper()
	err := netns.Do(ns.Path, ns.Inode, func() error {
		inode, err := netns.Current()
		if err != nil {
			return err
		}
		if inode != ns.Inode {
			return fmt.Errorf("in namespace %d, want %d", inode, ns.Inode)
		}
		cookie, err = netns.Cookie()
		return err
	})
	if err != nil {
		t.Errorf("visit %+v: %v", ns, err)
	}
	return cookie
}

func TestListFindsMount(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	path := filepath.Join(t.TempDir(), "blue green")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(ns.Path(), path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	list, err := netns.List("/proc")
	if err != nil {
		t.Fatal(err)
	}
	want := netns.Namespace{Inode: ns.Inode(), Path: path}
	if !slices.Contains(list.Namespaces, want) {
		t.Errorf("%+v is missing in %+v", want, list)
	}
}

func TestDoRefusesAnotherNamespace(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	tests := []struct {
		name, path string
		inode      uint32
	}{
		{"other inode", ns.Path(), ns.Inode() + 1},
		{"no such process", "/proc/4194305/ns/net", ns.Inode()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := netns.Do(tt.path, tt.inode, func() error { panic("must not run") })
			if !errors.Is(err, netns.ErrGone) {
				t.Errorf("Do() = %v, want ErrGone", err)
			}
		})
	}
}

func TestDoReturnsTheError(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	want := errors.New("no luck")
	if err := netns.Do(ns.Path(), ns.Inode(), func() error { return want }); !errors.Is(err, want) {
		t.Errorf("Do() = %v, want %v", err, want)
	}
}

func TestDoSurvivesTheFunction(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	home, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("goexit", func(t *testing.T) {
		err := netns.Do(ns.Path(), ns.Inode(), func() error { runtime.Goexit(); return nil })
		if err == nil {
			t.Error("Do() = nil, want an error")
		}
	})
	t.Run("panic", func(t *testing.T) {
		defer func() {
			if got, _ := recover().(string); !strings.HasPrefix(got, "no way") {
				t.Errorf("recovered %q, want the function's panic", got)
			}
		}()
		_ = netns.Do(ns.Path(), ns.Inode(), func() error { panic("no way") })
	})
	if n := threadsOutside(t, home); n != 0 {
		t.Errorf("%d threads are in foreign namespaces", n)
	}
}

func TestDoLeavesTheMainThread(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	for range many { // the scheduler picks the thread: all picks must hold
		ns.Do(func() error {
			if unix.Gettid() == unix.Getpid() {
				return errors.New("runs on the main thread")
			}
			return nil
		})
	}
}
