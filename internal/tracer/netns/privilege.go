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
	user, err := os.Stat(dir + "/ns/user")
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
	defer func() { err = errors.Join(err, file.Close()) }()
	owner, err := related(file, unix.NS_GET_USERNS)
	for err == nil {
		at, statErr := owner.Stat()
		if statErr != nil {
			return false, errors.Join(statErr, owner.Close())
		}
		if os.SameFile(at, user) {
			return effective>>capability&1 == 1, owner.Close()
		}
		// Who made a namespace has every capability in it, from where it was made.
		maker, makerErr := ownerUID(owner)
		parent, parentErr := related(owner, unix.NS_GET_PARENT)
		if err = errors.Join(owner.Close(), makerErr, parentErr); err != nil {
			break
		}
		if above, statErr := parent.Stat(); statErr == nil && os.SameFile(above, user) && maker == uid {
			return true, parent.Close()
		}
		owner = parent
	}
	if errors.Is(err, unix.EPERM) && atTop(err) {
		return false, nil
	}
	return false, fmt.Errorf("find owner of network namespace %d: %w", ns.Inode, err)
}

// errTop says that no user namespace is above.
var errTop = errors.New("no user namespace is above, or none that may be seen")

func atTop(err error) bool { return errors.Is(err, errTop) }

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

func ownerUID(file *os.File) (uint32, error) {
	uid, err := unix.IoctlGetUint32(int(file.Fd()), unix.NS_GET_OWNER_UID)
	return uid, err
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
