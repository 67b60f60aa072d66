package tracertest

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// setName names the calling thread, prctl(PR_SET_NAME).
func setName(name string) {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return
	}
	_, _, _ = unix.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(p)), 0, 0, 0, 0)
}

// disconnect is connect(2) with AF_UNSPEC, which package unix cannot say.
func disconnect(fd int) error {
	var sa unix.RawSockaddr
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa))
	if errno != 0 {
		return errno
	}
	return nil
}
