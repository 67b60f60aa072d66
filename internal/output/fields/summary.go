package fields

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// waitingForAnswer is how many connections to one far end must be without an
// answer before that is worth a sentence.
const waitingForAnswer = 10

// Summary is the answer in one sentence, or a few: about the tightest pool of a
// snapshot and the first who was refused, else that nobody was.
func Summary(c *Context, s *aggregate.Snapshot) string {
	var tightest *poolRow
	if len(s.Pools) > 0 && !s.Pools[0].Range.IsZero() {
		tightest = &s.Pools[0]
	}
	var words string
	switch {
	case s.At == 0:
		return ""
	case tightest != nil && (tightest.Level() == "critical" || tightest.Level() == "warning" || tightest.Total.Refusals > 0):
		words = poolSentence(c, tightest) + firstRefused(c, s, tightest) + "." + otherPools(c, s)
	default:
		words = verdict(c, s, tightest)
	}
	return words + unanswered(s) + doubts(c, s)
}

// poolSentence is how full a pool is, by whom, and where it is heading.
func poolSentence(c *Context, p *poolRow) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Of %s %s %s, %s %s taken", theOrAtMost(p), ofThings(p.Capacity, portsOf(p)), whither(p), grouped(p.InUse), areIs(p.InUse))
	if p.TimeWait > 0 && p.TimeWait == p.InUse {
		fmt.Fprintf(&b, ", all of them in TIME_WAIT%s", leftBy(p))
	} else if p.TimeWait > 0 {
		fmt.Fprintf(&b, "; %s of them %s in TIME_WAIT%s", grouped(p.TimeWait), waitOrWaits(p.TimeWait), leftBy(p))
	} else if top := topOwner(p); top != nil {
		fmt.Fprintf(&b, ", %s by %s", mostOrAll(top.Ports, p.InUse), named(top.Owner))
	}
	if p.Reusable > 0 {
		fmt.Fprintf(&b, ", and connect() may take over %s", grouped(p.Reusable))
	}
	if p.ReuseUnknown {
		b.WriteString("; how many of these connect() may take over is not known without watching (--for 3s)")
	}
	if p.Poisoned > 0 && p.PoisonKnown {
		fmt.Fprintf(&b, "; connect() skips %s more that %s bound", grouped(p.Poisoned), areIs(p.Poisoned))
	}
	b.WriteString(trend(c, p))
	return b.String()
}

func portsOf(p *poolRow) string {
	if p.Request == aggregate.RequestUDP {
		return "UDP port"
	}
	return "local port"
}

// theOrAtMost marks an upper bound: what is poisoned is not known.
func theOrAtMost(p *poolRow) string {
	if p.Request == aggregate.RequestConnect && !p.PoisonKnown {
		return "at most"
	}
	return "the"
}

// whither is what the pool's ports are asked for.
func whither(p *poolRow) string {
	where := ""
	if p.NetNSName != "host" {
		where = " in namespace " + string(netnsWord(p.NetNSName, p.NetNS).AppendText(nil, nil))
	}
	switch p.Request {
	case aggregate.RequestConnect:
		return "from " + p.Local.String() + " towards " + p.Remote.String() + where
	case aggregate.RequestUDP:
		return "that UDP may be given at " + p.Local.String() + where
	}
	return "that bind(0) may be given at " + p.Local.String() + where
}

// leftBy says whose the TIME_WAITs are.
func leftBy(p *poolRow) string {
	var most *aggregate.PoolOwner
	for i := range p.Owners {
		if most == nil || p.Owners[i].TimeWait > most.TimeWait {
			most = &p.Owners[i]
		}
	}
	if most == nil || most.TimeWait == 0 {
		return ""
	}
	return ", " + mostOrAll(most.TimeWait, p.TimeWait) + " left by " + named(most.Owner)
}

// mostOrAll is "all", or a share that never rounds up to it.
func mostOrAll(part, whole int) string {
	if part >= whole {
		return "all"
	}
	return fmt.Sprintf("%.0f %%", math.Floor(100*float64(part)/float64(whole)))
}

