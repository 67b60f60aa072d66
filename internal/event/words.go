package event

// Each enumeration below has one spelling, used in code, columns, JSON keys
// and text alike. The zero value is always "not known" and renders as "".

// Kind says what an event tells.
type Kind uint8

// The kinds of events.
const (
	KindStart      Kind = iota + 1 // the stream begins
	KindAllocate                   // the kernel gave a port
	KindState                      // the lease's socket changed its state
	KindTimeWait                   // the socket is gone, its port waits
	KindRelease                    // the kernel has the port back
	KindFailure                    // the kernel refused
	KindLimits                     // settings of a namespace
	KindNetNS                      // a namespace appeared, was named, is gone
	KindOwner                      // a process exec'd, exited, was named
	KindLost                       // something did not reach the stream
	KindCorrection                 // the stream was wrong; this is what holds
	KindTick                       // what happened up to here has been told; once a second
	KindAccepted                   // how many accepted sockets a listen port has
	KindFork                       // a process made another; told on demand only
	KindIdle                       // a connection carries no data, or does again
)

var kindWords = [...]string{
	KindStart: "start", KindAllocate: "allocate", KindState: "state", KindTimeWait: "time_wait",
	KindRelease: "release", KindFailure: "failure", KindLimits: "limits", KindNetNS: "netns",
	KindOwner: "owner", KindLost: "lost", KindCorrection: "correction", KindTick: "tick", KindAccepted: "accepted",
	KindFork: "fork",
	KindIdle: "idle",
}

func (k Kind) String() string { return word(kindWords[:], int(k)) }

// Protocol is the transport protocol, by its IP protocol number.
type Protocol uint8

// The protocols that are watched.
const (
	TCP Protocol = 6
	UDP Protocol = 17
)

func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return ""
}

// Family is that of the addresses: a v4-mapped address is IPv4.
type Family uint8

// The address families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	}
	return ""
}

// State is the state of a socket: the kernel's TCP states by their numbers
// (include/net/tcp_states.h, unchanged since 2.6), and three of our own.
type State uint8

// The states of a socket.
const (
	StateUnknown     State = 0
	StateEstablished State = 1
	StateSynSent     State = 2
	StateSynRecv     State = 3
	StateFinWait1    State = 4
	StateFinWait2    State = 5
	StateTimeWait    State = 6
	StateClose       State = 7
	StateCloseWait   State = 8
	StateLastAck     State = 9
	StateListen      State = 10
	StateClosing     State = 11
	StateNewSynRecv  State = 12

	StateBound       State = 32 // TCP: a port, neither connected nor listening
	StateUnconnected State = 33 // UDP
	StateConnected   State = 34 // UDP
)

var stateWords = [...]string{
	StateEstablished: "ESTABLISHED", StateSynSent: "SYN_SENT", StateSynRecv: "SYN_RECV",
	StateFinWait1: "FIN_WAIT1", StateFinWait2: "FIN_WAIT2", StateTimeWait: "TIME_WAIT",
	StateClose: "CLOSE", StateCloseWait: "CLOSE_WAIT", StateLastAck: "LAST_ACK",
	StateListen: "LISTEN", StateClosing: "CLOSING", StateNewSynRecv: "NEW_SYN_RECV",
	StateBound: "BOUND", StateUnconnected: "UNCONNECTED", StateConnected: "CONNECTED",
}

func (s State) String() string { return word(stateWords[:], int(s)) }

// Substate tells the two kinds of mini-sockets apart.
type Substate uint8

// The sub-states of a TIME_WAIT.
const (
	SubstateUnknown  Substate = 0
	SubstateFinWait2 Substate = 5
	SubstateTimeWait Substate = 6
)

var substateWords = [...]string{SubstateFinWait2: "fin_wait2", SubstateTimeWait: "time_wait"}

func (s Substate) String() string { return word(substateWords[:], int(s)) }

// Origin says by which request the port was given.
type Origin uint8

// The origins of a lease.
const (
	OriginUnknown  Origin = iota
	OriginConnect         // connect() chose the port
	OriginBind            // bind() asked for it by number
	OriginBind0           // bind() asked for any port
	OriginListen          // listen() on an unbound socket
	OriginAutobind        // UDP connect() or send on an unbound socket
	OriginAccept          // an accepted socket: holders only, never a lease
)

var originWords = [...]string{
	OriginConnect: "connect", OriginBind: "bind", OriginBind0: "bind0",
	OriginListen: "listen", OriginAutobind: "autobind", OriginAccept: "accept", OriginUnknown: "unknown",
}

func (o Origin) String() string { return word(originWords[:], int(o)) }

// Cause says how a lease ended.
type Cause uint8

// The causes of a release.
const (
	CauseUnknown      Cause = iota
	CauseClosed             // the socket gave its port back
	CauseExpired            // TIME_WAIT ran out
	CauseReused             // a connect() took the TIME_WAIT over
	CauseKilled             // the TIME_WAIT was ended by a reset, a new SYN or an administrator
	CauseReset              // the peer reset the connection
	CauseOverflow           // no room for a TIME_WAIT: tcp_max_tw_buckets
	CauseNetNS              // the namespace ended
	CauseDisconnected       // a failed connect or connect(AF_UNSPEC): the socket lives on without the port
	CauseLost               // an audit found it gone; when it went is not known
)

