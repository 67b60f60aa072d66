package tracer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// handles is what could leak into a foreign namespace, or pile up.
type handles struct {
	files   int
	foreign []string // threads and descriptors outside of the own namespace
	threads int
}

func ownHandles(tb testing.TB) handles {
	tb.Helper()
	own, err := netns.Current()
	if err != nil {
		tb.Fatal(err)
	}
	home := fmt.Sprintf("net:[%d]", own)
	var h handles
	for _, fd := range list(tb, "/proc/self/fd/*") {
		h.files++
		if link, err := os.Readlink(fd); err == nil && strings.HasPrefix(link, "net:") && link != home {
			h.foreign = append(h.foreign, fd+" → "+link)
		}
	}
	for _, ns := range list(tb, "/proc/self/task/*/ns/net") {
		h.threads++
		if link, err := os.Readlink(ns); err == nil && link != home {
			h.foreign = append(h.foreign, ns+" → "+link)
		}
	}
	return h
}

func list(tb testing.TB, pattern string) []string {
	tb.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// spareThreads are what the Go runtime may start while work goes on.
const spareThreads = 16

// A hundred namespaces come and go while they are walked: no error, and
// afterwards nothing refers to any of them.
func TestNamespacesThatComeAndGo(t *testing.T) {
	tracertest.RequireRoot(t)
	neighbour(t)
	tracer, err := Open(t.Context(), Options{Mode: tracertest.Mode(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	walk := func() {
		for _, err := range tracer.rounds.walker.walk(t.Context(), false).errs {
			t.Errorf("walk: %v", err)
		}
	}
	walk()
	before := ownHandles(t)
	whileNamespacesChange(t, walk)
	walk()
	checkHandles(t, before)
}

func TestDiagWhileNamespacesComeAndGo(t *testing.T) {
	tracertest.RequireRoot(t)
	neighbour(t)
	core, logged := observer.New(zap.WarnLevel)
	d, err := OpenDiag(t.Context(), Options{Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.round(t.Context())
	before := ownHandles(t)
	whileNamespacesChange(t, func() { d.round(t.Context()) })
	d.round(t.Context())
	checkHandles(t, before)
	for _, entry := range logged.All() {
		t.Errorf("warned: %s %v", entry.Message, entry.ContextMap())
	}
}

func checkHandles(t *testing.T, before handles) {
	t.Helper()
	after := ownHandles(t)
	if len(after.foreign) > 0 {
		t.Errorf("in foreign namespaces: %v", after.foreign)
	}
	if after.files > before.files {
		t.Errorf("descriptors: %d before, %d after", before.files, after.files)
	}
	if after.threads > before.threads+spareThreads {
		t.Errorf("threads: %d before, %d after", before.threads, after.threads)
	}
}

// whileNamespacesChange calls walk again and again while a hundred processes
// in namespaces of their own begin and end.
func whileNamespacesChange(t *testing.T, walk func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes := make(chan error, 1)
	go func() { changes <- comeAndGo(ctx, 100) }()
	for {
		select {
		case err := <-changes:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
			walk()
		}
	}
}

// neighbour is a process in a network namespace of its own that stays as long
// as the test.
func neighbour(t *testing.T) {
	t.Helper()
	cmd, err := tracertest.Idle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // t.Context has ended it by then
}

// comeAndGo starts count processes, each in a new network namespace, of which
// ten live at a time.
func comeAndGo(ctx context.Context, count int) (err error) {
	var living []*exec.Cmd
	end := func(cmd *exec.Cmd) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	defer func() {
		for _, cmd := range living {
			end(cmd)
		}
	}()
	for range count {
		cmd, err := tracertest.Idle(ctx)
		if err != nil {
			return err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if err := cmd.Start(); err != nil {
			return err
		}
		if living = append(living, cmd); len(living) > 10 {
			end(living[0])
			living = slices.Delete(living, 0, 1)
		}
	}
	return nil
}