func topOwner(p *poolRow) *aggregate.PoolOwner {
	if len(p.Owners) == 0 || p.Owners[0].Ports == 0 {
		return nil
	}
	return &p.Owners[0]
}

// named is an owner by name, pid, where it runs and that it has exited.
func named(o *ownerInfo) string {
	if o.ID.Kind != event.OwnerProcess {
		return who(o)
	}
	words := []string{fmt.Sprintf("pid %d", o.ID.PID)}
	switch where := event.Printable(Where(o)); {
	case where == "" || where == "/":
	case where == event.Printable(o.Unit):
		words = append(words, "unit "+where)
	case where == event.Printable(o.Cgroup):
		words = append(words, "cgroup "+where)
	default:
		words = append(words, where)
	}
	if o.Exited {
		words = append(words, "exited")
	}
	return fmt.Sprintf("`%s` (%s)", Process(o).AppendText(nil, nil), strings.Join(words, ", "))
}

// trend is where the pool is going, at what demand.
func trend(c *Context, p *poolRow) string {
	f := &p.Forecast
	demand, known := c.Meta.PerSecond(p.Recent.Attempts())
	if !known || !c.SeesRequests() {
		return ""
	}
	rate := fmt.Sprintf("%s attempts a second", perSecond(demand))
	switch f.Outcome {
	case aggregate.OutcomeRefusing:
		refused, _ := c.Meta.PerSecond(p.Recent.Refusals)
		return fmt.Sprintf("; of %s %s are refused", rate, perSecond(refused))
	case aggregate.OutcomeRunsDry:
		return fmt.Sprintf("; at %s the rest is gone in %s", rate, aWhile(f.DryIn))
	case aggregate.OutcomeLevelsOff:
		return fmt.Sprintf("; at %s it levels off at %.0f %%", rate, 100*f.LevelsOffAt)
	case aggregate.OutcomeDraining:
		return "; nobody asks for more, and they come back"
	}
	if demand == 0 {
		return ""
	}
	return fmt.Sprintf("; at %s, how long the rest lasts is not known yet", rate)
}

func perSecond(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.1f", rate)
	}
	return grouped(int(math.Round(rate)))
}

// firstRefused names the first who was refused a port of the pool.
func firstRefused(c *Context, s *aggregate.Snapshot, p *poolRow) string {
	var first *failureRow
	for i := range s.Failures {
		f := &s.Failures[i]
		if f.Sight == nil || f.Sight.Pool == nil || poolID(f.Sight.Pool) != poolID(&p.PoolKey) {
			continue
		}
		if first == nil || f.First < first.First {
			first = f
		}
	}
	if first == nil {
		return ""
	}
	role := ""
	if top := topOwner(p); top != nil && top.Owner.ID != first.Owner.ID && top.Owner.ID.Kind != event.OwnerUnknown {
		role = ", a victim,"
	}
	return "; the first failure was " + pidFirst(first.Owner) + role + clockWord(c, first.First)
}

// pidFirst is "pid 977 `nginx`".
func pidFirst(o *ownerInfo) string {
	if o.ID.Kind != event.OwnerProcess {
		return who(o)
	}
	return fmt.Sprintf("pid %d `%s`", o.ID.PID, Process(o).AppendText(nil, nil))
}

// clockWord is " at 09:14:03 UTC", in the reader's zone.
func clockWord(c *Context, t event.Time) string {
	wall, known := c.wall(Moment(t))
	if !known {
		return ""
	}
	wall = wall.In(c.location())
	if _, offset := wall.Zone(); offset == 0 {
		return wall.Format(" at 15:04:05 UTC")
	}
	return wall.Format(" at 15:04:05 -07:00")
}

