package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// filterFlags choose what is shown. They never choose what is traced: a pool
// with unseen holders would lie.
type filterFlags struct {
	pids, comms, cgroups, units     []string
	containers, pods, netns         []string
	localPorts, remotePorts         []string
	tcp, udp, ipv4, ipv6, onlyFails bool
}

func (f *filterFlags) register(fs *pflag.FlagSet) {
	fs.StringSliceVarP(&f.pids, "pid", "p", nil, "show only these processes")
	fs.StringSliceVar(&f.comms, "comm", nil, "show only processes with these names")
	fs.StringSliceVarP(&f.cgroups, "cgroup", "c", nil, "show only what is in or below these cgroups")
	fs.StringSliceVar(&f.units, "unit", nil, "show only these systemd units")
	fs.StringSliceVar(&f.containers, "container", nil, "show only these containers, by name or id")
	fs.StringSliceVar(&f.pods, "pod", nil, "show only these pods, as NAMESPACE/NAME")
	fs.StringSliceVarP(&f.netns, "netns", "N", nil, "show only these network namespaces: name, pid:N, inode:N or path")
	fs.BoolVarP(&f.tcp, "tcp", "t", false, "show only TCP")
	fs.BoolVarP(&f.udp, "udp", "u", false, "show only UDP")
	fs.BoolVarP(&f.ipv4, "ipv4", "4", false, "show only IPv4")
	fs.BoolVarP(&f.ipv6, "ipv6", "6", false, "show only IPv6")
	fs.BoolVarP(&f.onlyFails, "failed", "x", false, "show only failures")
}

// registerPorts adds the filters that only events can answer.
func (f *filterFlags) registerPorts(fs *pflag.FlagSet) {
	fs.StringSliceVarP(&f.localPorts, "lport", "L", nil, "show only these local ports: N or LOW-HIGH")
	fs.StringSliceVarP(&f.remotePorts, "dport", "D", nil, "show only these remote ports: N or LOW-HIGH")
}

// filter is the checked form of filterFlags.
type filter struct {
	*filterFlags
	processes   []uint32
	inodes      []uint32 // of f.netns, where it names a namespace by more than a word
	names       []string // the other words of f.netns
	local, peer []event.PortRange
}

// compile checks every word; a filter that cannot match is an error now, not
// an empty screen later.
func (f *filterFlags) compile(cmd *cobra.Command) (*filter, error) {
	c := &filter{filterFlags: f}
	for _, check := range []func(*cobra.Command) error{c.parsePIDs, c.parseNetNS, c.checkPaths} {
		if err := check(cmd); err != nil {
			return nil, err
		}
	}
	var err error
	if c.local, err = portRanges(cmd, "--lport", f.localPorts); err != nil {
		return nil, err
	}
	c.peer, err = portRanges(cmd, "--dport", f.remotePorts)
	return c, err
}

func (f *filter) parsePIDs(cmd *cobra.Command) error {
	for _, word := range f.pids {
		pid, err := strconv.ParseUint(word, 10, 32)
		if err != nil || pid == 0 {
			return usagef(cmd, "--pid %s: not a process id (a name goes with --comm)", word)
		}
		f.processes = append(f.processes, uint32(pid))
	}
	return nil
}

func (f *filter) parseNetNS(cmd *cobra.Command) error {
	for _, word := range f.netns {
		inode, err := netnsInode(word)
		if err != nil {
			return usagef(cmd, "--netns %s: %s", word, err)
		}
		if inode != 0 {
			f.inodes = append(f.inodes, inode)
		} else {
			f.names = append(f.names, word)
		}
	}
	return nil
}

func (f *filter) checkPaths(cmd *cobra.Command) error {
	for _, pod := range f.pods {
		if namespace, name, ok := strings.Cut(pod, "/"); !ok || namespace == "" || name == "" {
			return usagef(cmd, "--pod %s: not NAMESPACE/NAME", pod)
		}
	}
	for _, cgroup := range f.cgroups {
		if !strings.HasPrefix(cgroup, "/") {
			return usagef(cmd, "--cgroup %s: not a path from the root of the hierarchy, such as /system.slice", cgroup)
		}
	}
	return nil
}

