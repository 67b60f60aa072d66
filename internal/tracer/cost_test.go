package tracer

import (
	"cmp"
	"context"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// Rounds of connections that a client makes and closes first. The cheapest round
// counts: whatever else the host does runs the programs too.
const (
	costRounds      = 4
	costConnections = 150
)

// What a connection may cost, both ends on this host, from connect() to the end
// of its TIME_WAIT. Mode full tells one thing more: when the TIME_WAIT takes its
// step from FIN_WAIT2.
var costBudget = map[event.Mode]struct{ runs, records float64 }{
	event.ModeFull:       {runs: 19, records: 5},
	event.ModeTracepoint: {runs: 29, records: 4},
}

// TestCostOfAConnection counts program runs and ring records. Where
// PORTWATCH_TEST_PEER names another tracer, it compares the programs' time with
// that tracer's, in the same run. On a machine whose clock counts instructions
// their time is just that; PORTWATCH_TEST_CLOCK says so.
func TestCostOfAConnection(t *testing.T) {
	s := setStage(t)
	s.ns.SetRange(40000, 49999)
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	peer := startPeer(s)
	server, l, addr := s.server("127.0.0.1:30000")
	l.Serve()
	client := s.actor("client")
	s.settle()
	peerBefore, seen := peer.nanos(t), len(s.events)
	runs, nanos := math.Inf(1), math.Inf(1)
	for range costRounds {
		runsBefore, nanosBefore := s.programCost()
		for range costConnections {
			c := client.Socket(tracertest.TCP4)
			want(s, "connect", c.Connect(addr), 0)
			c.Close()
		}
		runsAfter, nanosAfter := s.programCost()
		runs = min(runs, float64(runsAfter-runsBefore)/costConnections)
		nanos = min(nanos, float64(nanosAfter-nanosBefore)/costConnections)
		s.settle()
	}
	theirs := float64(peer.nanos(t)-peerBefore) / (costRounds * costConnections)
	endRuns, endNanos := s.endTimeWaits(client, server)
	runs, nanos = runs+endRuns, nanos+endNanos
	records := s.records(seen)
	unit := cmp.Or(os.Getenv("PORTWATCH_TEST_CLOCK"), "ns")
	t.Logf("mode %v: %.1f program runs, %.2f ring records, %.0f %s of programs a connection", s.tracer.support.Mode, runs, records, nanos, unit)
	if peer != nil {
		t.Logf("%s: %.0f %s a connection, %.1f times as much", peer.name, theirs, unit, theirs/nanos)
	}
	budget := costBudget[s.tracer.support.Mode]
	if spare := 1.05; runs > budget.runs*spare || records > budget.records*spare {
		t.Errorf("%.1f runs and %.2f records, want at most %.0f and %.0f", runs, records, budget.runs, budget.records)
	}
}

// programCost is what the programs have cost so far, but the one on timers: it
// runs for every timer of the host.
func (s *stage) programCost() (runs, nanos uint64) {
	s.Helper()
	for name, prog := range s.tracer.probes.progs {
		stats, err := prog.Stats()
		if err != nil {
			s.Fatal(err)
		}
		if name != "pw_timer_cancel" {
			runs += stats.RunCount
			nanos += uint64(stats.Runtime)
		}
	}
	return runs, nanos
}

// endTimeWaits ends the stage's namespace, and with it all that waits there, and
// returns what that cost for each of them.
func (s *stage) endTimeWaits(actors ...*tracertest.Actor) (runs, nanos float64) {
	s.Helper()
	waiting := 0
	for _, lease := range s.leases() {
		if lease.State == event.StateTimeWait {
			waiting++
		}
	}
	runsBefore, nanosBefore := s.programCost()
	for _, a := range actors {
		a.Exit()
	}
	s.ns.Release()
	ended := 0
	s.until("the end of the TIME_WAITs", func(ev *event.Event) bool {
		if ev.Kind == event.KindRelease && ev.From == event.StateTimeWait {
			ended++
		}
		return ended == waiting
	})
	runsAfter, nanosAfter := s.programCost()
	return float64(runsAfter-runsBefore) / float64(waiting), float64(nanosAfter-nanosBefore) / float64(waiting)
}

// records counts the events of client leases since the one at seen, a
// connection.
func (s *stage) records(seen int) float64 {
	count := 0
	for _, ev := range s.events[seen:] {
		switch ev.Kind {
		case event.KindAllocate, event.KindState, event.KindTimeWait, event.KindRelease:
			count++
		}
	}
	return float64(count) / (costRounds * costConnections)
}

// peerTracer is another tracer that runs beside.
type peerTracer struct {
	name     string
	programs []*ebpf.Program
}

// startPeer starts the command of PORTWATCH_TEST_PEER and waits until it has
// attached its programs; nil if there is none.
func startPeer(t *stage) *peerTracer {
	t.Helper()
	argv := strings.Fields(os.Getenv("PORTWATCH_TEST_PEER"))
	if len(argv) == 0 {
		return nil
	}
	// The peer wants the tracing file system where it is usually mounted.
	const events = "/sys/kernel/tracing"
	if _, err := os.Stat(events + "/events"); err != nil {
		if err := unix.Mount("tracefs", events, "tracefs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(events, 0) })
	}
	before := programIDs()
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = cmd.Wait() })
	for last := len(before); ; { // until it has programs, and no more come
		t.until("a tick", func(ev *event.Event) bool { return ev.Kind == event.KindTick })
		now := len(programIDs())
		if now > len(before) && now == last {
			break
		}
		last = now
	}
	p := &peerTracer{name: argv[len(argv)-1]}
	for id := range programIDs() {
		if before[id] {
			continue
		}
		prog, err := ebpf.NewProgramFromID(id)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = prog.Close() })
		p.programs = append(p.programs, prog)
	}
	return p
}

func programIDs() map[ebpf.ProgramID]bool {
	ids := map[ebpf.ProgramID]bool{}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if err != nil {
			return ids // the last one has no next
		}
		ids[next], id = true, next
	}
}

// nanos is how long the peer's programs have run.
func (p *peerTracer) nanos(t *testing.T) uint64 {
	t.Helper()
	var sum uint64
	if p == nil {
		return 0
	}
	for _, prog := range p.programs {
		stats, err := prog.Stats()
		if err != nil {
			t.Fatal(err)
		}
		sum += uint64(stats.Runtime)
	}
	return sum
}
