package netns

import (
	"strconv"
	"strings"
)

// parseLink takes the inode number out of "net:[4026531840]".
func parseLink(link string) (inode uint32, ok bool) {
	number, ok := strings.CutPrefix(link, "net:[")
	if !ok {
		return 0, false
	}
	number, ok = strings.CutSuffix(number, "]")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(number, 10, 32)
	return uint32(n), err == nil
}

// startField is the place of the start time, field 22 of proc_pid_stat(5),
// among the fields after the name.
const startField = 22 - 3

// parseStartTicks reads the start time, in clock ticks since boot, from a line
// of /proc/PID/stat. The name in parentheses may itself hold spaces and
// parentheses, so the count begins at the last one.
func parseStartTicks(stat string) (uint64, bool) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, false
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) <= startField {
		return 0, false
	}
	ticks, err := strconv.ParseUint(fields[startField], 10, 64)
	return ticks, err == nil
}

// mount is a bind mount of a network namespace.
type mount struct {
	inode uint32
	path  string
}

// parseMounts finds the network namespaces in proc_pid_mountinfo(5):
//
//	36 25 0:4 net:[4026532201] /run/netns/blue rw shared:7 - nsfs nsfs rw
//
// Lines of another shape are other mounts, or of a kernel that does not exist
// yet, and are passed over.
func parseMounts(mountinfo string) []mount {
	var mounts []mount
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		if !ok || !strings.HasPrefix(after, "nsfs ") {
			continue
		}
		fields := strings.Fields(before)
		if len(fields) < 5 {
			continue
		}
		if inode, ok := parseLink(fields[3]); ok {
			mounts = append(mounts, mount{inode: inode, path: unescape(fields[4])})
		}
	}
	return mounts
}

// unescape undoes the kernel's mangle_path (fs/seq_file.c), which writes
// space, tab, newline and backslash as three octal digits.
func unescape(path string) string {
	if !strings.Contains(path, `\`) {
		return path
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(path)
}
