package fields

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// namedHolders is how many holders a sentence names.
const namedHolders = 2

// explanation is what was asked for and why it was refused.
func explanation(c *Context, f *failureRow) string {
	return who(f.Owner) + " " + asked(f) + ": " + because(c, f) + "."
}

// asked is the request in words.
func asked(f *failureRow) string {
	call := f.Operation.String() + "()"
	if f.Folded {
		return "called " + call
	}
	words, protocol := "called "+call, strings.ToUpper(f.Protocol.String())
	switch local := endpoint(f.Local); {
	case !f.Local.IsValid():
	case f.Local.Port() == 0:
		words = fmt.Sprintf("asked %s for any %s port of %s", call, protocol, f.Local.Addr())
	default:
		words = fmt.Sprintf("asked %s for %s port %s", call, protocol, local.AppendText(nil, nil))
	}
	if f.Remote.IsValid() {
		words += " towards " + f.Remote.String()
	}
	return words
}

func because(c *Context, f *failureRow) string {
	switch f.Reason {
	case event.ReasonPoolExhausted, event.ReasonRangeExhausted:
		return noneLeft(f)
	case event.ReasonPortHeld:
		return portHeld(f)
	case event.ReasonTupleTaken:
		return "a connection from that port to that far end exists" + heldBy(f)
	case event.ReasonPrivileged:
		return "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE"
	case event.ReasonAddressNotLocal:
		return "that is no address of the network namespace " + string(netnsWord(f.NetNSName, f.NetNS).AppendText(nil, c))
	case event.ReasonNoSourceAddress:
		return "there is no local address to start from, or no route"
	case event.ReasonPolicy:
		return "a security module or a cgroup program refused it"
	case event.ReasonNoMemory:
		return "the kernel had no memory for it"
	}
	return "the kernel said " + orWord(f.Errno.String(), "no, and which error is not known") + ", not for want of ports"
}

// noneLeft explains a pool or range without ports.
func noneLeft(f *failureRow) string {
	s := f.Sight
	if s == nil {
		return "there was no port; who held them is not known, because the addresses or the namespace's range are not"
	}
	words := fmt.Sprintf("the headroom of %s was 0", ofThings(s.Capacity, "port"))
	switch {
	case s.Headroom > 0 && !s.Complete:
		words = fmt.Sprintf("there was no port; who held %s of %s is not known, because not all sockets were read by then",
			grouped(s.Headroom), grouped(s.Capacity))
	case s.Headroom > 0:
		words = fmt.Sprintf("the kernel found no port; when that was told, %s of %s had come back, or were never seen to be taken",
			grouped(s.Headroom), grouped(s.Capacity))
	}
	if s.InUse > 0 {
		words += fmt.Sprintf("; %s in use, %s in TIME_WAIT%s", grouped(s.InUse), grouped(s.TimeWait), heldBy(f))
	}
	if s.PoisonKnown && s.Poisoned > 0 {
		words += fmt.Sprintf("; connect() skips %s more, bound%s", ofThings(s.Poisoned, "port"), names(" by ", s.Poisoners))
	}
	return words
}

func portHeld(f *failureRow) string {
	if f.Sight == nil || len(f.Sight.Holders) == 0 {
		if f.Sight != nil && !f.Sight.Complete {
			return "it is held, and by whom is not known: not all sockets were read by then"
		}
		return "it was held, and by whom is not known: nobody that was seen had it then at that address"
	}
	var words []string
	for i := range min(namedHolders, len(f.Sight.Holders)) {
		words = append(words, has(&held{Holder: f.Sight.Holders[i], at: f.Sight.At}))
	}
	if more := len(f.Sight.Holders) - len(words); more > 0 {
		words = append(words, "and others")
	}
	return strings.Join(words, ", ")
}

// has is how a holder has the port that was asked for.
func has(h *held) string {
	left, waits := h.Left(h.at)
	switch {
	case h.Owner == nil:
		return ofThings(h.Rest, "other") + " have it"
	case h.Accepted:
		return fmt.Sprintf("%s accepted on it hold it, owned by %s", ofThings(h.Ports, "socket"), who(h.Owner))
	case h.Lease == nil:
		return fmt.Sprintf("%s has it %s times", who(h.Owner), grouped(h.Ports))
	case waits:
		return fmt.Sprintf("a TIME_WAIT of %s keeps it for another %.0f s", who(h.Owner), math.Ceil(left.Seconds()))
	case h.Lease.Remote.IsValid():
		return fmt.Sprintf("%s has it, %s towards %s", who(h.Owner), h.Lease.State, h.Lease.Remote)
	}
	return fmt.Sprintf("%s has it, %s", who(h.Owner), h.Lease.State)
}

// heldBy names the largest holders with their shares.
func heldBy(f *failureRow) string {
	if f.Sight == nil {
		return ""
	}
	return names(", held by ", f.Sight.Holders)
}

func names(lead string, all []aggregate.Holder) string {
	var words []string
	for i := range min(namedHolders, len(all)) {
		if all[i].Owner == nil {
			break
		}
		word := who(all[i].Owner)
		if share, ok := all[i].Share(); ok && len(all) > 1 {
			word += fmt.Sprintf(" (%.0f %%)", 100*share)
		}
		words = append(words, word)
	}
	if len(words) == 0 {
		return ""
	}
	if len(all) > len(words) {
		words = append(words, "others")
	}
	return lead + joined(words)
}

// joined is "a", "a and b", "a, b and c".
func joined(words []string) string {
	n := len(words) - 1
	if n == 0 {
		return words[0]
	}
	return strings.Join(words[:n], ", ") + " and " + words[n]
}

// who is an owner in a sentence: name, pid, and that it has exited.
func who(o *ownerInfo) string {
	word := string(processAndPID(o).AppendText(nil, nil))
	switch {
	case o.ID.Kind == event.OwnerUnknown:
		return "an unknown process"
	case o.ID.Kind == event.OwnerCgroup:
		return "a process of cgroup " + orWord(event.Printable(o.Cgroup), strconv.FormatUint(o.CgroupID, 10))
	case o.ID.Kind == event.OwnerKernel:
		return "the kernel"
	case o.Exited:
		return word + " (exited)"
	}
	return word
}

func orWord(word, fallback string) string {
	if word == "" {
		return fallback
	}
	return word
}

func grouped(n int) string { return string(AppendThousands(nil, uint64(max(n, 0)))) }

// ofThings is a number of things: "1 port", "2 ports".
func ofThings(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(n) + " " + thing + "s"
}

// FailureSentence is a failure for people: when, how often, and why.
func FailureSentence(c *Context, f *aggregate.Failure) string {
	words := ""
	if wall, known := c.wall(Moment(f.Last)); known {
		words = wall.In(c.location()).Format("15:04:05 ")
	}
	words += explanation(c, f)
	if f.Count > 1 {
		words = strings.TrimSuffix(words, ".") + fmt.Sprintf(" (%s times).", grouped(int(f.Count)))
	}
	return words
}
