package fields

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// KeptReport is what a recording has come to.
type KeptReport struct {
	File    string
	Events  uint64 // in the file, or about to be
	Dropped uint64 // that found no room
	Bytes   uint64
	Took    time.Duration // of event time
	Paused  string        // why nothing is written now, "" if all is well
	Full    bool          // the file has reached its size
}

// RecordingReport is what a file says of itself.
type RecordingReport struct {
	File, Format, Writer, ID string
	Start                    *event.Start // nil if that is damaged
	From, To                 time.Time    // zero if not known
	Took                     time.Duration
	Bytes                    uint64
	Blocks, Events           uint64
	Allocations, Failures    uint64
	Closed                   bool // ended in order
	Checked                  bool // all of it was read
	Notes, Damages           []string
}