func portRanges(cmd *cobra.Command, flag string, words []string) ([]event.PortRange, error) {
	var ranges []event.PortRange
	for _, word := range words {
		low, high, ok := strings.Cut(word, "-")
		if !ok {
			high = low
		}
		from, err1 := strconv.ParseUint(low, 10, 16)
		to, err2 := strconv.ParseUint(high, 10, 16)
		if err1 != nil || err2 != nil || from == 0 || from > to {
			return nil, usagef(cmd, "%s %s: not a port or LOW-HIGH within 1 to 65535", flag, word)
		}
		ranges = append(ranges, event.PortRange{Low: uint16(from), High: uint16(to)})
	}
	return ranges, nil
}

// owner reports whether the owner is shown. A word that is not known of an
// owner matches nothing.
func (f *filter) owner(o *aggregate.OwnerInfo) bool {
	switch {
	case len(f.processes) > 0 && (o.ID.Kind != event.OwnerProcess || !slices.Contains(f.processes, o.ID.PID)),
		len(f.comms) > 0 && !slices.Contains(f.comms, o.Comm.String()),
		len(f.units) > 0 && !slices.Contains(f.units, o.Unit),
		len(f.pods) > 0 && !slices.Contains(f.pods, o.PodNamespace+"/"+o.Pod):
		return false
	}
	return f.place(o)
}

// place reports whether the owner's cgroup and container are shown.
func (f *filter) place(o *aggregate.OwnerInfo) bool {
	within := func(path string) bool {
		path = strings.TrimRight(path, "/")
		return o.Cgroup != "" && (o.Cgroup == path || strings.HasPrefix(o.Cgroup, path+"/"))
	}
	named := func(word string) bool {
		return word != "" && (o.Container == word || (len(word) >= 4 && strings.HasPrefix(o.ContainerID, word)))
	}
	return (len(f.cgroups) == 0 || slices.ContainsFunc(f.cgroups, within)) &&
		(len(f.containers) == 0 || slices.ContainsFunc(f.containers, named))
}

// namespace reports whether the network namespace is shown.
func (f *filter) namespace(inode uint32, name string) bool {
	return len(f.netns) == 0 || slices.Contains(f.inodes, inode) || (name != "" && slices.Contains(f.names, name))
}

// kind reports whether protocol and family are shown; -t with -u shows both.
func (f *filter) kind(p event.Protocol, family event.Family) bool {
	protocol := f.tcp == f.udp || (f.tcp && p == event.TCP) || (f.udp && p == event.UDP)
	return protocol && (f.ipv4 == f.ipv6 || (f.ipv4 && family == event.IPv4) || (f.ipv6 && family == event.IPv6))
}

// selection is the filter for snapshots.
func (f *filter) selection() aggregate.Selection {
	return aggregate.Selection{
		Holding: func(h *aggregate.Holding) bool {
			return f.owner(h.Owner) && f.namespace(h.NetNS, h.NetNSName) && f.kind(h.Protocol, h.Family) &&
				(!f.onlyFails || h.Failures.Total() > 0)
		},
		Namespace: func(n *aggregate.Namespace) bool { return f.namespace(n.NetNS, n.Name) },
		Pool:      f.pool,
		Failure: func(e *aggregate.Failure) bool {
			return f.owner(e.Owner) && f.namespace(e.NetNS, e.NetNSName) && f.kind(e.Protocol, e.Family)
		},
	}
}

// pool reports whether a pool is shown: one in which a chosen owner has a part.
// It always tells of all its owners.
func (f *filter) pool(p *aggregate.Pool) bool {
	if !f.namespace(p.NetNS, p.NetNSName) || !f.kind(p.Protocol, p.Family) || f.onlyFails && p.Total.Refusals == 0 {
		return false
	}
	return f.anybody() || slices.ContainsFunc(p.Owners, func(o aggregate.PoolOwner) bool { return f.owner(o.Owner) })
}

// anybody reports whether no owner is chosen.
func (f *filter) anybody() bool {
	for _, words := range [][]string{f.pids, f.comms, f.cgroups, f.units, f.containers, f.pods} {
		if len(words) > 0 {
			return false
		}
	}
	return true
}
