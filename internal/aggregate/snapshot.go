package aggregate

import (
	"net/netip"
	"slices"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// Snapshot is the ledger at one moment. It is immutable, and every slice in it
// has a total order that depends on the events alone.
type Snapshot struct {
	Meta
	Namespaces []Namespace // latest failures first, then most ports, then inode
	Owners     []Owner     // most ports first, then TIME_WAIT, failures, identity
	Holdings   []Holding   // by owner, namespace, protocol, family; Owners are sums of these
	Failures   []Failure   // newest first
	Pools      []Pool      // tightest first, see comparePools
	// Refusals count what Failures speak of, and what is forgotten of it.
	Refusals ReasonCounts
}

// Meta is what every document says about itself.
type Meta struct {
	At    event.Time // the moment of the snapshot
	From  event.Time // the beginning of the stream
	Clock Clock
	// Start is what the stream's first event said; the zero value if there
	// was none.
	Start event.Start
	// Window is the time that recent counts cover; 0 while there is none.
	Window time.Duration
	// Complete is false from the first known loss until a full resync after
	// it, and before the first resync.
	Complete bool
	Losses   []Loss // in the order of their first occurrence
	Counters Counters
	// RecentEvents is the number of events in Window, ticks apart.
	RecentEvents uint64
	// Leases is the number of leases, Unattributed that of the unknown owner.
	Leases, Unattributed int
	// UnattributedWaits is how many of those are in TIME_WAIT: they go by
	// themselves, and attribution is complete then.
	UnattributedWaits int
	// AttributionAt is when the last TIME_WAIT without an owner expires; 0 if
	// there is none or an expiry is not known.
	AttributionAt event.Time
	// Refused is the last refusal for want of ports; 0 if there was none.
	Refused event.Time
	// Worst is the worst level among all pools; "" if there is none.
	Worst string
}

// PerSecond turns a recent count into a rate, and reports false while there is
// no window.
func (m *Meta) PerSecond(recent uint64) (float64, bool) {
	if m.Window <= 0 {
		return 0, false
	}
	return float64(recent) / m.Window.Seconds(), true
}

// UnattributedRatio is the share of leases without an owner, and false if
// there are no leases.
func (m *Meta) UnattributedRatio() (float64, bool) {
	if m.Leases == 0 {
		return 0, false
	}
	return float64(m.Unattributed) / float64(m.Leases), true
}

// AttributionCompleteIn is the time until the last TIME_WAIT without an owner
// gives its port back, never negative, and false if that is not known or there
// is none.
func (m *Meta) AttributionCompleteIn() (time.Duration, bool) {
	if m.AttributionAt == 0 {
		return 0, false
	}
	if m.AttributionAt <= m.At {
		return 0, true
	}
	return time.Duration(m.AttributionAt - m.At), true
}

// Level is "critical" if a request was refused for want of ports within the
// last 60 s, else that of the worst pool; "unknown" if there is none.
func (m *Meta) Level() string {
	switch {
	case m.Refused != 0 && m.At-m.Refused <= event.Time(criticalFor):
		return "critical"
	case m.Worst == "":
		return "unknown"
	}
	return m.Worst
}

// levels are the words of levels, the worst first: what is not known may be
// worse than what is well.
var levels = [...]string{"critical", "warning", "unknown", "ok"}

// worstOf is the worst level among pools; "" if there are none.
func worstOf(pools []Pool) string {
	worst := len(levels)
	for i := range pools {
		worst = min(worst, slices.Index(levels[:], pools[i].Level()))
	}
	if worst == len(levels) {
		return ""
	}
	return levels[worst]
}

// Usage is what somebody holds and asked for.
type Usage struct {
	States      StateCounts  // leases by state
	Allocations uint64       // since the stream began, or the owner was first seen
	Failures    ReasonCounts // the same
	// RecentAllocations and RecentFailures are those within Meta.Window.
	RecentAllocations, RecentFailures uint64
	// Second and Minute are what was given, and refused for whatever reason,
	// within the last whole second and the last 54 to 60 s.
	Second, Minute Demand
}

// Ports is the number of leases, TIME_WAIT included.
func (u *Usage) Ports() int { return u.States.Total() }

// TimeWait is the number of leases in TIME_WAIT, of either sub-state.
func (u *Usage) TimeWait() int { return u.States.Of(event.StateTimeWait) }

// RecentAttempts is demand: what was given and what was refused.
func (u *Usage) RecentAttempts() uint64 { return u.RecentAllocations + u.RecentFailures }

func (u *Usage) add(other *Usage) {
	u.States.add(&other.States)
	u.Allocations += other.Allocations
	u.Failures.add(&other.Failures)
	u.RecentAllocations += other.RecentAllocations
	u.RecentFailures += other.RecentFailures
	u.Second.add(&other.Second)
	u.Minute.add(&other.Minute)
}

// Holding is the part of an owner in one namespace, protocol and family.
type Holding struct {
	Usage
	Owner     *OwnerInfo
	NetNS     uint32
	NetNSName string // "" if unknown
	Protocol  event.Protocol
	Family    event.Family
}

// Owner sums the holdings of one owner.
type Owner struct {
	Usage
	Info *OwnerInfo
	// NetNS is the namespace in which it has most ports; NetNSCount says in
	// how many it was seen.
	NetNS      uint32
	NetNSName  string
	NetNSCount int
}

// Namespace is what is known of one network namespace.
type Namespace struct {
	NetNS    uint32
	Cookie   uint64        // 0 if unknown
	Name     string        // "" if unknown
	Limits   *event.Limits // nil if unknown
	TCP, UDP ProtocolUse
	// Poisoned is the ports of the range that connect() skips, whatever the
	// destination; it means nothing where Start.Poison is not known.
	Poisoned int
	// Accepted is the accepted sockets, which cost no port of the range;
	// AcceptedWaits is how many of them are in TIME_WAIT.
	Accepted, AcceptedWaits int
	// Bind0Attempts is the requests for any TCP port, by bind(0) or listen(), that
	// were given or refused since the stream began.
	Bind0Attempts uint64
}

// BindHeadroom is how many requests of bind(0) to any address succeed, and false
// while limits are not known.
func (n *Namespace) BindHeadroom(use *ProtocolUse) (int, bool) {
	ports, known := n.RangePorts()
	return max(ports-use.Taken, 0), known
}

// ProtocolUse is what all owners together have of one protocol.
type ProtocolUse struct {
	Usage
	DistinctPorts int
	// InRange counts the distinct ports that lie in the namespace's range and
	// are not reserved; -1 while the range is not known.
	InRange int
	// Taken counts the same, and those with accepted sockets only; it means
	// nothing while the range is not known.
	Taken int
}

// RangePorts is the number of ports that the kernel may give by itself: the
// range minus the reserved ones. It reports false while limits are not known.
func (n *Namespace) RangePorts() (int, bool) {
	if n.Limits == nil {
		return 0, false
	}
	return n.Limits.Range.Ports() - n.ReservedInRange(), true
}

// ReservedInRange is the number of reserved ports within the range.
func (n *Namespace) ReservedInRange() int {
	total := 0
	if n.Limits == nil {
		return total
	}
	for _, r := range n.Limits.Reserved {
		total += event.PortRange{
			Low:  max(r.Low, n.Limits.Range.Low),
			High: min(r.High, n.Limits.Range.High),
		}.Ports()
	}
	return total
}

// Failure is a refusal, or several alike.
type Failure struct {
	Operation   event.Operation
	Errno       event.Errno // 0 where the mode cannot know it
	Reason      event.Reason
	NetNS       uint32
	NetNSName   string // "" if unknown
	Device      uint32
	Protocol    event.Protocol
	Family      event.Family
	Local       netip.AddrPort // what was asked for; invalid if nothing was
	Remote      netip.AddrPort // invalid if there is none
	Range       event.PortRange
	Owner       *OwnerInfo
	Count       uint64
	First, Last event.Time
	Folded      bool // addresses are absent because there was no room for them
	// Sight is who held what was asked for when it was last looked at, at most
	// a second before Last; nil where that says nothing, or is not known.
	Sight *Sight
}
