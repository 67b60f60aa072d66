package event

import (
	"net/netip"
	"strconv"
	"time"
)

// Time is nanoseconds since boot, suspend included (CLOCK_BOOTTIME). Zero
// means "not known".
type Time uint64

// LeaseID names one lease: the socket that holds a local port, and the moment
// at which the kernel gave it. The cookie alone is no key: a socket may hold
// several leases one after another, and a half-closed socket that connects
// again holds a live lease and a TIME_WAIT lease at once.
type LeaseID struct {
	// Cookie is the kernel's socket cookie, unique per boot.
	Cookie uint64
	// Born is when the kernel gave the port, or, for a lease that is older
	// than the tracer, when the walk first saw it.
	Born Time
}

// String renders the identity as "<cookie>-<born>".
func (id LeaseID) String() string {
	buf := make([]byte, 0, 41)
	buf = strconv.AppendUint(buf, id.Cookie, 10)
	buf = append(buf, '-')
	buf = strconv.AppendUint(buf, uint64(id.Born), 10)
	return string(buf)
}

// PortRange is an inclusive range of ports; the zero value is "none".
type PortRange struct {
	Low, High uint16
}

// IsZero reports whether the range is absent.
func (r PortRange) IsZero() bool { return r == PortRange{} }

// Ports is the number of ports in the range.
func (r PortRange) Ports() int {
	if r.IsZero() || r.High < r.Low {
		return 0
	}
	return int(r.High) - int(r.Low) + 1
}

// Contains reports whether port lies in the range.
func (r PortRange) Contains(port uint16) bool {
	return !r.IsZero() && r.Low <= port && port <= r.High
}

// String renders the range as "low-high", and the zero range as "".
func (r PortRange) String() string {
	if r.IsZero() {
		return ""
	}
	return strconv.Itoa(int(r.Low)) + "-" + strconv.Itoa(int(r.High))
}

// Lease is one local port held by one socket, from the moment the kernel
// gives it until the kernel has it back.
type Lease struct {
	ID       LeaseID
	NetNS    uint32 // inode of the network namespace
	Device   uint32 // interface index that the socket is bound to, 0 for none
	Protocol Protocol
	Family   Family
	State    State
	Substate Substate
	Origin   Origin
	Local    netip.AddrPort // address may be unspecified, port never 0
	Remote   netip.AddrPort // invalid while there is no far end
	// Range is the socket's own range (IP_LOCAL_PORT_RANGE); zero if it draws
	// from its namespace's.
	Range PortRange
	Owner Owner
	// V6Only says that an IPv6 socket does not stand for IPv4 addresses too.
	V6Only bool
	// Expires is the earliest moment at which a TIME_WAIT gives its port
	// back; 0 for every other state.
	Expires Time
	// Entered is when a mini-socket entered its sub-state TIME_WAIT, from
	// which the delay of tcp_tw_reuse counts; 0 if it has not, or if that is
	// not known.
	Entered Time
	// TimestampsSeen says that a TIME_WAIT's connection used TCP timestamps:
	// without them connect() never takes it over.
	TimestampsSeen bool
}

// Event is one fact. Kind says which of the fields carry it; the others are
// zero. Events are values: a reader may keep a copy, and the pointers in it
// are never written to again.
type Event struct {
	Kind Kind
	Time Time

	// Lease is the whole lease for KindAllocate, KindTimeWait and
	// KindCorrection. For KindState and KindRelease only ID, NetNS, State and
	// Local may be trusted: the reader of the stream knows the rest.
	Lease Lease
	// From is the state that a KindState or KindRelease event left.
	From State
	// Cause says how a KindRelease came about.
	Cause Cause
	// Successor is the lease that took over a reused TIME_WAIT.
	Successor LeaseID
	// Thread called the kernel: it may bear another name than its process.
	Thread Thread
	// SocketCgroup is the cgroup in which the socket was created, which may
	// differ from its owner's today.
	SocketCgroup uint64
	// NamespaceRange is the namespace's port range as the kernel used it at
	// this allocation or failure.
	NamespaceRange PortRange
	// IdleSince is when the connection of a KindIdle last carried data, either way, to
	// a jiffy, if that is at least IdleAfter ago; 0 if it has carried some since. A KindIdle
	// without a lease ends a look at all connections: of which nothing was told
	// carried data within IdleAfter of then. Told by audits, so up to some seconds
	// late, and on hosts with many sockets up to minutes.
	IdleSince Time
	// SearchNanos is how long the kernel looked for the port; 0 if unknown.
	SearchNanos uint64

	Correction Correction // KindCorrection
	Failure    *Failure   // KindFailure
	Limits     *Limits    // KindLimits
	Namespace  *Namespace // KindNetNS
	Process    *Process   // KindOwner
	Lost       *Lost      // KindLost
	Accepted   *Accepted  // KindAccepted
	Fork       *Fork      // KindFork
	Start      *Start     // KindStart
}

