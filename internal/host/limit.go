package host

import (
	"cmp"
	"slices"
	"time"
)

// Limit is one wall that a program may meet.
type Limit struct {
	Name  string // a word of the table, such as "open_files"
	Scope string // host, namespace, cgroup, user, process, listener
	Owner string // whose it is: a namespace, a cgroup, a process, a listener
	// Used and Max are nil where they are not known or, Max, where there is no
	// limit; Unread says why.
	Used, Max *uint64
	Unread    string
	Unit      string // of Used and Max
	Error     string // what a program gets, or what happens silently
	// Counter proves that the wall was hit; "" if the kernel counts nothing.
	// Total is since boot, or since the namespace or group was made, and says
	// nothing about now; Delta is what was added while it was watched.
	Counter      string
	Total, Delta *uint64
	Raise        string // how to raise it
	// PerSocket says that each further outgoing connection uses one of it,
	// Shared that it uses some of it, and nobody knows how much.
	PerSocket, Shared bool
}

// Ratio is used ÷ max, and false if one of them is not known.
func (l *Limit) Ratio() (float64, bool) {
	switch {
	case l.Used == nil || l.Max == nil:
		return 0, false
	case *l.Max == 0:
		return 1, true
	}
	return float64(*l.Used) / float64(*l.Max), true
}

// Thresholds are the ratios from which on a limit is near.
type Thresholds struct{ Warn, Crit float64 }

// Level is critical where the limit was hit while it was watched, or is nearly
// reached, warning where it is near, unknown where that cannot be told.
func (l *Limit) Level(t Thresholds) string {
	ratio, known := l.Ratio()
	switch {
	case l.Delta != nil && *l.Delta > 0, known && ratio >= t.Crit:
		return "critical"
	case known && ratio >= t.Warn:
		return "warning"
	case !known && l.Unread != "":
		return "unknown"
	}
	return "ok"
}

// LimitsReport is every limit, the fullest first.
type LimitsReport struct {
	Limits     []Limit
	Thresholds Thresholds
	Process    string // whose limits are among them; "" without one
	// FirstWall is the limit that the process meets first if it opens one
	// connection after another; nil without a process, or if it is not known. Of
	// what each connection takes one of, that is the one with fewest more; what
	// they share comes before it where it is full, or near and fuller.
	FirstWall *Limit
	// Accepted and Pools tell a server from a client: connections on a
	// listener's port, and ports taken towards a destination.
	Accepted []OnPort
	// Unlistened are connections on ports that nobody listens on and the range does
	// not give.
	Unlistened []OnPort
	Pools      []Pool
	// Window is the time between two readings of the counters; 0 if they were
	// read once.
	Window time.Duration
	Notes  []string
}

// OnPort is how many connections share one local port.
type OnPort struct {
	Port  uint16
	Count int
}

// Rank sorts the limits, the fullest first and those that are not known last,
// and finds the first wall.
func (r *LimitsReport) Rank() {
	slices.SortStableFunc(r.Limits, func(a, b Limit) int {
		x, known := a.Ratio()
		y, known2 := b.Ratio()
		if known != known2 {
			if known {
				return -1
			}
			return 1
		}
		return cmp.Compare(y, x)
	})
	if r.Process != "" {
		r.FirstWall = r.firstWall()
	}
}

// firstWall needs the limits in their order.
func (r *LimitsReport) firstWall() *Limit {
	single, shared := r.nearest()
	switch {
	case r.hidden() && (shared == nil || shared.remaining() > 0) && (single == nil || single.remaining() > 0):
		return nil // what cannot be read may come first
	case single == nil || shared != nil && shared.ratio() > single.ratio():
		return shared
	}
	return single
}

// nearest are the wall with fewest more of what each connection takes one of, and
// the fullest, if it is near, of what they share.
func (r *LimitsReport) nearest() (single, shared *Limit) {
	for i := range r.Limits {
		l := &r.Limits[i]
		ratio, known := l.Ratio()
		switch {
		case !known:
		case l.PerSocket && (single == nil || l.remaining() < single.remaining()):
			single = l
		case l.Shared && shared == nil && ratio >= r.Thresholds.Warn:
			shared = l
		}
	}
	return single, shared
}

// ratio is that of a limit of which it is known.
func (l *Limit) ratio() float64 {
	ratio, _ := l.Ratio()
	return ratio
}

// hidden reports whether a limit of the process itself could not be read.
func (r *LimitsReport) hidden() bool {
	return slices.ContainsFunc(r.Limits, func(l Limit) bool { return l.Scope == "process" && l.Unread != "" })
}

// remaining is how many more there may be; it needs a known ratio.
func (l *Limit) remaining() uint64 { return *l.Max - min(*l.Used, *l.Max) }

// Level is the worst of all known levels; a limit of the process itself that
// cannot be read makes it "unknown" where nothing is worse.
func (r *LimitsReport) Level() string {
	order := []string{"ok", "unknown", "warning", "critical"}
	worst := 0
	for i := range r.Limits {
		level := r.Limits[i].Level(r.Thresholds)
		if level == "unknown" && r.Limits[i].Scope != "process" {
			continue // a row that cannot be read is told, and is no alarm
		}
		worst = max(worst, slices.Index(order, level))
	}
	return order[worst]
}

// SetDeltas compares the counters with those of an earlier reading of the same
// limits.
func SetDeltas(before, after []Limit) {
	for i := range after {
		l := &after[i]
		at := slices.IndexFunc(before, func(b Limit) bool { return b.Name == l.Name && b.Owner == l.Owner })
		if at < 0 || before[at].Total == nil || l.Total == nil {
			continue
		}
		l.Delta = new(*l.Total - min(*before[at].Total, *l.Total))
	}
}
