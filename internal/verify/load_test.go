package verify_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// Under a load of clients that close first, nothing differs, and what cannot be
// judged because it changes too fast is less than one socket in a hundred.
func TestVerifyUnderLoad(t *testing.T) {
	r := openLab(t, 1).room(t)
	r.server(r.actor("server"), "0.0.0.0:30000", true)
	clients := []*tracertest.Actor{r.actor("client"), r.actor("client")}
	began := time.Now()
	for i, a := range clients {
		a.Churn(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(1 + i), 1}), 30000), 10)
	}
	waiting := func(s *aggregate.Snapshot) int {
		for i := range s.Namespaces {
			if ns := &s.Namespaces[i]; ns.NetNS == r.ns.Inode() {
				return ns.TCP.TimeWait()
			}
		}
		return 0
	}
	for waiting(r.ledger.Snapshot(0)) < *waits {
		r.until(t, "a tick", isTick)
	}
	report := r.healed(t)
	made := 0
	for _, a := range clients {
		n, err := a.Calm()
		if err != nil {
			t.Errorf("a connection that was not to be had: %v", err)
		}
		made += n
	}
	t.Logf("%.0f connections a second; %d sockets compared, %d of them in flight; losses %+v",
		float64(made)/time.Since(began).Seconds(), report.Checked, report.InFlight, r.ledger.Snapshot(0).Losses)
	for _, d := range report.Differences {
		t.Errorf("%+v", d)
	}
	if report.Checked < *waits || report.InFlight*100 >= report.Checked {
		t.Errorf("%d of %d in flight, want less than 1 %%", report.InFlight, report.Checked)
	}
}
