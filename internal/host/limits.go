package host

import (
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// LimitsInput is what limits are read from.
type LimitsInput struct {
	Root      fs.FS
	Facts     *NetFacts
	Survey    *Survey // nil if the sockets could not be read
	Settings  event.Limits
	Namespace string // its name, for people
	Process   *Start // nil for no process
}

// ReadLimits reads every limit of the host, of one namespace and, if one is
// named, of a process. A limit that cannot be read is in the list and says why.
func ReadLimits(in *LimitsInput) []Limit {
	all := slices.Concat(portLimits(in), tableLimits(in), queueLimits(in), hostLimits(in))
	if in.Process != nil {
		all = append(all, processLimits(in.Root, in.Process)...)
	}
	for i := range all {
		if all[i].Scope == "namespace" && all[i].Owner == "" {
			all[i].Owner = in.Namespace
		}
		in.Facts.count(&all[i])
		all[i] = all[i].unlimited()
	}
	return all
}

// count fills the total of a limit whose counter is the namespace's.
func (f *NetFacts) count(l *Limit) {
	if !strings.Contains(l.Counter, ".") {
		return
	}
	total := uint64(0)
	for name := range strings.SplitSeq(l.Counter, " + ") {
		n, found := f.counters[name]
		if !found {
			return
		}
		total += n
	}
	l.Total = &total
}

// of makes a limit of two readings.
func (l Limit) of(used, limit reading) Limit {
	if used.why == "" {
		l.Used = &used.value
	}
	if limit.why == "" {
		l.Max = &limit.value
	}
	l.Unread = used.why
	if limit.why != "" {
		l.Unread = limit.why
	}
	return l
}

// portLimits are the ephemeral ports: three different numbers, as connect(),
// bind(0) and UDP draw on them.
func portLimits(in *LimitsInput) []Limit {
	dealt := Dealt(in.Settings.Range, in.Settings.Reserved).Count()
	limit := reading{value: uint64(dealt)}
	const raise = "portwatch range check LOW-HIGH; fewer sockets"
	connect := Limit{
		Name: "ephemeral_ports_connect", Scope: "namespace", Unit: "ports", PerSocket: true,
		Error: "connect(): EADDRNOTAVAIL",
		Raise: "portwatch range check LOW-HIGH; reuse connections; more source or destination addresses",
	}
	bind0 := Limit{Name: "ephemeral_ports_bind", Scope: "namespace", Unit: "ports", Error: "bind(0), listen(): EADDRINUSE", Raise: raise}
	udp := Limit{
		Name: "ephemeral_ports_udp", Scope: "namespace", Unit: "ports",
		Error: "connect(), sendto(): EAGAIN; bind(0): EADDRINUSE", Raise: raise,
	}
	privileged := Limit{
		Name: "privileged_ports", Scope: "namespace", Unit: "ports", Error: "bind() below it: EACCES",
		Raise: "AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or sysctl net.ipv4.ip_unprivileged_port_start",
	}.of(reading{}, in.Facts.sysctls["net/ipv4/ip_unprivileged_port_start"])
	privileged.Used = nil // a threshold; nothing fills it
	if in.Survey == nil {
		unread := reading{why: "the sockets could not be read"}
		return []Limit{connect.of(unread, limit), bind0.of(unread, limit), udp.of(unread, limit), privileged}
	}
	used := reading{}
	pool, found, complete := in.Survey.Fullest()
	if found {
		used.value = uint64(pool.Ports)
		connect.Owner = in.Namespace + " to " + pool.Remote.String()
	}
	if !complete {
		used = reading{why: fmt.Sprintf("more than %d destinations", maxPools)}
	}
	open := reading{value: uint64(in.Survey.Capacity())}
	return []Limit{
		connect.of(used, open),
		bind0.of(reading{value: uint64(InRange(&in.Survey.TCP, &in.Settings))}, limit),
		udp.of(reading{value: uint64(InRange(&in.Survey.UDP, &in.Settings))}, limit),
		privileged,
	}
}

// tableLimits are the kernel's tables and memory of sockets.
func tableLimits(in *LimitsInput) []Limit {
	f := in.Facts
	conntrack := Limit{
		Name: "conntrack", Scope: "namespace", Unit: "connections", PerSocket: true, Counter: conntrackCounter,
		Error: "packets are dropped: TCP connect(): ETIMEDOUT, UDP send: EPERM; log: nf_conntrack: table full",
		Raise: "sysctl -w net.netfilter.nf_conntrack_max=N; it is one for the host",
	}.of(f.sysctls["net/netfilter/nf_conntrack_count"], f.sysctls["net/netfilter/nf_conntrack_max"])
	if conntrack.Max == nil {
		conntrack.Unread = "nf_conntrack is not loaded, or hidden: " + conntrack.Unread
	} else if *conntrack.Max == 0 { // none (__nf_conntrack_alloc, net/netfilter/nf_conntrack_core.c)
		conntrack.Max = nil
	}
	return []Limit{
		Limit{
			Name: "time_wait_buckets", Scope: "namespace", Unit: "sockets", Counter: "TcpExt.TCPTimeWaitOverflow",
			Error: "none: TIME_WAIT is skipped, the port comes back at once",
			Raise: "sysctl -w net.ipv4.tcp_max_tw_buckets=N; to lower it is no cure for TIME_WAIT",
		}.of(f.stat["TCP.tw"], f.sysctls["net/ipv4/tcp_max_tw_buckets"]),
		Limit{
			Name: "orphans", Scope: "host", Unit: "sockets", Counter: "TcpExt.TCPAbortOnMemory",
			Error: "none to the program: the orphan is reset; log: too many orphaned sockets",
			Raise: "sysctl -w net.ipv4.tcp_max_orphans=N",
		}.of(f.stat["TCP.orphan"], f.sysctls["net/ipv4/tcp_max_orphans"]),
		Limit{
			Name: "tcp_memory", Scope: "host", Unit: "pages", Shared: true, Counter: "TcpExt.TCPMemoryPressures",
			Error: "stalls; connect(), send(): ENOBUFS or ENOMEM; log: out of memory",
			Raise: "sysctl -w net.ipv4.tcp_mem='LOW PRESSURE HIGH', in pages",
		}.of(f.stat["TCP.mem"], f.sysctls["tcp_mem"]),
		Limit{
			Name: "udp_memory", Scope: "host", Unit: "pages", Counter: "Udp.MemErrors",
			Error: "datagrams are dropped; send(): ENOBUFS", Raise: "sysctl -w net.ipv4.udp_mem='LOW PRESSURE HIGH', in pages",
		}.of(f.stat["UDP.mem"], f.sysctls["udp_mem"]),
		conntrack,
	}
}

// queueLimits are those of the listener whose queue is fullest. A listener keeps
// one connection more than its backlog (sk_acceptq_is_full,
// include/net/sock.h): that is its maximum here.
func queueLimits(in *LimitsInput) []Limit {
	accept := Limit{
		Name: "accept_queue", Scope: "listener", Unit: "connections", Counter: "TcpExt.ListenOverflows",
		Error: "the client waits, then ETIMEDOUT; with tcp_abort_on_overflow ECONNRESET",
		Raise: "accept faster; a larger backlog in listen(), which net.core.somaxconn caps",
	}
	syn := Limit{
		Name: "syn_queue", Scope: "listener", Unit: "connections", Counter: "TcpExt.TCPReqQFullDoCookies + TcpExt.TCPReqQFullDrop",
		Error: "SYN cookies, or the SYN is dropped and the client tries again",
		Raise: "a larger backlog in listen(), which net.core.somaxconn caps; net.ipv4.tcp_max_syn_backlog",
	}
	if in.Survey == nil {
		unread := reading{why: "the sockets could not be read"}
		return []Limit{accept.of(unread, unread), syn.of(unread, unread)}
	}
	most, mostSyn := accept, syn // without a listener nothing is full
	for i := range in.Survey.Fixed {
		k := &in.Survey.Fixed[i]
		if k.State != event.StateListen {
			continue
		}
		if !in.Survey.Queues {
			hidden := reading{why: "/proc/net does not tell the limits of queues"}
			return []Limit{accept.of(hidden, hidden), syn.of(hidden, hidden)}
		}
		limit := reading{value: uint64(k.QueueLimit) + 1}
		most = fuller(most, accept.of(reading{value: uint64(k.Queued)}, limit).ownedBy(listener(k.Local)))
		shakes := uint64(in.Survey.Handshakes[k.Local.Port()])
		backlog := reading{value: max(uint64(k.QueueLimit), 1)}
		mostSyn = fuller(mostSyn, syn.of(reading{value: shakes}, backlog).ownedBy(listener(k.Local)))
	}
	return []Limit{most, mostSyn}
}

func listener(at netip.AddrPort) string {
	if at.Addr().IsUnspecified() {
		return ":" + strconv.Itoa(int(at.Port()))
	}
	return at.String()
}

func (l Limit) ownedBy(owner string) Limit {
	l.Owner = owner
	return l
}

// fuller is the limit with the higher ratio.
func fuller(a, b Limit) Limit {
	x, known := a.Ratio()
	y, _ := b.Ratio()
	if known && x >= y {
		return a
	}
	return b
}

// hostLimits are those of the whole host that are not the network's.
func hostLimits(in *LimitsInput) []Limit {
	threads := readNumber(in.Root, "proc/sys/kernel/threads-max")
	if pids := readNumber(in.Root, "proc/sys/kernel/pid_max"); pids.why == "" && (threads.why != "" || pids.value < threads.value) {
		threads = pids
	}
	return []Limit{
		Limit{
			Name: "open_files_host", Scope: "host", Unit: "files", PerSocket: true,
			Error: "open(), socket(), accept(): ENFILE, but not for root", Raise: "sysctl -w fs.file-max=N",
		}.of(readField(in.Root, "proc/sys/fs/file-nr", 0), readNumber(in.Root, "proc/sys/fs/file-max")),
		Limit{
			Name: "threads_host", Scope: "host", Unit: "threads", Shared: true, Error: "clone(): EAGAIN",
			Raise: "sysctl -w kernel.threads-max=N kernel.pid_max=N",
		}.of(hostThreads(in.Root), threads),
	}
}

// hostThreads reads the second number of "0.00 0.01 0.05 1/234 4567": all
// threads of the pid namespace's host (loadavg_proc_show, fs/proc/loadavg.c).
func hostThreads(root fs.FS) reading {
	text, err := readText(root, "proc/loadavg")
	if err != nil {
		return reading{why: err.Error()}
	}
	words := strings.Fields(text)
	if len(words) > 3 {
		_, total, _ := strings.Cut(words[3], "/")
		if n, err := strconv.ParseUint(total, 10, 64); err == nil {
			return reading{value: n}
		}
	}
	return reading{why: fmt.Sprintf("proc/loadavg: %q tells no threads", strings.TrimSpace(text))}
}

// AcceptedPorts are the ports with most accepted connections, n at most.
func (s *Survey) AcceptedPorts(n int) []OnPort { return most(s.Accepted, n) }

// UnlistenedPorts are those of Unlistened with most connections, n at most.
func (s *Survey) UnlistenedPorts(n int) []OnPort { return most(s.Unlistened, n) }

func most(counts map[uint16]int, n int) []OnPort {
	all := make([]OnPort, 0, len(counts))
	for _, port := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, OnPort{Port: port, Count: counts[port]})
	}
	slices.SortStableFunc(all, func(a, b OnPort) int { return b.Count - a.Count })
	return all[:min(n, len(all))]
}
