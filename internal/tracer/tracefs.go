package tracer

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// tracefs leads to the kernel's list of tracepoints.
type tracefs struct {
	path string
	fd   int // of a private mount, else -1
}

// openTracefs finds tracefs, or mounts it where nobody else sees it.
func openTracefs() (tracefs, error) {
	for _, path := range [...]string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if _, err := os.Stat(filepath.Join(path, "events")); err == nil {
			return tracefs{path: path, fd: -1}, nil
		}
	}
	fd, err := mountPrivately("tracefs")
	if err != nil {
		return tracefs{fd: -1}, err
	}
	return tracefs{path: fmt.Sprintf("/proc/self/fd/%d", fd), fd: fd}, nil
}

// Close ends a private mount.
func (t tracefs) Close() error {
	if t.fd < 0 {
		return nil
	}
	return unix.Close(t.fd)
}

// attach attaches a program to a classic tracepoint, by its number: a perf
// event that no task reads, and a link on it (5.15).
func (t tracefs) attach(group, name string, prog *ebpf.Program) (link.Link, error) {
	text, err := os.ReadFile(filepath.Join(t.path, "events", group, name, "id"))
	if err != nil {
		return nil, fmt.Errorf("find tracepoint %s/%s: %w", group, name, ErrUnsupported)
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read number of tracepoint %s/%s: %w", group, name, err)
	}
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id}
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open tracepoint %s/%s: %w", group, name, err)
	}
	defer unix.Close(fd) // the link holds the event
	return link.AttachRawLink(link.RawLinkOptions{Target: fd, Program: prog, Attach: ebpf.AttachPerfEvent})
}

// mountPrivately mounts a file system that belongs to no mount namespace: it
// ends with its descriptor (fsmount(2), 5.2).
func mountPrivately(fstype string) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open file system %s: %w", fstype, err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("create file system %s: %w", fstype, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("mount file system %s: %w", fstype, err)
	}
	return fd, nil
}
