package tracer

import (
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// The rules that are read from the kernel's types are those that it follows.
func TestRulesAreWhatTheKernelDoes(t *testing.T) {
	var read Support
	if err := read.readRules(); err != nil {
		t.Fatal(err)
	}
	if got := poisonOf(t); got != read.poison {
		t.Errorf("a port that was bound is lost %v, the types say %v", got, read.poison)
	}
	if got := ownRangeInOnePass(t); got != read.ownRangeInOnePass {
		t.Errorf("a socket's own range is gone through in one pass: %t, the types say %t", got, read.ownRangeInOnePass)
	}
}

// poisonOf binds the one port of a range elsewhere, under a connection, and
// tries it again when the binder has gone.
func poisonOf(t *testing.T) event.Poison {
	s := newStage(t)
	s.ns.SetRange(40000, 40000)
	_, _, addr := s.server("127.0.0.1:30000")
	_, _, other := s.server("127.0.0.1:30001")
	a := s.actor("client")
	if errno := a.Socket(tracertest.TCP4).Connect(addr); errno != 0 {
		t.Fatal(errno)
	}
	binder := a.Socket(tracertest.TCP4)
	if errno := binder.Bind("127.0.0.2:40000"); errno != 0 {
		t.Fatal(errno)
	}
	if errno := a.Socket(tracertest.TCP4).Connect(other); errno != syscall.EADDRNOTAVAIL {
		t.Fatalf("connect from a bound port: %v", errno)
	}
	binder.Close()
	if a.Socket(tracertest.TCP4).Connect(other) == 0 {
		return event.PoisonWhileBound
	}
	return event.PoisonUntilEmpty
}

// ownRangeInOnePass connects to twenty far ends from a range of two ports. In two
// passes the even one comes first each time; in one pass it is the first by
// chance, once in a million for all of them.
func ownRangeInOnePass(t *testing.T) bool {
	s := newStage(t)
	_, _, addr := s.server("0.0.0.0:30000")
	a := s.actor("client")
	odd := false
	for i := range byte(20) {
		c := a.Socket(tracertest.TCP4)
		c.Set(unix.SOL_IP, unix.IP_LOCAL_PORT_RANGE, 40000|40001<<16)
		if errno := c.Connect(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, i + 1}), addr.Port())); errno != 0 {
			t.Fatal(errno)
		}
		odd = odd || c.Local().Port()%2 == 1
	}
	return odd
}
