package launch

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// shell starts a script, which has not ended when it has printed a line.
func shell(t *testing.T, c Command, script string) (*Process, io.Reader) {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	c.Argv, c.Stdout, c.Stderr = []string{"sh", "-c", script}, in, os.Stderr
	p, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	return p, out
}

func TestExitCodes(t *testing.T) {
	for script, want := range map[string]int{
		"exit 0": 0, "exit 7": 7, "kill -TERM $$": 128 + 15, "kill -KILL $$": 128 + 9,
	} {
		p, _ := shell(t, Command{}, script)
		if code, err := p.Wait(); code != want || err != nil {
			t.Errorf("%s: code %d, %v, want %d", script, code, err, want)
		}
	}
}

func TestWhatDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct {
		program string
		want    int
	}{
		{"no-such-program-anywhere", ExitNotFound},
		{filepath.Join(dir, "nothing"), ExitNotFound},
		{write("plain", "text", 0o644), ExitNotExecutable},
		{write("garbage", "\x00\x01", 0o755), ExitNotExecutable},
		{dir, ExitNotExecutable},
	} {
		_, err := Start(Command{Argv: []string{tt.program}})
		failed, ok := errors.AsType[*StartError](err)
		if !ok || failed.ExitCode() != tt.want {
			t.Errorf("%s: %v, want exit code %d", tt.program, err, tt.want)
		}
		if ok && strings.Count(failed.Error(), tt.program) != 1 {
			t.Errorf("%q does not name the program once", failed)
		}
	}
}

// A signal to us is the command's.
func TestSignalsReachTheCommand(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1} {
		if signal.Ignored(sig) { // as nohup tells what it runs: then the command ignores it too
			continue
		}
		p, out := shell(t, Command{}, `cat < /dev/zero > /dev/null & trap "kill $!; exit 9" TERM HUP USR1; echo ready; wait`)
		if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		if code, err := p.Wait(); code != 9 || err != nil {
			t.Errorf("%v: code %d, %v, want 9", sig, code, err)
		}
	}
}

func TestOutputThatIsCopied(t *testing.T) {
	var out bytes.Buffer
	p, err := Start(Command{Argv: []string{"cat"}, Stdin: strings.NewReader("through\n"), Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(); code != 0 || err != nil || out.String() != "through\n" {
		t.Errorf("code %d, %v, output %q", code, err, out.String())
	}
}
