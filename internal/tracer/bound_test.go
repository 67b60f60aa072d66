package tracer

import (
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

// A port that is bound and nothing else keeps its lease where no table shows its
// socket, which may be on its way between two processes; once something was lost,
// its end may have been.
func TestBoundLeaseWithoutASocket(t *testing.T) {
	s := setStage(t)
	s.tracer.rounds.rest = 0
	s.actor("inhabitant") // a namespace without a process is not walked
	now := uint64(bootNow())
	lease := bpfPwLease{Cookie: 1 << 60, Born: now, Changed: now, Netns: s.ns.Inode(), LocalPort: 30000, Family: 4, Protocol: 6}
	lease.Word.State, lease.Word.Origin = uint8(event.StateBound), uint8(event.OriginBind)
	leases := s.tracer.probes.maps.Maps["pw_leases"]
	if err := leases.Put(lease.Cookie, lease); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.until("an audit", func(ev *event.Event) bool { return ev.Kind == event.KindIdle })
	}
	var kept bpfPwLease
	if err := leases.Lookup(lease.Cookie, &kept); err != nil {
		t.Fatalf("while nothing was lost: %v", err)
	}
	s.tracer.rounds.walker.lossAt.Store(uint64(bootNow()))
	s.until("the end of the lease", func(ev *event.Event) bool {
		return ev.Kind == event.KindCorrection && ev.Correction == event.CorrectionGone && ev.Lease.ID.Cookie == lease.Cookie
	})
}
