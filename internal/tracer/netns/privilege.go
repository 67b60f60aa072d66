package netns

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Holds reports whether a process holds a capability, by its number, over a network
// namespace: what the kernel's ns_capable() says of it. pid is that of a process
// in /proc. An error says that it could not be found out.
func (ns Namespace) Holds(pid int, capability uint) (holds bool, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	lives, err := os.Stat(dir + "/ns/user")
	if err != nil {
		return false, fmt.Errorf("read user namespace of process %d: %w", pid, err)
	}
	effective, uid, err := readPowers(dir)
	if err != nil {
		return false, err
	}
	file, err := open(ns.Path, ns.Inode)
	if err != nil {
		return false, err
	}
	owner, err := related(file, unix.NS_GET_USERNS)
	if err = errors.Join(err, file.Close()); err != nil {
		return false, fmt.Errorf("find owner of network namespace %d: %w", ns.Inode, err)
	}
	above, made, err := climb(owner, lives, uid)
	switch {
	case errors.Is(err, errTop):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("find owner of network namespace %d: %w", ns.Inode, err)
	}
	return above && (made || effective>>capability&1 == 1), nil
}

// climb goes up from a user namespace, which it closes, to the one that a process
// lives in. made says that the process's user made the last one below: then it has
// every capability there.
func climb(at *os.File, lives os.FileInfo, uid uint32) (found, made bool, err error) {
	for {
		here, err := at.Stat()
		if err != nil || os.SameFile(here, lives) {
			return err == nil, made, errors.Join(err, at.Close())
		}
		maker, makerErr := unix.IoctlGetUint32(int(at.Fd()), unix.NS_GET_OWNER_UID)
		parent, parentErr := related(at, unix.NS_GET_PARENT)
		if err := errors.Join(parentErr, makerErr, at.Close()); err != nil {
			return false, false, err
		}
		at, made = parent, maker == uid
	}
}

// errTop says that no user namespace is above.
var errTop = errors.New("no user namespace is above, or none that may be seen")

// related opens the namespace that an ioctl of ns(7) leads to.
func related(file *os.File, request uint) (*os.File, error) {
	fd, err := unix.IoctlRetInt(int(file.Fd()), request)
	if err != nil && request == unix.NS_GET_PARENT {
		return nil, fmt.Errorf("%w: %w", errTop, err)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "user namespace"), nil
}

// readPowers reads the effective capabilities and the effective user of a process.
func readPowers(dir string) (effective uint64, uid uint32, err error) {
	text, err := os.ReadFile(dir + "/status")
	if err != nil {
		return 0, 0, fmt.Errorf("read capabilities: %w", err)
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "CapEff:":
			effective, err = strconv.ParseUint(fields[1], 16, 64)
			found++
		case len(fields) == 5 && fields[0] == "Uid:":
			var n uint64
			n, err = strconv.ParseUint(fields[2], 10, 32)
			uid = uint32(n)
			found++
		}
		if err != nil {
			return 0, 0, fmt.Errorf("parse %s/status: %w", dir, err)
		}
	}
	if found != 2 {
		return 0, 0, fmt.Errorf("parse %s/status: no capabilities or no user", dir)
	}
	return effective, uid, nil
}
