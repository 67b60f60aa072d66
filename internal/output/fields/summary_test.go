package fields

import (
	"fmt"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// minutes is a snapshot after some minutes of watching.
func minutes(n int, pools ...aggregate.Pool) *aggregate.Snapshot {
	anchor := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC).UnixNano()
	return &aggregate.Snapshot{Pools: pools, Meta: aggregate.Meta{
		From: 1, At: event.Time(time.Duration(n)*time.Minute + 1), Complete: true, Window: 10 * time.Second,
		Start: event.Start{Mode: event.ModeTracepoint}, Clock: aggregate.ClockAt(1, anchor),
	}}
}

// calmPool is used at 41 %.
func calmPool() aggregate.Pool {
	p := tightPool()
	p.UsedHigh, p.NetNSName, p.Poisoned, p.Forecast = 0.41, "host", 0, aggregate.Forecast{}
	return p
}

func TestSummary(t *testing.T) {
	calm, answerless, full := calmPool(), calmPool(), calmPool()
	answerless.SynSent = 212
	full.UsedHigh, full.Capacity, full.InUse, full.TimeWait, full.Reusable = 0.9, 28232, 19400, 18900, 0
	worker := actor(4123, "sync-worker")
	worker.Exited, worker.Unit = true, "app.service"
	full.Owners = []aggregate.PoolOwner{{Owner: worker, Ports: 19400, TimeWait: 18900}}
	full.Recent.Allocations = 5120
	full.Forecast = aggregate.Forecast{Outcome: aggregate.OutcomeRunsDry, DryIn: 17 * time.Second}
	refused := full
	refused.Total.Refusals = 3
	level := calm
	level.UsedHigh, level.Recent.Allocations = 0.75, 3000
	level.Forecast = aggregate.Forecast{Outcome: aggregate.OutcomeLevelsOff, LevelsOffAt: 0.65}

	withFailure := minutes(27, refused)
	withFailure.Failures = []aggregate.Failure{
		{Owner: actor(977, "nginx"), Reason: event.ReasonPoolExhausted, First: event.Time(4*time.Minute + 1), Sight: &aggregate.Sight{Pool: &refused.PoolKey}},
		{Owner: actor(978, "later"), Reason: event.ReasonPoolExhausted, First: event.Time(5*time.Minute + 1), Sight: &aggregate.Sight{Pool: &refused.PoolKey}},
	}
	other := minutes(27, calm)
	other.Refusals[event.ReasonPrivileged] = 2
	other.Failures = []aggregate.Failure{{Owner: actor(977, "nginx"), Operation: event.OperationBind, Reason: event.ReasonPrivileged}}
	diag := minutes(0, calm)
	diag.Start.Mode = event.ModeDiag
	lossy := minutes(3)
	lossy.Complete, lossy.Counters.LostEvents = false, 7

	tests := []struct {
		name string
		s    *aggregate.Snapshot
		want string
	}{
		{"nothing yet", &aggregate.Snapshot{}, ""},
		{
			"nothing refused", minutes(27, calm),
			"No local port was refused in the 27 min watched (tracepoint mode, 0 events lost); the tightest pool is 10.0.0.1→10.0.0.5:443 at 41 %.",
		},
		{
			"no answer", minutes(27, answerless),
			"No local port was refused in the 27 min watched (tracepoint mode, 0 events lost); the tightest pool is 10.0.0.1→10.0.0.5:443 at 41 %. " +
				"212 connects to 10.0.0.5:443 wait in SYN_SENT: look at NAT, firewall or the server.",
		},
		{
			"running dry", minutes(27, full),
			"Of the 28,232 local ports from 10.0.0.1 towards 10.0.0.5:443, 19,400 are taken; 18,900 of them wait in TIME_WAIT, " +
				"all left by `sync-worker` (pid 4123, unit app.service, exited); at 512 attempts a second the rest is gone in 17 s.",
		},
		{
			"refused", withFailure,
			"Of the 28,232 local ports from 10.0.0.1 towards 10.0.0.5:443, 19,400 are taken; 18,900 of them wait in TIME_WAIT, " +
				"all left by `sync-worker` (pid 4123, unit app.service, exited); at 512 attempts a second the rest is gone in 17 s; " +
				"the first failure was pid 977 `nginx`, a victim, at 09:04:00 UTC.",
		},
		{
			"levelling off", minutes(27, level),
			"Of the 4 local ports from 10.0.0.1 towards 10.0.0.5:443, 3 are taken; 2 of them wait in TIME_WAIT, all left by an unknown process, " +
				"and connect() may take over 1; at 300 attempts a second it levels off at 65 %.",
		},
		{
			"other reasons", other,
			"No request was refused for want of ports in the 27 min watched (tracepoint mode, 0 events lost); the tightest pool is " +
				"10.0.0.1→10.0.0.5:443 at 41 %. " +
				"2 requests were refused for other reasons, the last: nginx[977] called bind(): " +
				"ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE.",
		},
		{"diag", diag, "Which requests are refused was not watched (--for 15s watches); the tightest pool is 10.0.0.1→10.0.0.5:443 at 41 %."},
		{
			"losses", lossy,
			"No local port was refused in the 3 min watched (tracepoint mode, 7 events lost). The picture is not complete: 7 events lost.",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Summary(&Context{Meta: &tt.s.Meta}, tt.s); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Commands lead into the namespace of the ports; where nothing is known that
// does, there are none.
func TestCommandsOfRemedies(t *testing.T) {
	setting := aggregate.Remedy{ID: aggregate.TCPTWReuse, Settings: []aggregate.Setting{{Key: "net.ipv4.tcp_tw_reuse", Value: "1", Before: "2"}}}
	gone, container, pod := actor(1, "a"), actor(2, "b"), actor(3, "c")
	gone.Exited, container.Container, pod.Pod = true, "web", "shop"
	tests := []struct {
		name, netns            string
		owner                  *aggregate.OwnerInfo
		command, undo, persist string
	}{
		{
			"the host's", "host", gone, `[sysctl -w net.ipv4.tcp_tw_reuse="1"]`, `[sysctl -w net.ipv4.tcp_tw_reuse="2"]`,
			"[echo 'net.ipv4.tcp_tw_reuse = 1' > /etc/sysctl.d/61-tcp-tw-reuse.conf]",
		},
		{"ip netns", "blue", gone, `[ip netns exec blue sysctl -w net.ipv4.tcp_tw_reuse="1"]`, `[ip netns exec blue sysctl -w net.ipv4.tcp_tw_reuse="2"]`, "[]"},
		{"with a name to quote", "b'; x", gone, `[ip netns exec 'b'\''; x' sysctl -w net.ipv4.tcp_tw_reuse="1"]`, `[ip netns exec 'b'\''; x' sysctl -w net.ipv4.tcp_tw_reuse="2"]`, "[]"},
		{
			"a container's", "pid:77", container, `[nsenter -t 77 -n sysctl -w net.ipv4.tcp_tw_reuse="1"]`, `[nsenter -t 77 -n sysctl -w net.ipv4.tcp_tw_reuse="2"]`,
			`[docker, podman: --sysctl net.ipv4.tcp_tw_reuse="1"]`,
		},
		{
			"a pod's", "pid:77", pod, `[nsenter -t 77 -n sysctl -w net.ipv4.tcp_tw_reuse="1"]`, `[nsenter -t 77 -n sysctl -w net.ipv4.tcp_tw_reuse="2"]`,
			`[pod: securityContext.sysctls: name net.ipv4.tcp_tw_reuse, value "1"]`,
		},
		{"without a name, by who lives there", "", container, `[nsenter -t 2 -n sysctl -w net.ipv4.tcp_tw_reuse="1"]`, `[nsenter -t 2 -n sysctl -w net.ipv4.tcp_tw_reuse="2"]`, `[docker, podman: --sysctl net.ipv4.tcp_tw_reuse="1"]`},
		{"without anybody", "", gone, "[]", "[]", "[]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := aggregate.Culprit{Pool: &aggregate.Pool{PoolKey: aggregate.PoolKey{NetNSName: tt.netns}}, Holder: aggregate.Holder{Owner: tt.owner}}
			r := &remedyRow{&setting, &c}
			for what, words := range map[string][2]string{
				"commands": {listed(r.commands()), tt.command}, "undo": {listed(r.undo()), tt.undo}, "persistent": {listed(r.persistent()), tt.persist},
			} {
				if words[0] != words[1] {
					t.Errorf("%s = %s, want %s", what, words[0], words[1])
				}
			}
		})
	}
}

func listed(words []string) string { return fmt.Sprintf("%v", words) }
