package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrGone says that a path does not lead to the asked namespace any more: it
// does not exist, or it belongs to another namespace now.
var ErrGone = errors.New("network namespace is gone")

// threadPath is the namespace of the calling thread. /proc/self/ns/net would
// be that of the main thread.
const threadPath = "/proc/thread-self/ns/net"

// Current is the inode number of the calling thread's network namespace.
// Unless its thread is locked, a goroutine may move to another thread; all of
// portwatch's threads live in one namespace but those inside [Do].
func Current() (uint32, error) {
	var st unix.Stat_t
	if err := unix.Stat(threadPath, &st); err != nil {
		return 0, fmt.Errorf("stat %s: %w", threadPath, err)
	}
	return uint32(st.Ino), nil
}

// Cookie is the cookie of the calling thread's network namespace: unlike the
// inode number it is never used twice in one boot. It is read from an AF_UNIX
// socket, which belongs to a namespace like any other and takes no port.
// Kernels before 5.14 have no SO_NETNS_COOKIE; the error is ENOPROTOOPT there.
func Cookie() (cookie uint64, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open unix socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("read SO_NETNS_COOKIE: %w", err)
	}
	return cookie, nil
}

// open opens the namespace at path and makes sure that it is the one asked
// for: behind /proc/PID/ns/net may be another process by now.
func open(path string, inode uint32) (*os.File, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || hasEnded(path, err) {
		return nil, fmt.Errorf("%w: net:[%d]: %w", ErrGone, inode, err)
	}
	if err != nil {
		return nil, err
	}
	if err := check(file, inode); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func check(file *os.File, inode uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", file.Name(), err)
	}
	if st.Ino != uint64(inode) {
		return fmt.Errorf("%w: %s is inode %d, not %d", ErrGone, file.Name(), st.Ino, inode)
	}
	return nil
}

// hasEnded reports whether a refusal means that the process of /proc/PID/ns/net
// ended in between: the kernel says EACCES for a task that is no more
// (proc_ns_get_link, fs/proc/namespaces.c).
func hasEnded(path string, err error) bool {
	if !errors.Is(err, unix.EACCES) {
		return false
	}
	_, err = os.Stat(filepath.Dir(filepath.Dir(path)))
	return errors.Is(err, fs.ErrNotExist)
}

// enter moves the calling thread into the namespace of file.
func enter(file *os.File) error {
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", file.Name(), err)
	}
	return nil
}
