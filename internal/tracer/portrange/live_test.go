package portrange_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/portrange"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

func read(ns *tracertest.NS) (limits event.Limits) {
	ns.Do(func() (err error) {
		limits, err = portrange.Read(os.DirFS("/proc/sys/net"))
		return err
	})
	return limits
}

func TestReadFollowsTheNamespace(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	ns.SetRange(40000, 40099)
	ns.Sysctl("net.ipv4.ip_local_reserved_ports", "40010-40019,40050")
	ns.Sysctl("net.ipv4.tcp_max_tw_buckets", "10")
	got := read(ns)
	if want := (event.PortRange{Low: 40000, High: 40099}); got.Range != want {
		t.Errorf("range is %v, want %v", got.Range, want)
	}
	if fmt.Sprint(got.Reserved) != "[40010-40019 40050-40050]" {
		t.Errorf("reserved is %v", got.Reserved)
	}
	if got.TWReuse != 0 || got.MaxTWBuckets != 10 || got.FinTimeoutSeconds == 0 {
		t.Errorf("limits are %+v", got)
	}
}

func TestReadLongReservedList(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	const count = 10000
	var list []string
	for i := range count {
		list = append(list, fmt.Sprint(20001+2*i))
	}
	ns.Sysctl("net.ipv4.ip_local_reserved_ports", strings.Join(list, ","))
	if got := read(ns); len(got.Reserved) != count {
		t.Errorf("%d of %d reserved ports were read", len(got.Reserved), count)
	}
}
