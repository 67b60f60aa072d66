package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// condition is a rule of --fail-if, such as failures>0 or peak_used_ratio>=80%.
type condition struct {
	word  string // as it was given
	fact  string
	holds func(a, b float64) bool
	bound float64
}

// comparisons in the order in which they are looked for: a longer sign first.
var comparisons = []struct {
	sign  string
	holds func(a, b float64) bool
}{
	{">=", func(a, b float64) bool { return a >= b }},
	{"<=", func(a, b float64) bool { return a <= b }},
	{"==", func(a, b float64) bool { return a == b }},
	{"!=", func(a, b float64) bool { return a != b }},
	{">", func(a, b float64) bool { return a > b }},
	{"<", func(a, b float64) bool { return a < b }},
}

// runFacts are what a condition may ask of a run; false where it is not known.
var runFacts = map[string]func(*runOutcome) (float64, bool){
	"failures":        func(o *runOutcome) (float64, bool) { return float64(o.own.Failures), o.sure() },
	"attempts":        func(o *runOutcome) (float64, bool) { return float64(o.own.Allocations + o.own.Exhausted), o.sure() },
	"allocations":     func(o *runOutcome) (float64, bool) { return float64(o.own.Allocations), o.sure() },
	"lost_events":     func(o *runOutcome) (float64, bool) { return float64(o.lost), true },
	"peak_used_ratio": (*runOutcome).peakUsed,
}

func parseConditions(cmd *cobra.Command, words []string) ([]condition, error) {
	var all []condition
	for _, word := range words {
		c, err := parseCondition(word)
		if err != nil {
			return nil, usagef(cmd, "--fail-if %s: %s", word, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func parseCondition(word string) (condition, error) {
	for _, c := range comparisons {
		left, right, found := strings.Cut(word, c.sign)
		if !found {
			continue
		}
		parsed := condition{word: word, fact: strings.TrimSpace(left), holds: c.holds}
		if _, known := runFacts[parsed.fact]; !known {
			return condition{}, fmt.Errorf("%q is no fact: known are %s", parsed.fact, strings.Join(factWords(), ", "))
		}
		number, percent := strings.CutSuffix(strings.TrimSpace(right), "%")
		bound, err := strconv.ParseFloat(number, 64)
		if err != nil || bound < 0 || bound > 1e15 {
			return condition{}, fmt.Errorf("%q is not a number such as 0, 500 or 80%%", strings.TrimSpace(right))
		}
		if percent {
			bound /= 100
		}
		parsed.bound = bound
		return parsed, nil
	}
	return condition{}, fmt.Errorf("not FACT>NUMBER, such as failures>0 (also >=, <, <=, ==, !=)")
}

func factWords() []string {
	var words []string
	for word := range runFacts {
		words = append(words, word)
	}
	slices.Sort(words)
	return words
}

// judge says which condition holds, "" if none. One whose fact is not known is an
// error: to pass it would be a guess.
func (o *runOutcome) judge(conditions []condition) (string, error) {
	for _, c := range conditions {
		value, known := runFacts[c.fact](o)
		if !known {
			return "", fmt.Errorf("judge --fail-if %s: %s is not known, %s", c.word, c.fact, cmp.Or(o.why, o.doubt))
		}
		if c.holds(value, c.bound) {
			return c.word, nil
		}
	}
	return "", nil
}

// sure reports whether the figures of the command's own are the whole truth.
func (o *runOutcome) sure() bool { return o.told && o.doubt == "" }
