package aggregate

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

const (
	askedNS = 1
	otherNS = 2
	// foldedFrom is how many alike are told as one.
	foldedFrom = 9
)

// portWorld is a world with these sockets.
func portWorld(sockets ...event.Sighting) *PortWorld {
	names := map[uint32]string{askedNS: "host", otherNS: "pod"}
	return &PortWorld{
		NetNS: askedNS, Complete: true, FoldFrom: foldedFrom, UID: bindAsker, Privileged: AnswerNo, Sockets: sockets,
		Limits: event.Limits{
			Range: event.PortRange{Low: 8000, High: 9000}, UnprivilegedStart: 1024,
			Reserved: []event.PortRange{{Low: 8500, High: 8600}},
		},
		Local:  func(netip.Addr) Answer { return AnswerYes },
		Owner:  func(o *event.Owner) *OwnerInfo { return ProcessInfo(&event.Process{Owner: *o}) },
		NameOf: func(inode uint32) string { return names[inode] },
	}
}

// here is a socket of the namespace that is asked about, held by a process.
func here(pid uint32, addr string, state event.State, remote string) event.Sighting {
	s := socketAt(addr, state, event.Sharing{})
	s.Lease.NetNS, s.Seen, s.Inode = askedNS, event.Time(time.Hour), uint64(pid)
	if pid != 0 {
		s.Lease.Owner = event.Owner{Kind: event.OwnerProcess, PID: pid, Comm: event.CommOf("app")}
	}
	if remote != "" {
		s.Lease.Remote = netip.MustParseAddrPort(remote)
	}
	return s
}

// waiting is a TIME_WAIT that ends so much later.
func waitingFor(remote string, ends time.Duration) event.Sighting {
	s := here(0, "10.0.0.1", event.StateTimeWait, remote)
	s.Lease.Substate, s.Lease.Expires = event.SubstateTimeWait, s.Seen+event.Time(ends)
	return s
}

func ask(w *PortWorld) PortAnswer { return w.Answer(PortQuestion{Protocol: event.TCP, Port: 8080}) }

// What the listener accepted is its own while it waits to be accepted, and is
// somebody's after that.
func TestAnswerTellsWhatWasAccepted(t *testing.T) {
	queued := here(0, "10.0.0.1", event.StateEstablished, "10.0.9.9:50000")
	orphan := here(0, "10.0.0.1", event.StateFinWait1, "10.0.9.9:50001")
	taken := here(7, "10.0.0.1", event.StateEstablished, "10.0.9.9:50002")
	a := ask(portWorld(here(5, "0.0.0.0", event.StateListen, ""), queued, orphan, taken))
	want := map[uint16]uint32{50000: 5, 50001: 0, 50002: 7}
	for i := range a.Holders {
		h := &a.Holders[i]
		if h.Lease.State == event.StateListen {
			continue
		}
		if port := h.Lease.Remote.Port(); h.Lease.Origin != event.OriginAccept || h.Owner.ID.PID != want[port] {
			t.Errorf("the connection from %d is %v of %d, want accepted, of %d", port, h.Lease.Origin, h.Owner.ID.PID, want[port])
		}
	}
	two := ask(portWorld(here(5, "0.0.0.0", event.StateListen, ""), here(6, "10.0.0.1", event.StateListen, ""), queued))
	for i := range two.Holders {
		if h := &two.Holders[i]; h.Lease.Origin == event.OriginAccept && h.Owner.ID.PID != 0 {
			t.Errorf("of two listeners %d was taken for the owner", h.Owner.ID.PID)
		}
	}
	alone := ask(portWorld(here(5, "127.0.0.1", event.StateListen, ""), taken))
	for i := range alone.Holders {
		if h := &alone.Holders[i]; h.Owner.ID.PID == 7 && h.Lease.Origin != event.OriginUnknown {
			t.Errorf("a listener at another address accepted it: %v", h.Lease.Origin)
		}
	}
}

// Eight alike are told one by one, nine as one.
func TestAnswerFolds(t *testing.T) {
	for _, tt := range []struct{ sockets, entries int }{{foldedFrom - 1, foldedFrom - 1}, {foldedFrom, 1}} {
		var all []event.Sighting
		for i := range tt.sockets {
			all = append(all, waitingFor(netip.AddrPortFrom(netip.MustParseAddr("10.0.0.5"), uint16(443+i)).String(), time.Duration(i)*time.Second))
		}
		a := ask(portWorld(all...))
		if len(a.Holders) != tt.entries {
			t.Fatalf("%d sockets are %d entries, want %d", tt.sockets, len(a.Holders), tt.entries)
		}
		share, sockets := 0.0, 0
		for i := range a.Holders {
			share, sockets = share+a.Holders[i].Share, sockets+a.Holders[i].Sockets
		}
		if sockets != tt.sockets || share < 0.999 || share > 1.001 {
			t.Errorf("%d sockets with shares of %v, want %d with 1", sockets, share, tt.sockets)
		}
		if last := time.Duration(tt.sockets-1) * time.Second; a.Holders[0].ExpiresIn != last || !a.Holders[0].Expires {
			t.Errorf("the last ends in %v, want %v", a.Holders[0].ExpiresIn, last)
		}
	}
}

