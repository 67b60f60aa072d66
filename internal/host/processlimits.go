package host

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// processLimits are those of one process: its own, its user's and those of the
// cgroups it is in.
func processLimits(root fs.FS, p *Start) []Limit {
	dir := "proc/" + strconv.Itoa(p.PID)
	own := []Limit{
		openFiles(root, dir, p),
		userThreads(root, dir, p),
		Limit{
			Name: "mappings", Scope: "process", Unit: "mappings", Shared: true, Error: "mmap(), new threads: ENOMEM, EAGAIN",
			Raise: "sysctl -w vm.max_map_count=N, without a restart",
		}.of(countLines(root, dir+"/maps"), readNumber(root, "proc/sys/vm/max_map_count")),
	}
	for i := range own {
		own[i].Owner = p.Label
	}
	return append(own, groupLimits(root, dir, p)...)
}

// openFiles compares the descriptors with the soft limit, which counts: a
// program may raise it itself up to the hard one, and that up to fs.nr_open.
func openFiles(root fs.FS, dir string, p *Start) Limit {
	soft, hard := readRlimit(root, dir, "Max open files")
	l := Limit{Name: "open_files", Scope: "process", Unit: "files", PerSocket: true, Error: "socket(), accept(), open(): EMFILE"}.
		of(countEntries(root, dir+"/fd"), soft)
	now := ""
	if hard.why == "" {
		now = fmt.Sprintf("now: prlimit --pid %d --nofile=N:%s (hard limit %s); for good: ", p.PID, amount(hard.value), amount(hard.value))
	}
	l.Raise = now + p.raise(ways{
		directive: "LimitNOFILE=N", engine: "--ulimit nofile=N:N", session: "nofile N", shell: "ulimit -n N",
		pod: "the engine's default: LimitNOFILE= of containerd's or CRI-O's unit",
	})
	if ceiling := readNumber(root, "proc/sys/fs/nr_open"); ceiling.why == "" {
		l.Raise += fmt.Sprintf("; N up to fs.nr_open, %d", ceiling.value)
	}
	return l
}

// userThreads compares the threads of the process's user with RLIMIT_NPROC,
// which does not bind root (copy_process, kernel/fork.c).
func userThreads(root fs.FS, dir string, p *Start) Limit {
	soft, _ := readRlimit(root, dir, "Max processes")
	l := Limit{Name: "user_threads", Scope: "user", Unit: "threads", Shared: true, Error: "clone(), fork(): EAGAIN"}.
		of(threadsOf(root, p.UID), soft)
	l.Raise = p.raise(ways{
		directive: "LimitNPROC=N", engine: "--ulimit nproc=N:N", session: "nproc N", shell: "ulimit -u N",
		pod: "the engine's default: LimitNPROC= of containerd's or CRI-O's unit",
	})
	if p.UID == 0 {
		l.Max, l.Error = nil, "none: it does not bind root"
	}
	return l
}

// unlimitedValue stands for "unlimited" in a reading.
const unlimitedValue = ^uint64(0)

// endless is from where on a maximum is none: nothing on a host is so many, and
// readers of JSON round such numbers.
const endless = 1 << 53

// unlimited takes away a maximum that is none.
func (l Limit) unlimited() Limit {
	if l.Max != nil && *l.Max >= endless {
		l.Max = nil
	}
	return l
}

func amount(n uint64) string {
	if n == unlimitedValue {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// readRlimit reads a line such as
//
//	Max open files            1024                 524288               files
func readRlimit(root fs.FS, dir, name string) (soft, hard reading) {
	file := dir + "/limits"
	text, err := readText(root, file)
	if err != nil {
		return reading{why: err.Error()}, reading{why: err.Error()}
	}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		words := strings.Fields(rest)
		if ok && len(words) >= 2 {
			return limitOf(file, words[0]), limitOf(file, words[1])
		}
	}
	absent := reading{why: file + ": no line " + strconv.Quote(name)}
	return absent, absent
}

func limitOf(file, word string) reading {
	if word == "unlimited" || word == "max" {
		return reading{value: unlimitedValue}
	}
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return reading{why: fmt.Sprintf("%s: %q is no limit", file, word)}
	}
	return reading{value: n}
}

func countEntries(root fs.FS, dir string) reading {
	entries, err := fs.ReadDir(root, dir)
	if err != nil {
		return reading{why: err.Error()}
	}
	return reading{value: uint64(len(entries))}
}

func countLines(root fs.FS, name string) reading {
	text, err := readText(root, name)
	if err != nil {
		return reading{why: err.Error()}
	}
	return reading{value: uint64(strings.Count(text, "\n"))}
}

// threadsOf adds up the threads of all processes with the real user id.
func threadsOf(root fs.FS, uid uint32) reading {
	names, err := list(root, "proc", "[0-9]*")
	if err != nil {
		return reading{why: err.Error()}
	}
	total := uint64(0)
	for _, name := range names {
		text, err := readText(root, path.Join("proc", name, "status"))
		if err != nil {
			continue // it has ended
		}
		owner, threads := statusField(text, "Uid"), statusField(text, "Threads")
		if owner == strconv.FormatUint(uint64(uid), 10) {
			n, err := strconv.ParseUint(threads, 10, 64)
			if err == nil {
				total += n
			}
		}
	}
	return reading{value: total}
}

// statusField is the first word of a line "Name:\tword …" of /proc/PID/status.
func statusField(text, name string) string {
	_, after, found := strings.Cut("\n"+text, "\n"+name+":")
	words := strings.Fields(after)
	if !found || len(words) == 0 {
		return ""
	}
	return words[0]
}
