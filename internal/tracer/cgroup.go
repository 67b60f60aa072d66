package tracer

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupTree leads to the root of the cgroup2 hierarchy.
type cgroupTree struct {
	path string // "" if there is none
	name string // for people
	fd   int    // of a private mount, else -1
}

// openCgroupTree finds the cgroup2 tree, or mounts it where nobody else sees
// it.
func openCgroupTree() (cgroupTree, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return cgroupTree{fd: -1}, fmt.Errorf("open mountinfo: %w", err)
	}
	defer f.Close()
	if path := findCgroup2(f); path != "" {
		return cgroupTree{path: path, name: path, fd: -1}, nil
	}
	fd, err := mountPrivately("cgroup2")
	if err != nil {
		return cgroupTree{fd: -1}, err
	}
	return cgroupTree{path: fmt.Sprintf("/proc/self/fd/%d", fd), name: "private mount", fd: fd}, nil
}

// findCgroup2 returns the mount point of a whole cgroup2 tree.
func findCgroup2(mountinfo io.Reader) string {
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		left, right, ok := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(left)
		if ok && len(fields) >= 5 && strings.HasPrefix(right, "cgroup2 ") && fields[3] == "/" {
			return unescapeMount(fields[4])
		}
	}
	return ""
}

// unescapeMount undoes the octal escapes of proc_pid_mountinfo(5).
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// Close ends a private mount.
func (c *cgroupTree) Close() error {
	if c.fd < 0 {
		return nil
	}
	fd := c.fd
	c.fd = -1
	return unix.Close(fd)
}