// Other namespaces are told apart, and are in nobody's way.
func TestAnswerElsewhere(t *testing.T) {
	stranger := here(9, "0.0.0.0", event.StateListen, "")
	stranger.Lease.NetNS = otherNS
	a := ask(portWorld(stranger))
	if !a.BindWorks() || a.Sockets != 0 || len(a.Elsewhere) != 1 || a.Elsewhere[0].NetNSName != "pod" || a.Elsewhere[0].InTheWay != AnswerNo {
		t.Errorf("%+v, want a port that may be bound and a holder elsewhere", a)
	}
}

// Evidence comes from live processes of the namespace that talk to the very far
// end, and from no others.
func TestAnswerEvidence(t *testing.T) {
	w := portWorld(waitingFor("10.0.0.5:443", time.Minute))
	elsewhere, gone := here(4, "10.0.0.1", event.StateEstablished, "10.0.0.5:443"), waitingFor("10.0.0.5:443", time.Minute)
	elsewhere.Lease.NetNS = otherNS
	w.Talkers = []event.Sighting{
		here(3, "10.0.0.1", event.StateEstablished, "10.0.0.5:443"), here(3, "10.0.0.1", event.StateCloseWait, "10.0.0.5:443"),
		here(5, "10.0.0.1", event.StateEstablished, "10.0.0.5:444"), elsewhere, gone,
	}
	h := ask(w).Holders[0]
	if len(h.SameFarEnd) != 1 || h.SameFarEnd[0].ID.PID != 3 || h.Owner.ID.Kind != event.OwnerUnknown {
		t.Errorf("evidence %+v, owner %+v; want process 3 and nobody", h.SameFarEnd, h.Owner)
	}
}

func TestAnswerSaysWhatHelps(t *testing.T) {
	server := here(5, "0.0.0.0", event.StateBound, "")
	server.Sharing.ReuseAddr = true
	sharer := here(5, "0.0.0.0", event.StateListen, "")
	sharer.Sharing.ReusePort, sharer.Sharing.UID = true, bindAsker
	blind := here(5, "0.0.0.0", event.StateBound, "")
	blind.Sharing = event.Sharing{}
	tests := []struct {
		name    string
		sockets []event.Sighting
		says    []string
		not     string
	}{
		{"nobody", nil, []string{"works: nothing holds the port."}, "SO_REUSE"},
		{"bound", []event.Sighting{here(5, "10.0.0.1", event.StateBound, "")}, []string{"EADDRINUSE: app[5] has bound 10.0.0.1:8080. Neither"}, "lsof"},
		{"reuseaddr", []event.Sighting{server}, []string{"With SO_REUSEADDR it works."}, "Neither"},
		{"reuseport", []event.Sighting{sharer}, []string{"app[5] listens on 0.0.0.0:8080. With SO_REUSEPORT it works."}, "SO_REUSEADDR"},
		{"blind", []event.Sighting{blind}, []string{"Whether SO_REUSEADDR or SO_REUSEPORT helps is not known without BPF."}, "Neither"},
		{"one TIME_WAIT", []event.Sighting{waitingFor("10.0.0.5:443", 41*time.Second)}, []string{
			"a closed connection to 10.0.0.5:443 waits in TIME_WAIT for another 41 s.", "No process has it open, so lsof shows nothing.",
		}, "The last of them"},
		{"two TIME_WAITs", []event.Sighting{waitingFor("10.0.0.5:443", 41*time.Second), waitingFor("10.0.0.6:443", 50*time.Second)}, []string{
			"10.0.0.6:443 waits in TIME_WAIT for another 50 s, and 1 more socket is in the way.", "The last of them ends in 50 s.",
		}, ""},
		{
			"a TIME_WAIT beside a listener",
			[]event.Sighting{here(5, "0.0.0.0", event.StateListen, ""), waitingFor("10.0.0.5:443", time.Second)},
			[]string{"app[5] listens"},
			"lsof",
		},
	}
	for _, tt := range tests {
		a := ask(portWorld(tt.sockets...))
		got := a.Explanation()
		for _, says := range tt.says {
			if !strings.Contains(got, says) {
				t.Errorf("%s: %q, want %q in it", tt.name, got, says)
			}
		}
		if tt.not != "" && strings.Contains(got, tt.not) {
			t.Errorf("%s: %q, want no %q in it", tt.name, got, tt.not)
		}
	}
}

func TestAnswerExposure(t *testing.T) {
	for port, want := range map[uint16]bool{7999: false, 8000: true, 8499: true, 8500: false, 8600: false, 8601: true, 9000: true, 9001: false} {
		a := portWorld().Answer(PortQuestion{Protocol: event.TCP, Port: port})
		if a.Exposed() != want || strings.Contains(a.Explanation(), "not reserved") != want {
			t.Errorf("port %d: exposed %v, %q", port, a.Exposed(), a.Explanation())
		}
	}
}

func TestPortsSummary(t *testing.T) {
	w := portWorld(here(5, "10.0.0.1", event.StateBound, ""))
	q := func(port uint16, protocol event.Protocol) PortAnswer {
		return w.Answer(PortQuestion{Protocol: protocol, Port: port})
	}
	got := PortsSummary([]PortAnswer{q(8080, event.TCP), q(53, event.UDP), q(8081, event.TCP), q(8082, event.UDP)})
	if want := "bind() fails on 8080 and 53/udp, and works on 8081 and 8082/udp."; got != want {
		t.Errorf("PortsSummary() = %q, want %q", got, want)
	}
}
