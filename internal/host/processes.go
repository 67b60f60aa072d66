package host

import (
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// process is a running program, as far as claims need it.
type process struct {
	pid  int
	args []string // args[0] is the program; never empty
}

// label names the process for people: "kubelet[812]".
func (p *process) label() string { return p.name() + "[" + strconv.Itoa(p.pid) + "]" }

// name is the program without its directory.
func (p *process) name() string { return path.Base(p.args[0]) }

// flag is the value of a command line flag, "--name=value" or "--name value";
// the last one counts.
func (p *process) flag(name string) (value string, found bool) {
	for i, arg := range p.args {
		word, ok := strings.CutPrefix(arg, "--"+name)
		switch {
		case !ok:
		case strings.HasPrefix(word, "="):
			value, found = word[1:], true
		case word == "" && i+1 < len(p.args):
			value, found = p.args[i+1], true
		}
	}
	return value, found
}

// processes lists the programs that /proc shows. Tasks without a command line,
// the kernel's own among them, claim nothing.
func processes(fsys fs.FS) ([]process, []Unread) {
	names, err := list(fsys, "proc", "[0-9]*")
	if err != nil {
		return nil, []Unread{{"running programs", err.Error()}}
	}
	var all []process
	refused := 0
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		text, err := readText(fsys, "proc/"+name+"/cmdline")
		if err != nil && !isAbsent(err) && !errors.Is(err, syscall.ESRCH) { // it ended meanwhile
			refused++
		}
		if args := strings.Split(strings.TrimRight(text, "\x00\n"), "\x00"); args[0] != "" {
			all = append(all, process{pid: pid, args: retitled(args)})
		}
	}
	return all, unreadProcesses(len(names), refused, fsys)
}

// retitled splits a command line that the program has written over: one string
// with spaces, as k3s ("/usr/local/bin/k3s server") makes it.
func retitled(args []string) []string {
	if len(args) == 1 && strings.Contains(args[0], " ") {
		return strings.Fields(args[0])
	}
	return args
}

// unreadProcesses says which programs may be missing. Where process 1 is not
// shown, the others are hidden too: hidepid of proc(5).
func unreadProcesses(found, refused int, fsys fs.FS) []Unread {
	switch _, err := fs.Stat(fsys, "proc/1"); {
	case found == 0:
		return []Unread{{"running programs", "proc shows none"}}
	case refused > 0:
		return []Unread{{"running programs", strconv.Itoa(refused) + " command lines cannot be read"}}
	case err != nil:
		return []Unread{{"running programs", "proc hides those of other users: " + err.Error()}}
	}
	return nil
}
