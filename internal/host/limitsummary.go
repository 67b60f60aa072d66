package host

import "fmt"

// Summary is the answer in one sentence. Where no limit is near it says where
// to look instead.
func (r *LimitsReport) Summary() string {
	near, hit := 0, 0
	var struck *Limit // the first that was hit
	for i := range r.Limits {
		l := &r.Limits[i]
		if ratio, known := l.Ratio(); known && ratio >= r.Thresholds.Warn {
			near++
		}
		if l.Delta != nil && *l.Delta > 0 {
			if hit++; struck == nil {
				struck = l
			}
		}
	}
	switch {
	case hit > 0:
		return fmt.Sprintf("%s hit while it was watched: %s%s, %s %d more. The program gets: %s.",
			plural(hit, "limit was", "limits were"), struck.Name, ownerSuffix(struck), struck.Counter, *struck.Delta, struck.Error)
	case near > 0:
		l := &r.Limits[0]
		return fmt.Sprintf("%s near; the fullest is %s%s: %d of %d %s. Beyond it: %s.",
			plural(near, "limit is", "limits are"), l.Name, ownerSuffix(l), *l.Used, *l.Max, l.Unit, l.Error)
	}
	unknown := r.unknown()
	if unknown == len(r.Limits) {
		return "No limit could be read."
	}
	rest := ""
	if unknown > 0 {
		rest = fmt.Sprintf(" (%s not be read)", plural(unknown, "limit could", "limits could"))
	}
	return "No kernel limit is near" + rest +
		": look for the program's own (worker_connections, max clients, pool size)."
}

func (r *LimitsReport) unknown() int {
	n := 0
	for i := range r.Limits {
		if r.Limits[i].Level(r.Thresholds) == "unknown" {
			n++
		}
	}
	return n
}

func ownerSuffix(l *Limit) string {
	if l.Owner == "" {
		return ""
	}
	return " of " + l.Owner
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// WallSentence says which limit a process meets first; "" if that is not known.
func (r *LimitsReport) WallSentence() string {
	w := r.FirstWall
	if w == nil {
		return ""
	}
	switch {
	case w.remaining() == 0:
		return fmt.Sprintf("%s has met %s%s: %d of %d %s. What it gets: %s.", r.Process, w.Name, ownerSuffix(w), *w.Used, *w.Max, w.Unit, w.Error)
	case w.Shared:
		return fmt.Sprintf("%s is nearest to %s%s: %d of %d %s. Beyond it: %s.", r.Process, w.Name, ownerSuffix(w), *w.Used, *w.Max, w.Unit, w.Error)
	}
	return fmt.Sprintf("%s meets %s%s first: %d more. Then: %s.", r.Process, w.Name, ownerSuffix(w), w.remaining(), w.Error)
}
