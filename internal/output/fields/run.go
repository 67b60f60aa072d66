package fields

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// RunReport is what a command did with local ports.
type RunReport struct {
	Argv     []string
	ExitCode int
	Took     time.Duration
	// Own is what the command and all that it started asked for, Others what
	// everybody else did.
	Own, Others RunTally
	// Untold says why Own is not known; "" if it is.
	Untold string
	Apart  RunApart
	// Blame is nil if nothing was watched.
	Blame *aggregate.Blame
}

// RunApart is how the command's own is told from others'.
type RunApart struct {
	// By is ApartByCgroup or ApartByForks; "" if it is not told apart.
	By string
	// NoCgroup says why the command had no control group of its own; "" if it
	// had one, or if nothing is told apart.
	NoCgroup string
	// ForksLost is how many events were lost that may have been forks of its
	// processes, Beyond how many processes were too many to be remembered. Both
	// are 0 but for ApartByForks.
	ForksLost, Beyond uint64
}

// The ways in which a command is told apart.
const (
	ApartByCgroup = "cgroup"
	ApartByForks  = "forks"
)

// RunTally is what was asked for.
type RunTally struct {
	Allocations uint64
	Exhausted   uint64 // refused for want of ports
	Failures    uint64 // refused for whatever reason
}

// Run is the document portwatch.run/1.
var Run = newDocument("portwatch.run/1", "What a command did with local ports, and who else held them.",
	answering(RunSummary), Object[RunReport]{
		wordsOf("command", "The command and its arguments.", func(_ *Context, r *RunReport) []string { return r.Argv }),
		one("exit_code", "", "The command's exit code, or 128 and the number of the signal that ended it.", Integer,
			func(_ *Context, r *RunReport) Value { return Count(uint64(r.ExitCode)) }),
		one("took_seconds", "seconds", "How long it ran.", Real, func(_ *Context, r *RunReport) Value { return Seconds(r.Took) }),
		one("not_told_apart", "", "Why it is not known what was the command's own; null if it is.", String,
			func(_ *Context, r *RunReport) Value { return Text(r.Untold) }),
		words("told_apart_by", "How the command's own is known: by a control group of its own, or by the forks of its processes; null if it is not known.",
			ApartByCgroup+" "+ApartByForks, func(r *RunReport) string { return r.apart().By }),
		one("no_cgroup", "", "Why the command had no control group of its own; null if it had one, or if nothing is told apart.", String,
			func(_ *Context, r *RunReport) Value { return Text(r.apart().NoCgroup) }),
		forked("forks_lost", "events", "Lost events that may have been forks of its processes: if there are any, a part of its own may be counted as others'. Null where forks are not asked.",
			func(a *RunApart) uint64 { return a.ForksLost }),
		forked("processes_beyond", "processes", "Processes that were too many to be remembered: what they did is counted as others'. Null where forks are not asked.",
			func(a *RunApart) uint64 { return a.Beyond }),
		nest("own", "What the command and all that it started asked for.", runTally, func(r *RunReport) *RunTally { return r.told(&r.Own) }),
		nest("others", "What everybody else asked for meanwhile.", runTally, func(r *RunReport) *RunTally { return r.told(&r.Others) }),
		nest("blame", "Who holds the ports, who was refused, and what helps; null if nothing was watched.", blameFields,
			func(r *RunReport) *blame { return r.Blame }),
	})

// forked is a number that only the way by forks has.
func forked(name, unit, meaning string, get func(*RunApart) uint64) Field[RunReport] {
	return one(name, unit, meaning, Integer, func(_ *Context, r *RunReport) Value {
		a := r.apart()
		if a.By != ApartByForks {
			return Value{}
		}
		return Count(get(&a))
	})
}

func (r *RunReport) apart() RunApart {
	if r.Untold != "" {
		return RunApart{}
	}
	return r.Apart
}

func (r *RunReport) told(t *RunTally) *RunTally {
	if r.Untold != "" {
		return nil
	}
	return t
}

var runTally = Object[RunTally]{
	one("allocations", "allocations", "Ports that were given.", Integer, func(_ *Context, t *RunTally) Value { return Count(t.Allocations) }),
	one("attempts", "attempts", "These, and requests that were refused for want of ports.", Integer,
		func(_ *Context, t *RunTally) Value { return Count(t.Allocations + t.Exhausted) }),
	one("failures", "failures", "Requests that were refused, for whatever reason.", Integer,
		func(_ *Context, t *RunTally) Value { return Count(t.Failures) }),
}

// longestCommand is how much of a command line a sentence repeats.
const longestCommand = 60

// RunSummary is the answer in a few sentences: the command's own part, then what
// was found about the ports.
func RunSummary(c *Context, r *RunReport) string {
	words := fmt.Sprintf("%s ran %.1f s and ended with exit code %d.", commandWord(r.Argv), r.Took.Seconds(), r.ExitCode)
	switch {
	case r.Untold != "":
		words += " Which requests were its own is not known: " + r.Untold + "."
	default:
		words += fmt.Sprintf(" It was given %s and refused %s; others were given %s and refused %s.",
			noneOr(r.Own.Allocations, "local port"), times(r.Own.Failures), noneOr(r.Others.Allocations, "local port"), times(r.Others.Failures))
		words += r.Apart.sentences()
	}
	switch {
	case r.Blame == nil:
		return words
	case len(r.Blame.Refused) > 0 || r.Untold != "":
		return words + " " + BlameSummary(c, r.Blame)
	case len(r.Blame.Tight) > 0:
		return words + " " + poolSentence(c, &r.Blame.Tight[0]) + "."
	}
	return words
}

// sentences say by what the command's own is known, if not by its control group,
// and what may be missing.
func (a *RunApart) sentences() string {
	if a.By != ApartByForks {
		return ""
	}
	words := " Its processes are known by their forks: it had no control group of its own (" + a.NoCgroup + ")."
	if a.ForksLost > 0 {
		words += fmt.Sprintf(" Lost events (%s) may have been forks: a part of what it started may be counted as others.", grouped(int(a.ForksLost)))
	}
	if a.Beyond > 0 {
		words += fmt.Sprintf(" It started more processes than are remembered: %s, with what they started, are counted as others.", grouped(int(a.Beyond)))
	}
	return words
}

func noneOr(n uint64, thing string) string {
	if n == 0 {
		return "no " + thing
	}
	return ofThings(int(n), thing)
}

func times(n uint64) string {
	switch n {
	case 0:
		return "none"
	case 1:
		return "once"
	}
	return grouped(int(n)) + " times"
}

// commandWord is a command line on one line, as it is known by its beginning.
func commandWord(argv []string) string {
	line := event.Printable(strings.Join(argv, " "))
	if short := []rune(line); len(short) > longestCommand {
		line = string(short[:longestCommand-1]) + "…"
	}
	return "`" + line + "`"
}

// ownField says whether an owner is the command that was run.
func ownField[T any](get func(*T) *ownerInfo) Field[T] {
	return one("of_command", "", "Whether it is the command that run has run, or was started by it; null if nobody asked or nobody knows.",
		Boolean, func(c *Context, v *T) Value {
			if c == nil || c.Own == nil || get(v).ID.Kind == event.OwnerUnknown {
				return Value{}
			}
			return Bool(c.Own(get(v)))
		})
}

// withOwn adds a column that tells the command's own from others, if that is
// known, behind the first.
func withOwn[T any](c *Context, all []Column[T], own Field[T]) []Column[T] {
	if c == nil || c.Own == nil {
		return all
	}
	return slices.Insert(all, 1, Column[T]{Header: "OF CMD", Value: own.value})
}
