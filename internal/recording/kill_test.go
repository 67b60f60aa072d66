package recording

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeUntilKilled is set in the environment of the process that is killed.
const writeUntilKilled = "PORTWATCH_TEST_WRITE"

func TestMain(m *testing.M) {
	if file := os.Getenv(writeUntilKilled); file != "" {
		if err := writeForever(file); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForever records, and says on stdout how many events it has handed over.
func writeForever(file string) error {
	w, err := Create(file, Options{})
	if err != nil {
		return err
	}
	stream := newGenerator(quietHost, 9).events(20_000)
	for i := range stream {
		if err := w.Append(&stream[i]); err != nil {
			return err
		}
		if _, err := os.Stdout.WriteString(strconv.Itoa(i+1) + "\n"); err != nil {
			return err
		}
	}
	return w.Close()
}

// A writer that is killed at any instant loses the open block, which is no more
// than the last second of the stream.
func TestKilledWriterLosesTheOpenBlock(t *testing.T) {
	want := newGenerator(quietHost, 9).events(20_000)
	for trial := range trials(100) {
		file := filepath.Join(t.TempDir(), "killed.pwr")
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), writeUntilKilled+"="+file)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		handed := 0
		for handed < 150+trial*17000/trials(100) && said.Scan() {
			if handed, err = strconv.Atoi(said.Text()); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, out); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the writer was not killed")
		}
		r, err := Open(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		got := drain(t, r)
		if !equal(want[:len(got)], got) {
			t.Fatalf("trial %d: %s", trial, cmp.Diff(want[:len(got)], got, sameAddr))
		}
		if len(r.Damages()) > 0 {
			t.Errorf("trial %d: damages %+v", trial, r.Damages())
		}
		if len(got) < handed && want[handed-1].Time-want[len(got)].Time > maxSpan+2000 {
			t.Errorf("trial %d: %d of %d events, the rest is of %d ns", trial, len(got), handed, want[handed-1].Time-want[len(got)].Time)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
