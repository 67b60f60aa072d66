package portrange

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// parseRange parses "32768\t60999", the notation of ip_local_port_range. The
// kernel accepts no range that is empty or begins at 0
// (ipv4_local_port_range, net/ipv4/sysctl_net_ipv4.c).
func parseRange(text string) (event.PortRange, error) {
	low, high, ok := strings.Cut(text, "\t")
	if !ok {
		return event.PortRange{}, fmt.Errorf("%q is no port range", text)
	}
	r, ok := ports(low, high)
	if !ok || r.Low == 0 {
		return event.PortRange{}, fmt.Errorf("%q is no port range", text)
	}
	return r, nil
}

// parseReserved parses "", "80" and "1-3,7", the notations of
// ip_local_reserved_ports. The kernel prints runs of set bits, so the ranges
// ascend and do not touch. Port 0 may be in the list, but no request is ever
// given it: it is left out.
func parseReserved(text string) ([]event.PortRange, error) {
	if text == "" {
		return nil, nil
	}
	var list []event.PortRange
	next := 0 // first port that may come now
	for item := range strings.SplitSeq(text, ",") {
		low, high, dash := strings.Cut(item, "-")
		if !dash {
			high = low
		}
		r, ok := ports(low, high)
		if !ok || int(r.Low) < next {
			return nil, fmt.Errorf("%q is no list of ports: at %q", text, item)
		}
		next = int(r.High) + 1
		if r.High == 0 {
			continue
		}
		r.Low = max(r.Low, 1)
		list = append(list, r)
	}
	return list, nil
}

func ports(low, high string) (r event.PortRange, ok bool) {
	l, errLow := strconv.ParseUint(low, 10, 16)
	h, errHigh := strconv.ParseUint(high, 10, 16)
	if errLow != nil || errHigh != nil || l > h {
		return event.PortRange{}, false
	}
	return event.PortRange{Low: uint16(l), High: uint16(h)}, true
}

// parseNumber parses a setting that is a number from 0 on; all of those read
// here fit into a C int.
func parseNumber(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > math.MaxInt32 {
		return 0, fmt.Errorf("%q is no number from 0 to %d", text, math.MaxInt32)
	}
	return int(n), nil
}

// parseOptional parses a setting that some kernels do not have.
func parseOptional(text string) (*int, error) {
	n, err := parseNumber(text)
	if err != nil {
		return nil, err
	}
	return &n, nil
}
