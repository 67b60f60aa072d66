package event

import (
	"bytes"
	"strconv"
)

// Comm is a task's name as the kernel keeps it: up to 15 bytes, padded with
// NUL. Any byte may occur in it; String makes it printable.
type Comm [16]byte

// CommOf makes a Comm of a name, cut to 15 bytes.
func CommOf(name string) Comm {
	var c Comm
	copy(c[:len(c)-1], name)
	return c
}

// String is the name up to the first NUL, with every byte that is not
// printable ASCII, or part of valid UTF-8, shown as '?': a process chooses its own name,
// and a terminal must not obey it.
func (c Comm) String() string {
	name := c[:]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	return Printable(string(name))
}

// OwnerKind tells what an owner is.
type OwnerKind uint8

// The kinds of owners. Unknown is an owner of its own and is shown.
const (
	OwnerUnknown OwnerKind = iota
	OwnerProcess
	OwnerCgroup // only the cgroup is known
	OwnerKernel // a socket of the kernel's own
)

var ownerKindWords = [...]string{
	OwnerUnknown: "unknown", OwnerProcess: "process", OwnerCgroup: "cgroup", OwnerKernel: "kernel",
}

func (k OwnerKind) String() string { return word(ownerKindWords[:], int(k)) }

// Confidence says how an owner came to be known.
type Confidence uint8

// The degrees of confidence.
const (
	ConfidenceUnknown  Confidence = iota
	ConfidenceCgroup              // only the cgroup is known
	ConfidenceSnapshot            // found through a descriptor table, after the fact
	ConfidenceExact               // seen in the system call that took the port
)

var confidenceWords = [...]string{
	ConfidenceUnknown: "unknown", ConfidenceCgroup: "cgroup",
	ConfidenceSnapshot: "snapshot", ConfidenceExact: "exact",
}

func (c Confidence) String() string { return word(confidenceWords[:], int(c)) }

// OwnerID tells owners apart. It is comparable and holds for one boot: a pid
// that is used again, and a process that execs another program, are new
// owners.
type OwnerID struct {
	Kind      OwnerKind
	PID       uint32 // thread group id in the tracer's pid namespace's root
	StartTime Time   // when the process started
	Exec      uint16 // counts the execs of the process, modulo 65536
	Cgroup    uint64 // OwnerCgroup only
}

// String is "<pid>@<start>", "cgroup:<id>", "kernel" or "unknown".
func (id OwnerID) String() string {
	switch id.Kind {
	case OwnerProcess:
		return strconv.FormatUint(uint64(id.PID), 10) + "@" + strconv.FormatUint(uint64(id.StartTime), 10)
	case OwnerCgroup:
		return "cgroup:" + strconv.FormatUint(id.Cgroup, 10)
	default:
		return id.Kind.String()
	}
}

// Owner is who obtained a lease, as it was at that moment.
type Owner struct {
	Kind       OwnerKind
	Confidence Confidence
	PID        uint32
	StartTime  Time
	Exec       uint16
	Comm       Comm // the thread group leader's
	UID        uint32
	CgroupID   uint64 // of the task; of the socket where only that is known
}

// ID is the owner's identity.
func (o *Owner) ID() OwnerID {
	switch o.Kind {
	case OwnerProcess:
		return OwnerID{Kind: OwnerProcess, PID: o.PID, StartTime: o.StartTime, Exec: o.Exec}
	case OwnerCgroup:
		return OwnerID{Kind: OwnerCgroup, Cgroup: o.CgroupID}
	default:
		return OwnerID{Kind: o.Kind}
	}
}
