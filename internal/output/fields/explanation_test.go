package fields

import (
	"net/netip"
	"testing"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

func actor(pid uint32, name string) *aggregate.OwnerInfo {
	return &aggregate.OwnerInfo{ID: event.OwnerID{Kind: event.OwnerProcess, PID: pid}, Comm: event.CommOf(name)}
}

func TestExplanation(t *testing.T) {
	gone := actor(4123, "sync-worker")
	gone.Exited = true
	lease := func(s event.State, remote string) *event.Lease {
		el := &event.Lease{State: s, Local: netip.MustParseAddrPort("0.0.0.0:8080")}
		if remote != "" {
			el.Remote = netip.MustParseAddrPort(remote)
		}
		return el
	}
	waiting := lease(event.StateTimeWait, "10.0.0.5:443")
	waiting.Expires = 100e9
	pool := &aggregate.PoolKey{Request: aggregate.RequestConnect}
	full := &aggregate.Sight{
		Pool: pool, Capacity: 28222, InUse: 28222, TimeWait: 28000,
		Holders: []aggregate.Holder{{Owner: gone, Ports: 28000, TimeWait: 28000, Of: 28222}, {Owner: actor(1, "a"), Ports: 222, Of: 28222}},
	}
	poisoned := &aggregate.Sight{
		Pool: pool, Capacity: 0, Poisoned: 50, PoisonKnown: true, Holders: []aggregate.Holder{},
		Poisoners: []aggregate.Holder{{Owner: actor(2, "b"), Ports: 50, Of: 50}},
	}
	on := func(all ...aggregate.Holder) *aggregate.Sight {
		return &aggregate.Sight{At: 60e9, Complete: true, Holders: all}
	}
	tests := []struct {
		name   string
		reason event.Reason
		local  string
		remote string
		sight  *aggregate.Sight
		want   string
	}{
		{
			"a full pool", event.ReasonPoolExhausted, "10.0.0.1:0", "10.0.0.5:443", full,
			"nginx[977] asked bind() for any TCP port of 10.0.0.1 towards 10.0.0.5:443: the headroom of 28,222 ports was 0; " +
				"28,222 in use, 28,000 in TIME_WAIT, held by sync-worker[4123] (exited) (99 %) and a[1] (1 %).",
		},
		{
			"a poisoned pool", event.ReasonPoolExhausted, "10.0.0.1:0", "10.0.0.5:443", poisoned,
			"nginx[977] asked bind() for any TCP port of 10.0.0.1 towards 10.0.0.5:443: the headroom of 0 ports was 0; " +
				"connect() skips 50 ports more, bound by b[2].",
		},
		{
			"before all sockets were read", event.ReasonPoolExhausted, "10.0.0.1:0", "10.0.0.5:443",
			&aggregate.Sight{Pool: pool, Capacity: 2000, Headroom: 1990, InUse: 10, Holders: []aggregate.Holder{}},
			"nginx[977] asked bind() for any TCP port of 10.0.0.1 towards 10.0.0.5:443: there was no port; " +
				"who held 1,990 of 2,000 is not known, because not all sockets were read by then; 10 in use, 0 in TIME_WAIT.",
		},
		{
			"more than was seen", event.ReasonPoolExhausted, "10.0.0.1:0", "10.0.0.5:443",
			&aggregate.Sight{Complete: true, Pool: pool, Capacity: 2000, Headroom: 1, InUse: 1999, Holders: []aggregate.Holder{}},
			"nginx[977] asked bind() for any TCP port of 10.0.0.1 towards 10.0.0.5:443: the kernel found no port; " +
				"when that was told, 1 of 2,000 had come back, or were never seen to be taken; 1,999 in use, 0 in TIME_WAIT.",
		},
		{
			"a pool without a range", event.ReasonRangeExhausted, "10.0.0.1:0", "", nil,
			"nginx[977] asked bind() for any TCP port of 10.0.0.1: there was no port; who held them is not known, " +
				"because the addresses or the namespace's range are not.",
		},
		{
			"a listener", event.ReasonPortHeld, "0.0.0.0:8080", "", on(aggregate.Holder{Owner: actor(1, "a"), Ports: 1, Of: 1, Lease: lease(event.StateListen, "")}),
			"nginx[977] asked bind() for TCP port 0.0.0.0:8080: a[1] has it, LISTEN.",
		},
		{
			"a client", event.ReasonPortHeld, "0.0.0.0:8080", "", on(aggregate.Holder{Owner: actor(1, "a"), Ports: 1, Of: 1, Lease: lease(event.StateEstablished, "10.0.0.5:443")}),
			"nginx[977] asked bind() for TCP port 0.0.0.0:8080: a[1] has it, ESTABLISHED towards 10.0.0.5:443.",
		},
		{
			"a TIME_WAIT", event.ReasonPortHeld, "0.0.0.0:8080", "", on(aggregate.Holder{Owner: gone, Ports: 1, TimeWait: 1, Of: 1, Lease: waiting}),
			"nginx[977] asked bind() for TCP port 0.0.0.0:8080: a TIME_WAIT of sync-worker[4123] (exited) keeps it for another 40 s.",
		},
		{
			"accepted sockets", event.ReasonPortHeld, "0.0.0.0:8080", "", on(
				aggregate.Holder{Owner: &aggregate.OwnerInfo{}, Ports: 3, Of: 3, Accepted: true}),
			"nginx[977] asked bind() for TCP port 0.0.0.0:8080: 3 sockets accepted on it hold it, owned by an unknown process.",
		},
		{
			"nobody known yet", event.ReasonPortHeld, "0.0.0.0:8080", "", &aggregate.Sight{},
			"nginx[977] asked bind() for TCP port 0.0.0.0:8080: it is held, and by whom is not known: not all sockets were read by then.",
		},
		{
			"nobody known", event.ReasonPortHeld, "0.0.0.0:8080", "", on(),
			"nginx[977] asked bind() for TCP port 0.0.0.0:8080: it was held, and by whom is not known: nobody that was seen had it then at that address.",
		},
		{
			"a privileged port", event.ReasonPrivileged, "0.0.0.0:80", "", nil,
			"nginx[977] asked bind() for TCP port 0.0.0.0:80: ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE.",
		},
		{
			"a foreign address", event.ReasonAddressNotLocal, "10.9.9.9:80", "", nil,
			"nginx[977] asked bind() for TCP port 10.9.9.9:80: that is no address of the network namespace host.",
		},
		{
			"another error", event.ReasonOther, "0.0.0.0:80", "", nil,
			"nginx[977] asked bind() for TCP port 0.0.0.0:80: the kernel said EINVAL, not for want of ports.",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &aggregate.Failure{
				Operation: event.OperationBind, Reason: tt.reason, Errno: event.EINVAL, Protocol: event.TCP, Owner: actor(977, "nginx"),
				NetNSName: "host", Local: netip.MustParseAddrPort(tt.local), Sight: tt.sight,
			}
			if tt.remote != "" {
				f.Remote = netip.MustParseAddrPort(tt.remote)
			}
			if got := explanation(nil, f); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