// IdleAfter is how long a connection carries no data until it is idle.
const IdleAfter = time.Minute

// Thread is the thread that made the system call.
type Thread struct {
	TID  uint32
	Comm Comm
}

// Failure is a bind, connect, listen or send that the kernel refused, or
// several alike.
type Failure struct {
	Operation Operation
	Errno     Errno // 0 where the mode cannot know it
	Reason    Reason
	NetNS     uint32
	Device    uint32
	Protocol  Protocol
	Family    Family
	// Local is what was asked for, port included: 0 asks for any port.
	// Invalid if the caller named no local address.
	Local  netip.AddrPort
	Remote netip.AddrPort // invalid if there is none
	Range  PortRange      // the socket's own range, as in Lease
	Owner  Owner
	// Count is the number of refusals that this event adds to the total.
	Count       uint64
	First, Last Time // of those
	// Folded is true where the kernel side had no room left to keep
	// addresses apart: the count is exact, the addresses are absent.
	Folded bool
}

// Limits are the settings of one namespace that decide how ports are given.
// They are told before the first event that depends on them.
type Limits struct {
	NetNS    uint32
	Range    PortRange
	Reserved []PortRange // ascending, not overlapping
	// TWReuse is net.ipv4.tcp_tw_reuse: 0 off, 1 on, 2 for loopback only.
	TWReuse int
	// TWReuseDelayMillis is net.ipv4.tcp_tw_reuse_delay; nil before 6.18, where the
	// kernel waits for the next whole second.
	TWReuseDelayMillis *int
	Timestamps         int
	MaxTWBuckets       int
	FinTimeoutSeconds  int
	UnprivilegedStart  int
	// StepWidth is net.ipv4.ip_local_port_step_width; nil where the kernel
	// has none.
	StepWidth *int
}

// Namespace tells of a network namespace.
type Namespace struct {
	NetNS  uint32
	Cookie uint64 // unique per boot; 0 if unknown
	// Name is a word that -N accepts; "" while unknown.
	Name string
	// Gone ends every lease in the namespace.
	Gone bool
}

// Process tells of an owner: that it ended or became another program, or
// what could be found out about it.
type Process struct {
	Owner        Owner
	Exited       bool
	Exe          string
	Cgroup       string // path within the cgroup2 hierarchy
	Unit         string
	ContainerID  string
	Container    string
	PodUID       string
	Pod          string
	PodNamespace string
}

// Lost is a loss: Count things of kind What did not reach the stream.
type Lost struct {
	What  string // "news", "alarms", "lease", "time_wait", "program", …
	CPU   int    // -1 if it is not one CPU's
	Cause LostCause
	Count uint64
	// Errno is that of a failed map update; 0 otherwise.
	Errno Errno
}

// Accepted is how many accepted sockets a listen port has, as last counted: at
// most a second old. They cost no ephemeral port, but hold theirs against
// bind(), and after the listener has gone against connect() as well.
type Accepted struct {
	NetNS    uint32
	Device   uint32
	Port     uint16
	Live     int // full sockets
	TimeWait int // mini-sockets of either sub-state
}

// Fork tells that a process made another, before whatever else is told of the
// child. Parent is the process that called the kernel, whoever is told to wait
// for the child. Threads are not told of, nor what the kernel starts by itself.
type Fork struct {
	Parent, Child OwnerID
}

// Start opens every stream and carries what does not change while it lasts.
type Start struct {
	Host   string
	BootID string
	Kernel string
	Mode   Mode
	// Reason is why no better mode is used; "" if none was asked for.
	Reason   string
	WallNano int64 // wall clock, Unix nanoseconds, at Event.Time
	// Unavailable names the facts that this mode cannot know.
	Unavailable []string
	// TickHz is the kernel's timer frequency; 0 if unknown.
	TickHz int
	// Poison is how long a port that somebody bound is lost for connect().
	Poison Poison
	// OwnRangeInOnePass says that connect() goes through a socket's own range
	// (IP_LOCAL_PORT_RANGE) in one pass instead of one for each parity.
	OwnRangeInOnePass bool
}
