package recording

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

var makeGolden = flag.Bool("make-golden", false, "take what testdata/version-*.pwr say today as what they said for ever")

// golden is the recording of a minor version, and goldenHash what it says.
func golden(minor int) string     { return fmt.Sprintf("testdata/version-1.%d.pwr", minor) }
func goldenHash(minor int) string { return fmt.Sprintf("testdata/version-1.%d.sha256", minor) }

// said is an event in words that do not depend on how it is kept.
func said(ev *event.Event) string {
	line := fmt.Sprintf("%v %v %+v %v %v %v %+v %v %v %v %v", ev.Kind, ev.Time, ev.Lease, ev.From, ev.Cause, ev.Successor,
		ev.Thread, ev.SocketCgroup, ev.NamespaceRange, ev.SearchNanos, ev.Correction)
	if f := ev.Failure; f != nil {
		line += fmt.Sprintf(" %+v", *f)
	}
	if p := ev.Process; p != nil {
		line += fmt.Sprintf(" %+v", *p)
	}
	if n := ev.Namespace; n != nil {
		line += fmt.Sprintf(" %+v", *n)
	}
	if s := ev.Start; s != nil {
		line += fmt.Sprintf(" %+v", *s)
	}
	if l := ev.Lost; l != nil {
		line += fmt.Sprintf(" %+v", *l)
	}
	if a := ev.Accepted; a != nil {
		line += fmt.Sprintf(" %+v", *a)
	}
	if f := ev.Fork; f != nil {
		line += fmt.Sprintf(" %+v", *f)
	}
	if l := ev.Limits; l != nil {
		line += fmt.Sprintf(" %v %v %v %v %v %v %v %v", l.NetNS, l.Range, l.Reserved, l.TWReuse, l.Timestamps, l.MaxTWBuckets, l.FinTimeoutSeconds, l.UnprivilegedStart)
		for _, v := range []*int{l.TWReuseDelayMillis, l.StepWidth} {
			if v != nil {
				line += fmt.Sprintf(" %d", *v)
			}
		}
	}
	return line
}

// What any version has recorded is read for ever. The files were made of the
// kernel's own events, by portwatch record and by portwatch run (without the
// sockets that the host had before).
func TestGoldenRecordings(t *testing.T) {
	first := []event.Kind{
		event.KindStart, event.KindAllocate, event.KindState, event.KindTimeWait, event.KindRelease, event.KindFailure,
		event.KindLimits, event.KindNetNS, event.KindOwner, event.KindCorrection, event.KindTick, event.KindAccepted,
	}
	minors := [][]event.Kind{first, append(first, event.KindFork)}
	if Minor != len(minors)-1 {
		t.Errorf("format 1.%d has no recording here", Minor)
	}
	for minor, kinds := range minors {
		t.Run(fmt.Sprintf("1.%d", minor), func(t *testing.T) { checkGolden(t, minor, kinds) })
	}
}

func checkGolden(t *testing.T, minor int, kinds []event.Kind) {
	r, err := Open(t.Context(), golden(minor))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	hash := sha256.New()
	all := drain(t, r)
	told := map[event.Kind]int{}
	for i := range all {
		fmt.Fprintln(hash, said(&all[i]))
		told[all[i].Kind]++
	}
	if len(r.Damages()) > 0 || r.Header().Major != 1 || r.Header().Minor != minor {
		t.Errorf("damages %v, header %+v", r.Damages(), r.Header())
	}
	for _, k := range kinds {
		if told[k] == 0 {
			t.Errorf("the recording has no event of kind %s", k)
		}
	}
	got := hex.EncodeToString(hash.Sum(nil)) + "\n"
	if *makeGolden {
		if err := os.WriteFile(goldenHash(minor), []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenHash(minor))
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the %d events are not those that were recorded: %s, want %s", len(all), got, want)
	}
}
