package host

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// NetFacts are the figures of one network namespace that limits are judged by.
// They are read at one time, from inside the namespace.
type NetFacts struct {
	sysctls map[string]reading
	stat    map[string]reading // "TCP.tw", of sockstat
	// counters are by name, as "TcpExt.ListenOverflows"; nil, with a reason, if
	// they could not be read.
	counters     map[string]uint64
	countersWhy  string
	conntrackWhy string // why the counter of conntrack is not there
}

// reading is a number, or why it could not be read.
type reading struct {
	value uint64
	why   string
}

// The settings and figures under /proc/sys that follow the namespace, or that
// are the host's and shown in each.
var netSettings = []string{
	"net/ipv4/tcp_max_tw_buckets", "net/ipv4/tcp_max_orphans", "net/core/somaxconn",
	"net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max",
	"net/ipv4/ip_unprivileged_port_start",
}

// ReadNetFacts reads a namespace's figures from the trees of /proc/sys and
// /proc/net as the calling thread sees them. What cannot be read is told with
// each figure.
func ReadNetFacts(sys, net fs.FS) *NetFacts {
	f := &NetFacts{sysctls: map[string]reading{}, stat: map[string]reading{}}
	for _, name := range netSettings {
		f.sysctls[name] = readNumber(sys, name)
	}
	for i, file := range [...]string{"net/ipv4/tcp_mem", "net/ipv4/udp_mem"} {
		f.sysctls[netMemory[i]] = readField(sys, file, 2)
	}
	f.readSockstat(net)
	f.readCounters(net)
	return f
}

// ReadHost reads those settings of the host anew that only the first namespace
// shows, where they are shown.
func (f *NetFacts) ReadHost(sys fs.FS) {
	host := map[string]reading{"net/ipv4/tcp_max_orphans": readNumber(sys, "net/ipv4/tcp_max_orphans")}
	for i, file := range [...]string{"net/ipv4/tcp_mem", "net/ipv4/udp_mem"} {
		host[netMemory[i]] = readField(sys, file, 2)
	}
	for name, value := range host {
		if value.why == "" {
			f.sysctls[name] = value
		}
	}
}

// netMemory are the names of the third field, the ceiling in pages.
var netMemory = [...]string{"tcp_mem", "udp_mem"}

// readNumber reads a file that holds one number.
func readNumber(fsys fs.FS, name string) reading { return readField(fsys, name, 0) }

// readField reads the n-th number of a file of one line.
func readField(fsys fs.FS, name string, n int) reading {
	text, err := readText(fsys, name)
	if err != nil {
		return reading{why: err.Error()}
	}
	words := strings.Fields(text)
	if n >= len(words) {
		return reading{why: fmt.Sprintf("%s: %q has no number %d", name, strings.TrimSpace(text), n+1)}
	}
	value, err := strconv.ParseUint(words[n], 10, 64)
	if err != nil {
		return reading{why: fmt.Sprintf("%s: %q is no number", name, words[n])}
	}
	return reading{value: value}
}

// readSockstat parses lines such as "TCP: inuse 5 orphan 0 tw 12 alloc 9 mem 3".
func (f *NetFacts) readSockstat(net fs.FS) {
	text, err := readText(net, "sockstat")
	for _, name := range [...]string{"TCP.tw", "TCP.orphan", "TCP.mem", "UDP.mem"} {
		why := "sockstat does not tell it"
		if err != nil {
			why = err.Error()
		}
		f.stat[name] = reading{why: why}
	}
	for line := range strings.Lines(text) {
		section, rest, _ := strings.Cut(line, ":")
		words := strings.Fields(rest)
		for i := 0; i+1 < len(words); i += 2 {
			if value, err := strconv.ParseUint(words[i+1], 10, 64); err == nil {
				f.stat[section+"."+words[i]] = reading{value: value}
			}
		}
	}
}

// readCounters parses pairs of lines, names and values, of netstat and snmp,
// and the drops of conntrack.
func (f *NetFacts) readCounters(net fs.FS) {
	counters := map[string]uint64{}
	for _, file := range [...]string{"netstat", "snmp"} {
		text, err := readText(net, file)
		if err != nil {
			f.countersWhy = err.Error()
			return
		}
		pairs(text, counters)
	}
	f.counters = counters
	drops, err := conntrackDrops(net)
	if err != nil {
		f.conntrackWhy = err.Error()
		return
	}
	counters[conntrackCounter] = drops
}

func pairs(text string, into map[string]uint64) {
	lines := strings.Split(text, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		section, names, _ := strings.Cut(lines[i], ":")
		_, values, _ := strings.Cut(lines[i+1], ":")
		words, numbers := strings.Fields(names), strings.Fields(values)
		for j := range min(len(words), len(numbers)) {
			if n, err := strconv.ParseUint(numbers[j], 10, 64); err == nil {
				into[section+"."+words[j]] = n
			}
		}
	}
}

const conntrackCounter = "nf_conntrack.drop"

// conntrackDrops adds up the column "drop", in hexadecimal, one line for each
// CPU (ct_cpu_seq_show, net/netfilter/nf_conntrack_standalone.c).
func conntrackDrops(net fs.FS) (uint64, error) {
	text, err := readText(net, "stat/nf_conntrack")
	if err != nil {
		return 0, err
	}
	column, total := -1, uint64(0)
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if column < 0 {
			for i, w := range words {
				if w == "drop" {
					column = i
				}
			}
			if column < 0 {
				return 0, fmt.Errorf("stat/nf_conntrack: no column drop in %q", strings.TrimSpace(line))
			}
			continue
		}
		if column >= len(words) {
			continue
		}
		n, err := strconv.ParseUint(words[column], 16, 64)
		if err != nil {
			return 0, fmt.Errorf("stat/nf_conntrack: %q is no number", words[column])
		}
		total += n
	}
	return total, nil
}
