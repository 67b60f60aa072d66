package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/portwatch/portwatch/scripts/vmtest/plan"
)

func line(n plan.Note) string { return string(n.Line()) }

func TestTranscript(t *testing.T) {
	begin := func(i int) string { return line(plan.Note{Event: plan.Begin, Command: i}) }
	end := line(plan.Note{Event: plan.End, Code: 1, Text: "exit status 1"})
	booted, over := line(plan.Note{Event: plan.Booted, Text: "6.1.0"}), line(plan.Note{Event: plan.Over})
	tests := []struct {
		name, said string
		outputs    []string
		cut        string
		over       bool
	}{
		{"whole", booted + begin(0) + "one\n" + end + begin(1) + "two" + end + over, []string{"one\n\n", "two\n"}, "\n", true},
		{"cut in a command", booted + begin(0) + "one\n" + end + begin(1) + "tw", []string{"one\n\n"}, "tw", false},
		{"cut in a note", booted + begin(0) + "one\n" + end[:10], nil, "one\n\n" + end[1:10], false},
		{"cut before the end", booted + begin(0) + "one\n" + end, []string{"one\n\n"}, "", false},
		{"failed", line(plan.Note{Event: plan.Failed, Text: "load x.ko"}), nil, "\ninit: load x.ko\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got transcript
			if over := got.read(strings.NewReader(tt.said), func([]byte) {}); over != tt.over {
				t.Errorf("over = %t, want %t", over, tt.over)
			}
			if len(got.ends) != len(tt.outputs) {
				t.Fatalf("%d commands ended, want %d", len(got.ends), len(tt.outputs))
			}
			for i, want := range tt.outputs {
				if string(got.ends[i].output) != want || got.ends[i].note.Code != 1 {
					t.Errorf("command %d: %q, code %d, want %q and 1", i, got.ends[i].output, got.ends[i].note.Code, want)
				}
			}
			if string(got.cut) != tt.cut {
				t.Errorf("cut = %q, want %q", got.cut, tt.cut)
			}
			if string(got.heard) != tt.said {
				t.Errorf("heard %q, want everything", got.heard)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	const oops = "[ 3.8] Kernel panic - not syncing: Fatal exception in interrupt\r\n"
	tests := []struct {
		name    string
		over    bool
		ended   error
		console string
		want    string // within the verdict; "" for none
	}{
		{"well", true, nil, "reboot: Power down", ""},
		{"panic", false, nil, oops, "Kernel panic - not syncing: Fatal exception in interrupt"},
		{"panic at the end", true, nil, oops, "Kernel panic"},
		{"signal", false, errors.New("signal: segmentation fault"), "", "signal: segmentation fault bad news"},
		{"early", false, nil, "reboot: Power down", "before its commands"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := verdict(tt.over, tt.ended, []byte(tt.console), []byte("bad news\n"))
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) || strings.ContainsAny(got, "\r\n") {
				t.Errorf("verdict() = %q, want %q", got, tt.want)
			}
		})
	}
}
