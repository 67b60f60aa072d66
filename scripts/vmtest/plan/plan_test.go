package plan

import (
	"bytes"
	"testing"
)

func TestNoteSurvivesTheLine(t *testing.T) {
	sent := Note{Event: End, Command: 2, Text: "exit status 1", Code: 1}
	output := append([]byte("a line without its end"), sent.Line()...)
	lines := bytes.SplitAfter(output, []byte("\n"))
	if string(lines[0]) != "a line without its end\n" {
		t.Errorf("the command's line became %q", lines[0])
	}
	if got, ok := Parse(lines[1]); !ok || got != sent {
		t.Errorf("Parse(%q) = %+v, %t, want %+v", lines[1], got, ok, sent)
	}
}

func TestParseLeavesOutputAlone(t *testing.T) {
	for _, line := range []string{"", "\n", "PASS\n", "{\"Event\":\"over\"}\n", "\x1e\n", "\x1e{}\n", "\x1e{\"Event\":\"ov\n"} {
		if n, ok := Parse([]byte(line)); ok {
			t.Errorf("Parse(%q) = %+v, want none", line, n)
		}
	}
}
