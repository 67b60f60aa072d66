package host

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// PortSet is a set of the ports 0 to 65535. The zero value is empty.
type PortSet struct {
	words [1 << 16 / 64]uint64
}

// SetOf is the set of all ports of the ranges, in any order; they may overlap.
func SetOf(ranges ...event.PortRange) *PortSet {
	s := &PortSet{}
	for _, r := range ranges {
		s.Add(r)
	}
	return s
}

// Add puts a range into the set; an empty one changes nothing.
func (s *PortSet) Add(r event.PortRange) {
	for port := uint32(r.Low); r.Ports() > 0 && port <= uint32(r.High); port++ {
		s.words[port/64] |= 1 << (port % 64)
	}
}

// AddPort puts one port into the set.
func (s *PortSet) AddPort(port uint16) { s.words[port/64] |= 1 << (port % 64) }

// Has reports whether port is in the set.
func (s *PortSet) Has(port uint16) bool { return s.words[port/64]&(1<<(port%64)) != 0 }

// Overlaps reports whether a port of the range is in the set.
func (s *PortSet) Overlaps(r event.PortRange) bool {
	for port := uint32(r.Low); r.Ports() > 0 && port <= uint32(r.High); port++ {
		if s.Has(uint16(port)) {
			return true
		}
	}
	return false
}

// And is what is in both sets.
func (s *PortSet) And(o *PortSet) *PortSet {
	both := &PortSet{}
	for i := range s.words {
		both.words[i] = s.words[i] & o.words[i]
	}
	return both
}

// Without is what is in s and not in o.
func (s *PortSet) Without(o *PortSet) *PortSet {
	rest := &PortSet{}
	for i := range s.words {
		rest.words[i] = s.words[i] &^ o.words[i]
	}
	return rest
}

// Count is the number of ports in the set.
func (s *PortSet) Count() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// Ranges are the runs of ports in the set, ascending, as the kernel prints
// them: neighbours are one run.
func (s *PortSet) Ranges() []event.PortRange {
	var runs []event.PortRange
	for port := 0; port <= 65535; port++ {
		if s.words[port/64] == 0 {
			port |= 63
			continue
		}
		if !s.Has(uint16(port)) {
			continue
		}
		if last := len(runs) - 1; last >= 0 && int(runs[last].High) == port-1 {
			runs[last].High = uint16(port)
			continue
		}
		runs = append(runs, event.PortRange{Low: uint16(port), High: uint16(port)})
	}
	return runs
}

// String is the set as the kernel prints ip_local_reserved_ports: "80,443" or
// "1-3,7" (proc_do_large_bitmap, kernel/sysctl.c); "" if it is empty.
func (s *PortSet) String() string { return FormatPorts(s.Ranges()) }

// FormatPorts renders ranges with commas between them; one port stands alone.
func FormatPorts(ranges []event.PortRange) string {
	var b strings.Builder
	for i, r := range ranges {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(r.Low)))
		if r.High != r.Low {
			fmt.Fprintf(&b, "-%d", r.High)
		}
	}
	return b.String()
}

// ParsePort parses a number from 1 to 65535.
func ParsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port: a port is a number from 1 to 65535", text)
	}
	return uint16(n), nil
}

// ParsePorts parses "8080" or "9000-9100".
func ParsePorts(text string) (event.PortRange, error) {
	low, high, dash := strings.Cut(text, "-")
	if !dash {
		high = low
	}
	l, err := ParsePort(low)
	if err != nil {
		return event.PortRange{}, err
	}
	h, err := ParsePort(high)
	if err != nil {
		return event.PortRange{}, err
	}
	if l > h {
		return event.PortRange{}, fmt.Errorf("%q runs backwards: the lower port comes first", text)
	}
	return event.PortRange{Low: l, High: h}, nil
}

// ParsePortList parses "8080,9000-9100".
func ParsePortList(text string) ([]event.PortRange, error) {
	var ranges []event.PortRange
	for item := range strings.SplitSeq(text, ",") {
		r, err := ParsePorts(strings.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}
