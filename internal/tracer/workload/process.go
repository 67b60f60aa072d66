package workload

import (
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every
// architecture that portwatch runs on.
const tick = event.Time(10_000_000)

// maxProcText bounds what is read of a file of a process.
const maxProcText = 64 << 10

// process is what /proc tells of a process now.
type process struct {
	exe    string
	groups memberships
}

// readProcess reads the owner's process, or nothing if it has ended. The check
// of the start time comes last: a pid that belongs to the owner then has
// belonged to it all the time. The executable is the owner's only while the
// name is: an exec changes both.
func readProcess(proc fs.FS, owner *event.Owner) process {
	dir := strconv.FormatUint(uint64(owner.PID), 10)
	exe, _ := fs.ReadLink(proc, path.Join(dir, "exe")) // none for kernel threads
	groups, _ := readFile(proc, path.Join(dir, "cgroup"), maxProcText)
	text, err := readFile(proc, path.Join(dir, "stat"), maxProcText)
	if err != nil {
		return process{}
	}
	stat, ok := parseStat(string(text))
	if !ok || owner.StartTime == 0 || stat.start != owner.StartTime-owner.StartTime%tick {
		return process{}
	}
	if event.CommOf(stat.comm) != owner.Comm {
		exe = ""
	}
	return process{exe: exe, groups: parseMemberships(string(groups))}
}

// stat is the part of proc_pid_stat(5) that tells processes apart.
type stat struct {
	comm  string
	start event.Time // to one tick, rounded down
}

// startField is the place of the start time, field 22, among the fields after
// the name.
const startField = 22 - 3

// parseStat parses a line of /proc/PID/stat. The name stands in parentheses
// and may hold spaces and parentheses itself.
func parseStat(text string) (stat, bool) {
	begin, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if begin < 0 || end < begin {
		return stat{}, false
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) <= startField {
		return stat{}, false
	}
	ticks, err := strconv.ParseUint(fields[startField], 10, 64)
	if err != nil || event.Time(ticks) > ^event.Time(0)/tick {
		return stat{}, false
	}
	return stat{comm: text[begin+1 : end], start: event.Time(ticks) * tick}, true
}

// readFile reads a file of at most limit bytes. A longer one is cut: the
// parsers take what is whole.
func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, limit))
}
