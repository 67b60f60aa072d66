package tracer

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/portwatch/portwatch/internal/event"
)

// instanceProgram is the program by which a portwatch is known: every mode
// that attaches anything loads it, once.
const instanceProgram = "pw_set_state"

// Instance is a portwatch whose programs are loaded.
type Instance struct {
	Program uint32 // id of its program
	// PID and Comm are a process that holds the program; 0 and "" if none was
	// found: it may live where /proc does not show it, or be pinned.
	PID  int
	Comm string
}

// Instances are the portwatch on the host that have programs in the kernel.
// One in mode diag has none, and disturbs nobody.
type Instances struct {
	Found []Instance
	// Listed is false if the kernel would not tell its programs.
	Listed bool
	// Unknown says why Found may not be all, or why a holder may be missing;
	// "" if everything could be read.
	Unknown string
}

// FindInstances asks the kernel for loaded programs of portwatch's name, and
// procRoot for the processes that hold them.
func FindInstances(procRoot string) Instances {
	programs, err := programsNamed(instanceProgram)
	if err != nil {
		return Instances{Unknown: err.Error()}
	}
	if len(programs) == 0 {
		return Instances{Listed: true}
	}
	holders, hidden := programHolders(procRoot, programs)
	found := Instances{Listed: true, Unknown: hidden}
	for _, id := range programs {
		if len(holders[id]) == 0 {
			found.Found = append(found.Found, Instance{Program: id})
		}
		for _, pid := range holders[id] {
			found.Found = append(found.Found, Instance{Program: id, PID: pid, Comm: commOf(procRoot, pid)})
		}
	}
	return found
}

// programsNamed lists the ids of the loaded programs with the name. It needs
// CAP_SYS_ADMIN. A program that ends meanwhile is none.
func programsNamed(name string) ([]uint32, error) {
	var ids []uint32
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, fs.ErrNotExist) {
			return ids, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list BPF programs: %w", err)
		}
		id = next
		if programName(id) == name {
			ids = append(ids, uint32(id))
		}
	}
}

func programName(id ebpf.ProgramID) string {
	prog, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return ""
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil {
		return ""
	}
	return info.Name
}

// programHolders finds the processes that hold one of the programs, by the
// prog_id lines of their descriptors (bpf_prog_show_fdinfo and
// bpf_link_show_fdinfo, kernel/bpf/syscall.c). hidden says which processes
// could not be looked into.
func programHolders(procRoot string, programs []uint32) (holders map[uint32][]int, hidden string) {
	entries, err := os.ReadDir(procRoot)
	if err != nil {
		return nil, fmt.Sprintf("list processes: %v", err)
	}
	holders, unreadable := map[uint32][]int{}, 0
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		held, err := heldPrograms(filepath.Join(procRoot, entry.Name()))
		if errors.Is(err, fs.ErrPermission) {
			unreadable++
		}
		for _, id := range programs {
			if held[id] {
				holders[id] = append(holders[id], pid)
			}
		}
	}
	if unreadable > 0 {
		hidden = fmt.Sprintf("the descriptors of %d processes cannot be read", unreadable)
	}
	return holders, hidden
}

// heldPrograms are the programs that a process holds. A process or descriptor
// that is gone meanwhile is no error.
func heldPrograms(dir string) (map[uint32]bool, error) {
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return nil, err
	}
	held := map[uint32]bool{}
	for _, fd := range fds {
		link, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
		if err != nil || !strings.HasPrefix(link, "anon_inode:bpf") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, "fdinfo", fd.Name()))
		if err != nil {
			continue
		}
		if id, ok := programID(string(text)); ok {
			held[id] = true
		}
	}
	return held, nil
}

// programID reads the line "prog_id:\t12" of an fdinfo file.
func programID(fdinfo string) (uint32, bool) {
	lines := bufio.NewScanner(strings.NewReader(fdinfo))
	for lines.Scan() {
		if word, ok := strings.CutPrefix(lines.Text(), "prog_id:"); ok {
			id, err := strconv.ParseUint(strings.TrimSpace(word), 10, 32)
			return uint32(id), err == nil
		}
	}
	return 0, false
}

func commOf(procRoot string, pid int) string {
	text, err := os.ReadFile(filepath.Join(procRoot, strconv.Itoa(pid), "comm"))
	if err != nil {
		return ""
	}
	return event.CommOf(strings.TrimSuffix(string(text), "\n")).String()
}
