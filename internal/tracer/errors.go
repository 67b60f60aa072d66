package tracer

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// What Open may run into, for errors.Is.
var (
	// ErrUnsupported: the kernel lacks something that the mode requires.
	ErrUnsupported = errors.New("not supported by this kernel")
	// ErrPermission: the kernel has it, and does not let us.
	ErrPermission = errors.New("permission denied")
)

// errNotSupp is the kernel's internal ENOTSUPP, which bpf() lets through and
// no header for user space names.
const errNotSupp = unix.Errno(524)

// HookError says which hook stands in the way, at which step, and why.
type HookError struct {
	Hook  string // name of the program
	Step  string // "load" or "attach"
	Cause error
}

func (e *HookError) Error() string { return e.Step + " " + e.Hook + ": " + e.Cause.Error() }

// Unwrap gives the cause to errors.Is and As.
func (e *HookError) Unwrap() error { return e.Cause }

// host is where the reasons for a refusal are looked up.
type host struct {
	capabilities uint64   // effective
	lockdown     string   // "none", "integrity", "confidentiality", "" if unknown
	lsm          []string // nil if unknown
	// securityfs tells whether the file system is mounted in which the kernel
	// names lockdown and security modules.
	securityfs bool
}

// The capabilities that portwatch needs, by number (linux/capability.h).
var needed = []struct {
	name string
	bit  uint
}{{"CAP_BPF", 39}, {"CAP_PERFMON", 38}, {"CAP_NET_ADMIN", 12}, {"CAP_SYS_ADMIN", 21}, {"CAP_SYS_PTRACE", 19}}

func readHost() host {
	h := host{capabilities: effectiveCapabilities()}
	const dir = "/sys/kernel/security"
	var fs unix.Statfs_t
	h.securityfs = unix.Statfs(dir, &fs) == nil && fs.Type == unix.SECURITYFS_MAGIC
	if text, err := os.ReadFile(dir + "/lockdown"); err == nil {
		_, after, _ := strings.Cut(string(text), "[")
		h.lockdown, _, _ = strings.Cut(after, "]")
	}
	if text, err := os.ReadFile(dir + "/lsm"); err == nil {
		h.lsm = strings.Split(strings.TrimSpace(string(text)), ",")
	}
	return h
}

func effectiveCapabilities() uint64 {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return 0
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective)
}

// needs splits the capabilities that portwatch needs into those that the
// process has and those that it lacks.
func (h host) needs() (held, missing []string) {
	for _, c := range needed {
		if h.capabilities>>c.bit&1 == 0 {
			missing = append(missing, c.name)
		} else {
			held = append(held, c.name)
		}
	}
	return held, missing
}

// has reports whether the process has one of the needed capabilities.
func (h host) has(name string) bool {
	for _, c := range needed {
		if c.name == name {
			return h.capabilities>>c.bit&1 == 1
		}
	}
	return false
}

// explain turns a refusal by the bpf() system call into a sentence. The
// library blames RLIMIT_MEMLOCK for every EPERM without a verifier's log,
// which has been untrue since 5.11 and sends people the wrong way.
func (h host) explain(err error) error {
	verdict, judged := errors.AsType[*ebpf.VerifierError](err)
	switch {
	case err == nil:
		return nil
	case judged && len(verdict.Log) > 0:
		// The verifier says EACCES and EINVAL too; it means the program.
		return fmt.Errorf("the verifier of this kernel refuses the program, which is a defect of portwatch: %w", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("EPERM: %s: %w", h.whyNot(), ErrPermission)
	case errors.Is(err, ebpf.ErrNotSupported), // no such function, among others
		errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINVAL), errors.Is(err, errNotSupp), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

// whyNot says what explains a refusal, and where nothing does, what was looked
// at and what could not be.
func (h host) whyNot() string {
	if _, missing := h.needs(); len(missing) > 0 {
		return "the process lacks " + strings.Join(missing, ", ")
	}
	if h.lockdown == "confidentiality" {
		return "kernel lockdown is in confidentiality mode"
	}
	const held = "the process holds every capability that this needs"
	switch {
	case h.lockdown == "" && h.lsm == nil && !h.securityfs:
		return held + "; lockdown and security modules cannot be read, securityfs is not mounted"
	case h.lockdown == "" && h.lsm == nil:
		return held + "; securityfs names neither lockdown nor security modules"
	}
	return held + ", lockdown is " + orNotReadable(h.lockdown) +
		", security modules are " + orNotReadable(strings.Join(h.lsm, ", ")) + ": none of these explains it"
}

func orNotReadable(word string) string {
	if word == "" {
		return "not readable"
	}
	return word
}
