package fields

import (
	"encoding/json"
	"strings"
	"testing"
)

// The answer says by what the command's own is known only where that is not its
// control group, and what may be missing only where something may.
func TestRunSaysHowItTellsApart(t *testing.T) {
	const none = "make control group: permission denied"
	tests := []struct {
		name, untold string
		apart        RunApart
		says         string // the end of the summary
		document     string
	}{
		{
			"a group", "",
			RunApart{By: ApartByCgroup},
			"others were given no local port and refused none.",
			`"told_apart_by":"cgroup","no_cgroup":null,"forks_lost":null,"processes_beyond":null`,
		},
		{
			"forks", "",
			RunApart{By: ApartByForks, NoCgroup: none},
			"refused none. Its processes are known by their forks: it had no control group of its own (" + none + ").",
			`"told_apart_by":"forks","no_cgroup":"` + none + `","forks_lost":0,"processes_beyond":0`,
		},
		{
			"forks, one of them lost", "",
			RunApart{By: ApartByForks, NoCgroup: none, ForksLost: 1},
			"). Lost events (1) may have been forks: a part of what it started may be counted as others.",
			`"forks_lost":1,"processes_beyond":0`,
		},
		{
			"too many processes", "",
			RunApart{By: ApartByForks, NoCgroup: none, Beyond: 1200},
			"). It started more processes than are remembered: 1,200, with what they started, are counted as others.",
			`"forks_lost":0,"processes_beyond":1200`,
		},
		{
			"nothing, after all", "the reader failed",
			RunApart{By: ApartByForks, NoCgroup: none, ForksLost: 3},
			"Which requests were its own is not known: the reader failed.",
			`"told_apart_by":null,"no_cgroup":null,"forks_lost":null,"processes_beyond":null,"own":null`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := RunReport{Argv: []string{"make"}, Untold: tt.untold, Apart: tt.apart}
			if got := RunSummary(fixedContext(), &r); !strings.HasSuffix(got, tt.says) {
				t.Errorf("summary %q, want it to end in %q", got, tt.says)
			}
			document := Run.AppendJSON(nil, fixedContext(), &r)
			if !json.Valid(document) || !strings.Contains(string(document), tt.document) {
				t.Errorf("document %s, want %s", document, tt.document)
			}
		})
	}
}
