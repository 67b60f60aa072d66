package tracer

import (
	"context"

	"github.com/portwatch/portwatch/internal/event"
)

// Probe finds out what Open would do, and leaves nothing attached. The report
// is as complete as it could be made, also if there is an error.
func Probe(_ context.Context, o Options) (Support, error) {
	others := FindInstances("/proc") // before ours is one of them
	support, p, err := attach(o.withDefaults())
	support.Instances = others
	if len(support.Missing) == 0 && support.BTF && support.Mode != event.ModeFull {
		reportTrampolines(&support)
	}
	if err != nil {
		return support, err
	}
	for _, m := range p.maps.Maps {
		support.MapBytes += mapBytes(m)
	}
	return support, p.Close()
}
