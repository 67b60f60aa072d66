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
	First, Last              event.Time
	Took                     time.Duration
	Bytes                    uint64
	Blocks, Events           uint64
	Allocations, Failures    uint64
	Closed                   bool // ended in order
	Checked                  bool // all of it was read
	Notes                    []string
	Damages                  []RecordingDamage
}

// RecordingDamage is a part of a file that could not be read.
type RecordingDamage struct {
	Offset, Length int64
	Reason         string
	Sentence       string     // all of it, for people
	After, Before  event.Time // of the events around it, 0 where there is none
	Blocks, Events uint64     // that are missing
	Known          bool       // how many are missing
}

// Recording is the document portwatch.recording/1. Its Context has the recording's
// clock.
var Recording = newDocument("portwatch.recording/1", "What a recording is, how much is in it, and what is missing.",
	Object[RecordingReport]{
		one("file", "", "The file's name.", String, func(_ *Context, r *RecordingReport) Value { return Text(event.Printable(r.File)) }),
		one("bytes", "bytes", "The file's size.", Integer, func(_ *Context, r *RecordingReport) Value { return Count(r.Bytes) }),
		one("format", "", "The version of the format: major.minor.", String, func(_ *Context, r *RecordingReport) Value { return Text(r.Format) }),
		one("writer", "", "The version of the portwatch that recorded.", String,
			func(_ *Context, r *RecordingReport) Value { return Text(event.Printable(r.Writer)) }),
		one("id", "", "What tells recordings apart.", String, func(_ *Context, r *RecordingReport) Value { return Text(event.Printable(r.ID)) }),
		nest("start", "What does not change while the stream lasts; null if that is damaged.", start,
			func(r *RecordingReport) *event.Start { return r.Start }),
		one("from", "", "When the first event happened.", Time, func(_ *Context, r *RecordingReport) Value { return Moment(r.First) }),
		one("to", "", "When the last event happened.", Time, func(_ *Context, r *RecordingReport) Value { return Moment(r.Last) }),
		one("events", "events", "Events that are there.", Integer, func(_ *Context, r *RecordingReport) Value { return Count(r.Events) }),
		one("blocks", "blocks", "Blocks of events.", Integer, func(_ *Context, r *RecordingReport) Value { return Count(r.Blocks) }),
		one("allocations", "ports", "Ports that the kernel gave.", Integer, func(_ *Context, r *RecordingReport) Value { return Count(r.Allocations) }),
		one("failures", "requests", "Requests that the kernel refused.", Integer, func(_ *Context, r *RecordingReport) Value { return Count(r.Failures) }),
		one("closed", "", "Whether it was ended in order; else it is being written, or its writer was killed.", Boolean,
			func(_ *Context, r *RecordingReport) Value { return Bool(r.Closed) }),
		one("checked", "", "Whether every block and every event was read.", Boolean,
			func(_ *Context, r *RecordingReport) Value { return Bool(r.Checked) }),
		wordsOf("notes", "What the recording says of itself, as far as it was read.",
			func(_ *Context, r *RecordingReport) []string { return orNone(r.Notes) }),
		rows("damages", "What could not be read, the first 1,024; null unless that was looked for.", recordingDamage,
			func(r *RecordingReport) ([]RecordingDamage, bool) { return r.Damages, r.Checked || len(r.Damages) > 0 }),
	})

var recordingDamage = Object[RecordingDamage]{
	one("offset", "bytes", "Where in the file it begins.", Integer, func(_ *Context, d *RecordingDamage) Value { return Count(uint64(d.Offset)) }),
	one("length", "bytes", "How long it is.", Integer, func(_ *Context, d *RecordingDamage) Value { return Count(uint64(d.Length)) }),
	one("reason", "", "What is wrong.", String, func(_ *Context, d *RecordingDamage) Value { return Text(d.Reason) }),
	one("after", "", "When the last event before it happened.", Time, func(_ *Context, d *RecordingDamage) Value { return Moment(d.After) }),
	one("before", "", "When the first event behind it happened.", Time, func(_ *Context, d *RecordingDamage) Value { return Moment(d.Before) }),
	one("blocks", "blocks", "How many are missing; null if nobody knows.", Integer, missing(func(d *RecordingDamage) uint64 { return d.Blocks })),
	one("events", "events", "How many are missing; null if nobody knows.", Integer, missing(func(d *RecordingDamage) uint64 { return d.Events })),
}

// missing is absent where nothing behind the damage says how much it took.
func missing(get func(*RecordingDamage) uint64) func(*Context, *RecordingDamage) Value {
	return func(_ *Context, d *RecordingDamage) Value {
		if !d.Known {
			return Value{}
		}
		return Count(get(d))
	}
}