// otherPools counts the other pools that refused.
func otherPools(_ *Context, s *aggregate.Snapshot) string {
	n := 0
	for i := 1; i < len(s.Pools); i++ {
		if s.Pools[i].Total.Refusals > 0 {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return " " + ofThings(n, "other pool") + " refused too."
}

// verdict says that nothing was refused for want of ports, how far that was
// watched, and what comes nearest.
func verdict(c *Context, s *aggregate.Snapshot, tightest *poolRow) string {
	var b strings.Builder
	other := s.Refusals.Total() - s.Refusals.Exhaustion()
	switch watched := aWhile(time.Duration(s.At - s.From)); {
	case !c.SeesRequests():
		fmt.Fprintf(&b, "%s", unwatched(s))
	case s.Refusals.Exhaustion() > 0:
		fmt.Fprintf(&b, "%s %s refused for want of ports in the %s watched", ofThings(int(s.Refusals.Exhaustion()), "request"),
			wasWere(s.Refusals.Exhaustion()), watched)
	case other > 0:
		fmt.Fprintf(&b, "No request was refused for want of ports in the %s watched (%s mode, %s lost)", watched,
			s.Start.Mode, ofThings(int(s.Counters.LostEvents), "event"))
	default:
		fmt.Fprintf(&b, "No local port was refused in the %s watched (%s mode, %s lost)", watched,
			s.Start.Mode, ofThings(int(s.Counters.LostEvents), "event"))
	}
	if ratio, known := usedOf(tightest); known {
		fmt.Fprintf(&b, "; the tightest pool is %s at %s%s", poolWord(&tightest.PoolKey), usedWord(ratio), trend(c, tightest))
	}
	b.WriteByte('.')
	if other > 0 {
		fmt.Fprintf(&b, " %s %s refused for other reasons%s", ofThings(int(other), "request"), wasWere(other), lastOther(c, s))
	}
	return b.String()
}

// unwatched says that refusals are not seen, and what would show them.
func unwatched(s *aggregate.Snapshot) string {
	if s.Start.Reason != "" { // nothing better works
		return "Which requests are refused is not seen in diag mode"
	}
	return "Which requests are refused was not watched (--for 15s watches)"
}

func usedOf(p *poolRow) (float64, bool) {
	if p == nil {
		return 0, false
	}
	return p.UsedRatio()
}

func usedWord(ratio float64) string {
	if ratio > 0 && ratio < 0.1 {
		return fmt.Sprintf("%.1f %%", 100*ratio)
	}
	return fmt.Sprintf("%.0f %%", 100*ratio)
}

// lastOther is the newest failure that was not for want of ports.
func lastOther(c *Context, s *aggregate.Snapshot) string {
	for i := range s.Failures {
		if !s.Failures[i].Reason.Exhaustion() {
			return ", the last: " + explanation(c, &s.Failures[i])
		}
	}
	return "."
}

// unanswered says where connections wait for the far end's answer: that is no
// want of ports.
func unanswered(s *aggregate.Snapshot) string {
	var most *poolRow
	for i := range s.Pools {
		if p := &s.Pools[i]; most == nil || p.SynSent > most.SynSent {
			most = p
		}
	}
	if most == nil || most.SynSent < waitingForAnswer {
		return ""
	}
	return fmt.Sprintf(" %s connects to %s wait in SYN_SENT: look at NAT, firewall or the server.", grouped(most.SynSent), most.Remote)
}

// doubts say how far the rest is to be believed.
func doubts(c *Context, s *aggregate.Snapshot) string {
	if s.Complete {
		return ""
	}
	if s.Counters.LostEvents > 0 {
		return fmt.Sprintf(" The picture is not complete: %s lost.", ofThings(int(s.Counters.LostEvents), "event"))
	}
	return " The picture is not complete yet."
}

// aWhile is a duration as people say it.
func aWhile(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

// aSpan is aWhile in a cell: "now" for no time at all.
func aSpan(d time.Duration) string {
	if d == 0 {
		return "now"
	}
	return fmt.Sprintf("%.0f s", math.Ceil(d.Seconds()))
}

func areIs(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func waitOrWaits(n int) string {
	if n == 1 {
		return "waits"
	}
	return "wait"
}

func wasWere(n uint64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
