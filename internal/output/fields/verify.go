package fields

import (
	"net/netip"

	"github.com/portwatch/portwatch/internal/event"
)

// VerifyReport is what came of comparing the ledger with sock_diag.
type VerifyReport struct {
	// Listed is the sockets that the kernel listed.
	Listed int
	// Checked is the sockets and leases that were compared.
	Checked                      int
	Missing, Extra, StateDiffers int
	InFlight                     int // differed, but not for as long as a second without an event
	Unattributed                 int // leases of the unknown owner
	// BoundCompared is false where the kernel does not list sockets that are
	// bound and nothing else.
	BoundCompared bool
	Differences   []VerifyDifference
}

// VerifyDifference is one socket on which the two disagree.
type VerifyDifference struct {
	Kind           string // "missing", "extra", "state_differs"
	NetNS          uint32
	NetNSName      string // "" if unknown
	Protocol       event.Protocol
	Cookie         uint64
	Ledger, Kernel *VerifySide // nil for what one of them does not have
}

// VerifySide is what the ledger, or the kernel, says of a socket.
type VerifySide struct {
	State         event.State
	Substate      event.Substate
	Local, Remote netip.AddrPort
}

// Verify is the document portwatch.verify/1.
var Verify = newDocument("portwatch.verify/1", "The ledger compared with the kernel's own list of sockets.",
	envelope[VerifyReport](), Object[VerifyReport]{
		amount("listed", "sockets", "Sockets that the kernel listed, accepted and half-open ones among them.",
			func(r *VerifyReport) int { return r.Listed }),
		amount("checked", "sockets", "Sockets and leases that were compared, accepted and half-open ones left out, and those born meanwhile.",
			func(r *VerifyReport) int { return r.Checked }),
		amount("missing", "sockets", "Sockets of the kernel without a lease.", func(r *VerifyReport) int { return r.Missing }),
		amount("extra", "leases", "Leases without a socket.", func(r *VerifyReport) int { return r.Extra }),
		amount("state_differs", "sockets", "Sockets whose state or addresses the two tell differently.",
			func(r *VerifyReport) int { return r.StateDiffers }),
		amount("in_flight", "sockets",
			"Of those, sockets that differed, but not in the same way in two passes a second apart without an event in between.",
			func(r *VerifyReport) int { return r.InFlight }),
		amount("unattributed", "leases", "Leases of the unknown owner.", func(r *VerifyReport) int { return r.Unattributed }),
		one("bound_compared", "", "False where the kernel does not list sockets that are bound and nothing else.", Boolean,
			func(_ *Context, r *VerifyReport) Value { return Bool(r.BoundCompared) }),
		rows("differences", "What differs, by kind, namespace, protocol and socket.", verifyDifference,
			func(r *VerifyReport) ([]VerifyDifference, bool) { return r.Differences, true }),
	})

func amount[T any](name, unit, meaning string, get func(*T) int) Field[T] {
	return one(name, unit, meaning, Integer, func(_ *Context, v *T) Value { return Count(uint64(get(v))) })
}

var verifyDifference = Object[VerifyDifference]{
	words("kind", "In which way they differ.", "missing extra state_differs", func(d *VerifyDifference) string { return d.Kind }),
	one("netns", "", "The inode of the network namespace.", Integer,
		func(_ *Context, d *VerifyDifference) Value { return netns(d.NetNS) }),
	one("netns_name", "", "The namespace's name.", String,
		func(_ *Context, d *VerifyDifference) Value { return Text(d.NetNSName) }),
	words("protocol", "The transport protocol.", protocolWords, func(d *VerifyDifference) string { return d.Protocol.String() }),
	one("socket_cookie", "", "The socket's cookie, as SO_COOKIE tells it.", ID,
		func(_ *Context, d *VerifyDifference) Value { return Identity(d.Cookie) }),
	nest("ledger", "What the ledger says; null if it has no lease.", verifySide, func(d *VerifyDifference) *VerifySide { return d.Ledger }),
	nest("kernel", "What the kernel says; null if it has no socket.", verifySide, func(d *VerifyDifference) *VerifySide { return d.Kernel }),
}

var verifySide = Object[VerifySide]{
	one("state", "", "The socket's state.", String, func(_ *Context, s *VerifySide) Value { return Text(s.State.String()) }),
	one("substate", "", "The sub-state of a TIME_WAIT; null where the mode does not know it.", String,
		func(_ *Context, s *VerifySide) Value { return Text(s.Substate.String()) }),
	one("local_addr", "", "The local address.", String, func(_ *Context, s *VerifySide) Value { return Address(s.Local) }),
	one("local_port", "", "The local port.", Integer, func(_ *Context, s *VerifySide) Value { return Port(s.Local) }),
	one("remote_addr", "", "The far end's address.", String, func(_ *Context, s *VerifySide) Value { return Address(s.Remote) }),
	one("remote_port", "", "The far end's port.", Integer, func(_ *Context, s *VerifySide) Value { return Port(s.Remote) }),
}

// VerifyColumns are the table of differences.
func VerifyColumns() []Column[VerifyDifference] {
	return []Column[VerifyDifference]{
		{Header: "DIFFERENCE", Value: verifyDifference.Named("kind").value},
		{Header: "NETNS", Value: func(_ *Context, d *VerifyDifference) Value { return netnsWord(d.NetNSName, d.NetNS) }},
		{Header: "PROTO", Value: verifyDifference.Named("protocol").value},
		eitherSide("LEDGER", func(d *VerifyDifference) string { return d.Ledger.word((*VerifySide).state) }),
		eitherSide("KERNEL", func(d *VerifyDifference) string { return d.Kernel.word((*VerifySide).state) }),
		eitherSide("LOCAL", func(d *VerifyDifference) string { return d.both((*VerifySide).local) }),
		eitherSide("REMOTE", func(d *VerifyDifference) string { return d.both((*VerifySide).remote) }),
		{Header: "COOKIE", Right: true, Value: verifyDifference.Named("socket_cookie").value},
	}
}

func eitherSide(header string, word func(*VerifyDifference) string) Column[VerifyDifference] {
	return Column[VerifyDifference]{Header: header, Value: func(_ *Context, d *VerifyDifference) Value { return Text(word(d)) }}
}

func (s *VerifySide) word(get func(*VerifySide) string) string {
	if s == nil {
		return ""
	}
	return get(s)
}

// both is what the two sides say alike, or the ledger's word and the kernel's.
func (d *VerifyDifference) both(get func(*VerifySide) string) string {
	ledger, kernel := d.Ledger.word(get), d.Kernel.word(get)
	switch {
	case ledger == kernel || kernel == "":
		return ledger
	case ledger == "":
		return kernel
	}
	return ledger + "≠" + kernel
}

func (s *VerifySide) state() string { return s.State.String() }

func (s *VerifySide) local() string { return endpointWord(s.Local) }

func (s *VerifySide) remote() string { return endpointWord(s.Remote) }

func endpointWord(ap netip.AddrPort) string {
	if !ap.IsValid() {
		return ""
	}
	return ap.String()
}
