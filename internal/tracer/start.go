package tracer

import (
	"os"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// startEvent opens the stream of every live source. reason is why no better
// mode is used.
func startEvent(s *Support, reason string, hz tick) event.Event {
	hostname, _ := os.Hostname()
	return event.Event{Kind: event.KindStart, Time: bootNow(), Start: &event.Start{
		Host:        hostname,
		BootID:      BootID(),
		Kernel:      s.Kernel,
		Mode:        s.Mode,
		Reason:      reason,
		WallNano:    time.Now().UnixNano(),
		Unavailable: s.Unavailable,
		TickHz:      int(hz),
		Poison:      s.poison, OwnRangeInOnePass: s.ownRangeInOnePass,
	}}
}

// BootID names this boot of the host; "" if it cannot be read.
func BootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}
