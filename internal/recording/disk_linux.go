package recording

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Create begins a recording in a new file that nobody else can read. It never
// adds to, or follows, what is there.
func Create(path string, o Options) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	w, err := newWriter(osDisk{f}, o)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

// osDisk is a file of the operating system.
type osDisk struct{ *os.File }

func (d osDisk) Sync() error {
	for {
		if err := unix.Fdatasync(int(d.Fd())); err != unix.EINTR {
			return err
		}
	}
}

func (d osDisk) FreeRatio() (float64, error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(d.Fd()), &s); err != nil {
		return 0, err
	}
	if s.Blocks == 0 {
		return 1, nil
	}
	return float64(s.Bavail) / float64(s.Blocks), nil
}

// Truncate cuts the file, and goes on writing where it ends.
func (d osDisk) Truncate(size int64) error {
	if err := d.File.Truncate(size); err != nil {
		return err
	}
	_, err := d.Seek(size, 0)
	return err
}

// isDiskFull reports whether a write failed for want of room.
func isDiskFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// openFile opens a file to read. A FIFO is opened at once, with or without a writer.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// awaitWriter waits until a FIFO has something to read, or has ended; before its
// first writer has come a read would say that it is over.
func awaitWriter(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Mode().Type() != os.ModeNamedPipe {
		return err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
}