var causeWords = [...]string{
	CauseClosed: "closed", CauseExpired: "expired", CauseReused: "reused", CauseKilled: "killed",
	CauseReset: "reset", CauseOverflow: "overflow", CauseNetNS: "netns",
	CauseDisconnected: "disconnected", CauseLost: "lost",
}

func (c Cause) String() string { return word(causeWords[:], int(c)) }

// Operation is the call that was refused.
type Operation uint8

// The operations that can be refused.
const (
	OperationBind Operation = iota + 1
	OperationConnect
	OperationListen
	OperationSend
)

var operationWords = [...]string{
	OperationBind: "bind", OperationConnect: "connect", OperationListen: "listen", OperationSend: "send",
}

func (o Operation) String() string { return word(operationWords[:], int(o)) }

// Reason says why a call was refused.
type Reason uint8

// The reasons of a failure.
const (
	ReasonOther           Reason = iota + 1 // none of the below
	ReasonPoolExhausted                     // connect: no tuple left towards the far end
	ReasonRangeExhausted                    // bind(0), unbound listen, UDP autobind: no port left
	ReasonPortHeld                          // the port that was asked for is held
	ReasonTupleTaken                        // connect from a bound port: the 4-tuple exists
	ReasonPrivileged                        // below ip_unprivileged_port_start
	ReasonAddressNotLocal                   // bind to an address this host does not have
	ReasonNoSourceAddress                   // connect: no address to start from
	ReasonPolicy                            // a cgroup program or LSM refused
	ReasonNoMemory
)

var reasonWords = [...]string{
	ReasonOther: "other", ReasonPoolExhausted: "pool_exhausted", ReasonRangeExhausted: "range_exhausted",
	ReasonPortHeld: "port_held", ReasonTupleTaken: "tuple_taken", ReasonPrivileged: "privileged",
	ReasonAddressNotLocal: "address_not_local", ReasonNoSourceAddress: "no_source_address",
	ReasonPolicy: "policy", ReasonNoMemory: "no_memory",
}

func (r Reason) String() string { return word(reasonWords[:], int(r)) }

// Exhaustion reports whether the reason is a want of ports.
func (r Reason) Exhaustion() bool { return r == ReasonPoolExhausted || r == ReasonRangeExhausted }

// Correction is the part that a KindCorrection event plays. A resync is
// CorrectionBegin, one CorrectionHolds for each lease that exists, and
// CorrectionEnd; between two resyncs single corrections may come.
type Correction uint8

// The parts of a correction.
const (
	// CorrectionBegin opens a resync at Event.Time: from here the ledger
	// remembers which leases end.
	CorrectionBegin Correction = iota + 1
	// CorrectionHolds says that Event.Lease exists as it stood at Event.Time.
	// A later event of the same lease beats it, an earlier one does not.
	CorrectionHolds
	// CorrectionGone says that Event.Lease has no socket any more.
	CorrectionGone
	// CorrectionEnd closes a resync: a lease that is older than its begin,
	// was not told and had no event since is gone. The picture is complete.
	CorrectionEnd
)

var correctionWords = [...]string{
	CorrectionBegin: "begin", CorrectionHolds: "holds", CorrectionGone: "gone", CorrectionEnd: "end",
}

func (c Correction) String() string { return word(correctionWords[:], int(c)) }

// LostCause says how something came to be lost.
type LostCause uint8

// The causes of a loss.
const (
	LostRing      LostCause = iota + 1 // the ring buffer was full
	LostMap                            // a map update failed
	LostNested                         // the kernel skipped a program that was already running on the CPU
	LostTruncated                      // a record had not the length of its kind
	LostReader                         // a bound of the reader was met
	LostDamage                         // a part of the recording cannot be read
	LostDiskFull                       // there was no room to record it
)

var lostCauseWords = [...]string{
	LostRing: "ring", LostMap: "map", LostNested: "nested", LostTruncated: "truncated", LostReader: "reader",
	LostDamage: "damaged", LostDiskFull: "disk_full",
}

func (c LostCause) String() string { return word(lostCauseWords[:], int(c)) }

// Mode is how the kernel is watched.
type Mode uint8

// The modes, best first.
const (
	ModeFull       Mode = iota + 1 // fentry and fexit
	ModeTracepoint                 // tracepoints and cgroup programs only
	ModeDiag                       // no BPF: two dumps and what lies between
)

var modeWords = [...]string{ModeFull: "full", ModeTracepoint: "tracepoint", ModeDiag: "diag"}

func (m Mode) String() string { return word(modeWords[:], int(m)) }

// Poison says until when connect() must skip a port that somebody bound. It is
// a property of the kernel.
type Poison uint8

// The ways in which a kernel keeps bound ports from connect().
const (
	PoisonUnknown    Poison = iota
	PoisonUntilEmpty        // until nothing at all remains on the port
	PoisonWhileBound        // while a socket remains that did not get it by connect()
)

var poisonWords = [...]string{PoisonUntilEmpty: "until_empty", PoisonWhileBound: "while_bound"}

func (p Poison) String() string { return word(poisonWords[:], int(p)) }

func word(words []string, i int) string {
	if i < 0 || i >= len(words) {
		return ""
	}
	return words[i]
}
