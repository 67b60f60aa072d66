package tracer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
)

// leases are those that exist after all events seen so far.
func (s *stage) leases() map[event.LeaseID]event.Lease {
	live := map[event.LeaseID]event.Lease{}
	told := map[event.LeaseID]bool{}
	var began event.Time
	changed := map[event.LeaseID]event.Time{}
	for i := range s.events {
		ev := &s.events[i]
		id := ev.Lease.ID
		switch ev.Kind {
		case event.KindAllocate, event.KindTimeWait:
			live[id], changed[id] = ev.Lease, ev.Time
		case event.KindState:
			if l, ok := live[id]; ok {
				l.State = ev.Lease.State
				if ev.Lease.Remote.IsValid() {
					l.Local, l.Remote = ev.Lease.Local, ev.Lease.Remote
				}
				live[id], changed[id] = l, ev.Time
			}
		case event.KindRelease:
			delete(live, id)
		case event.KindCorrection:
			switch ev.Correction {
			case event.CorrectionBegin:
				began = ev.Time
				clear(told)
			case event.CorrectionHolds:
				told[id] = true
				if ev.Time >= changed[id] {
					live[id], changed[id] = ev.Lease, ev.Time
				}
			case event.CorrectionGone:
				delete(live, id)
			case event.CorrectionEnd:
				for id := range live {
					if !told[id] && changed[id] < began {
						delete(live, id)
					}
				}
			}
		}
	}
	return live
}

// sockLine is how the oracle and the stream name a TCP socket alike.
func sockLine(local, remote netip.AddrPort, state event.State) string {
	return fmt.Sprintf("%v %v %v", local, remote, state)
}

// verify compares the leases of TCP with what sock_diag lists, accepted sockets
// left out: those whose port is a listener's. Sockets that are still on their
// way differ for a moment. So do those whose news the kernel kept from us: a
// sandbox's kernel runs no tracing program in a softirq that interrupts a task
// which it protects, and counts nothing (seen on 6.18 with ftrace beside it).
// The next audit finds them; what is still wrong then is wrong for ever.
func (s *stage) verify() {
	s.Helper()
	extra, missing := s.compare()
	for deadline := time.Now().Add(patience); len(extra)+len(missing) > 0 && time.Now().Before(deadline); {
		s.until("a tick", func(ev *event.Event) bool { return ev.Kind == event.KindTick })
		extra, missing = s.compare()
	}
	if len(extra)+len(missing) > 0 {
		s.Errorf("the stream alone says (%d)\n%s\nthe kernel alone says (%d)\n%s",
			len(extra), strings.Join(extra[:min(10, len(extra))], "\n"),
			len(missing), strings.Join(missing[:min(10, len(missing))], "\n"))
	}
}

func (s *stage) compare() (extra, missing []string) {
	s.Helper()
	var have, want []string
	for _, l := range s.leases() {
		if l.NetNS == s.ns.Inode() && l.Protocol == event.TCP {
			have = append(have, sockLine(l.Local, l.Remote, l.State))
		}
	}
	var sockets []sockdiag.Socket
	listening := map[uint16]bool{}
	ns := netns.Namespace{Inode: s.ns.Inode(), Path: s.ns.Path()}
	err := sockdiag.DumpIn(context.Background(), ns, sockdiag.Request{Protocol: event.TCP}, func(k *sockdiag.Socket) error {
		sockets = append(sockets, *k)
		if k.State == event.StateListen {
			listening[k.Local.Port()] = true
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	for i := range sockets {
		k := &sockets[i]
		if listening[k.Local.Port()] && k.State != event.StateListen && k.State != event.StateBound {
			continue
		}
		remote := k.Remote
		if k.State == event.StateListen || k.State == event.StateBound {
			remote = netip.AddrPort{}
		}
		want = append(want, sockLine(k.Local, remote, k.State))
	}
	return differences(have, want), differences(want, have)
}

// differences are the lines of a that are not in b, each as often as it is
// missing.
func differences(a, b []string) []string {
	count := map[string]int{}
	for _, line := range b {
		count[line]++
	}
	var out []string
	for _, line := range a {
		if count[line]--; count[line] < 0 {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// healed reads until the losses have been healed by a walk that began after
// the last of them.
func (s *stage) healed() {
	s.Helper()
	s.until("a tick", func(ev *event.Event) bool { return ev.Kind == event.KindTick })
	var lastLoss int
	for i, ev := range s.events {
		if ev.Kind == event.KindLost {
			lastLoss = i
		}
	}
	began := false
	for _, ev := range s.events[lastLoss:] {
		began = began || ev.Correction == event.CorrectionBegin
		if began && ev.Correction == event.CorrectionEnd {
			return
		}
	}
	s.until("the walk that heals", func(ev *event.Event) bool {
		began = began || ev.Correction == event.CorrectionBegin
		return began && ev.Correction == event.CorrectionEnd
	})
}

// quiesce reads on while the kernel still has sockets on their way between two
// states: the softirqs that move them come when they come. It gives up after a
// while, for a scenario may hold one there.
func (s *stage) quiesce() {
	s.Helper()
	batch := make([]event.Event, 256)
	for deadline := time.Now().Add(3 * time.Second); s.ns.Moving() && time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(s.Context(), 10*time.Millisecond)
		n, _ := s.tracer.Read(ctx, batch)
		cancel()
		s.events = append(s.events, batch[:n]...)
	}
}
