package event

import (
	"strconv"
	"syscall"
)

// Errno is a Linux error number, positive.
type Errno uint16

// The error numbers that port requests meet.
const (
	EPERM         = Errno(syscall.EPERM)
	EAGAIN        = Errno(syscall.EAGAIN)
	ENOMEM        = Errno(syscall.ENOMEM)
	EACCES        = Errno(syscall.EACCES)
	EINVAL        = Errno(syscall.EINVAL)
	EADDRINUSE    = Errno(syscall.EADDRINUSE)
	EADDRNOTAVAIL = Errno(syscall.EADDRNOTAVAIL)
)

// The names of what bind, connect, listen and send return (errno(3)); a
// number that is not here is printed as such.
var errnoNames = map[Errno]string{
	1: "EPERM", 2: "ENOENT", 4: "EINTR", 9: "EBADF", 11: "EAGAIN", 12: "ENOMEM", 13: "EACCES", 14: "EFAULT",
	16: "EBUSY", 19: "ENODEV", 20: "ENOTDIR", 22: "EINVAL", 23: "ENFILE", 24: "EMFILE", 28: "ENOSPC", 32: "EPIPE",
	88: "ENOTSOCK", 89: "EDESTADDRREQ", 90: "EMSGSIZE", 91: "EPROTOTYPE", 92: "ENOPROTOOPT",
	93: "EPROTONOSUPPORT", 95: "EOPNOTSUPP", 97: "EAFNOSUPPORT", 98: "EADDRINUSE", 99: "EADDRNOTAVAIL",
	100: "ENETDOWN", 101: "ENETUNREACH", 103: "ECONNABORTED", 104: "ECONNRESET", 105: "ENOBUFS",
	106: "EISCONN", 107: "ENOTCONN", 110: "ETIMEDOUT", 111: "ECONNREFUSED", 112: "EHOSTDOWN",
	113: "EHOSTUNREACH", 114: "EALREADY", 115: "EINPROGRESS",
}

// String is the symbolic name, "errno 123" for a number without one, and ""
// for 0.
func (e Errno) String() string {
	if e == 0 {
		return ""
	}
	if name, ok := errnoNames[e]; ok {
		return name
	}
	return "errno " + strconv.Itoa(int(e))
}
