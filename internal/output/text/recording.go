package text

import (
	"fmt"
	"time"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// AppendKept appends the last words of a recording.
func AppendKept(dst []byte, r *fields.KeptReport) []byte {
	dst = fmt.Appendf(dst, "%s: %s events in %s, %s\n", r.File, thousands(r.Events), r.Took.Round(time.Millisecond), size(r.Bytes))
	switch {
	case r.Full:
		dst = fmt.Appendf(dst, "The file has reached its size: %s events behind that are not in it\n", thousands(r.Dropped))
	case r.Dropped > 0:
		dst = fmt.Appendf(dst, "%s events found no room on the disk and are not in it\n", thousands(r.Dropped))
	}
	return dst
}

// AppendKeeping appends the line of a recording that goes on.
func AppendKeeping(dst []byte, r *fields.KeptReport, lost uint64) []byte {
	dst = fmt.Appendf(dst, "%s   %s events   %s   lost %s", r.Took.Truncate(time.Second), thousands(r.Events), size(r.Bytes), thousands(lost))
	if r.Paused != "" {
		dst = fmt.Appendf(dst, "   paused: %s", r.Paused)
	}
	return dst
}

// AppendRecording appends what is known of a recording, a fact to a line.
func AppendRecording(dst []byte, r *fields.RecordingReport) []byte {
	fact := func(name, format string, args ...any) {
		dst = fmt.Appendf(dst, "%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	fact("FILE", "%s, %s", event.Printable(r.File), size(r.Bytes))
	if r.Writer != "" {
		fact("FORMAT", "%s, by portwatch %s, id %s", r.Format, event.Printable(r.Writer), event.Printable(r.ID))
	}
	if s := r.Start; s != nil {
		fact("HOST", "%s, kernel %s, mode %s", event.Printable(s.Host), event.Printable(s.Kernel), s.Mode)
	}
	if !r.From.IsZero() {
		const layout = "2006-01-02 15:04:05 -07:00"
		fact("TIME", "%s to %s, %s", r.From.Format(layout), r.To.Format("15:04:05"), r.Took.Round(time.Millisecond))
	}
	fact("EVENTS", "%s in %s blocks", thousands(r.Events), thousands(r.Blocks))
	fact("GIVEN", "%s ports", thousands(r.Allocations))
	fact("REFUSED", "%s requests", thousands(r.Failures))
	fact("END", "%s", endWords(r))
	for _, note := range r.Notes {
		fact("NOTE", "%s", note)
	}
	for _, d := range r.Damages {
		fact("DAMAGE", "%s", d.Sentence)
	}
	if len(r.Damages) == 0 && r.Checked {
		dst = append(dst, "Every block and every event can be read.\n"...)
	}
	return dst
}

func endWords(r *fields.RecordingReport) string {
	if r.Closed {
		return "closed"
	}
	return "open: it is still being written, or its writer was killed"
}
