package main

import (
	"slices"
	"strings"
	"testing"
)

// framed is output as -test.v=test2json writes it: each line of the framework
// begins with ^V.
func framed(lines ...string) []byte {
	text := strings.Join(lines, "\n") + "\n"
	for _, word := range []string{"=== ", "--- ", "PASS\n", "FAIL\n"} {
		text = strings.ReplaceAll(text, "\n"+word, "\n\x16"+word)
	}
	return []byte("\x16" + text)
}

func TestReadResults(t *testing.T) {
	output := framed(
		"=== RUN   TestGood", "--- PASS: TestGood (0.01s)",
		"=== RUN   TestBad", "    x_test.go:7: got 1, want 2", "--- FAIL: TestBad (0.01s)",
		"=== RUN   TestSkipped", "--- SKIP: TestSkipped (0.00s)",
		"=== RUN   TestParent", "=== RUN   TestParent/child", "    x_test.go:9: cannot know: the moment ",
		"--- PASS: TestParent/child (0.00s)", "=== NAME  TestParent", "--- PASS: TestParent (0.00s)",
		"=== RUN   TestTalk", "    x_test.go:9: nobody says: cannot know: it", "cannot know: it", "--- PASS: TestTalk (0.00s)",
		"=== RUN   TestCut", "    x_test.go:1: so far",
	)
	results, err := readResults("p", output)
	if err != nil {
		t.Fatal(err)
	}
	type summary struct {
		name, outcome, cause string
		facts                int
	}
	var got []summary
	for _, r := range results {
		if r.pkg != "p" {
			t.Errorf("%s is of package %q", r.name, r.pkg)
		}
		got = append(got, summary{r.name, r.outcome.String(), r.cause, len(r.facts)})
	}
	want := []summary{
		{"TestGood", "passed", "", 0},
		{"TestBad", "FAILED", "", 0},
		{"TestSkipped", "FAILED", "it was skipped", 0},
		{"TestParent", "cannot know", "", 0},
		{"TestParent/child", "cannot know", "", 1},
		{"TestTalk", "passed", "", 0},
		{"TestCut", "FAILED", "it did not end", 0},
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	if !strings.Contains(string(results[1].output), "got 1, want 2") {
		t.Errorf("TestBad's own words are lost: %q", results[1].output)
	}
	if fact := results[4].facts[0]; fact != "the moment" {
		t.Errorf("fact %q", fact)
	}
}
