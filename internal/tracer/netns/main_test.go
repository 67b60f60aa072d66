package netns_test

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// inhabitant makes the test binary a process that does nothing until its
// standard input ends.
const inhabitant = "PORTWATCH_TEST_INHABITANT"

func TestMain(m *testing.M) {
	if os.Getenv(inhabitant) != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	os.Exit(m.Run())
}

// inhabit starts a process in a namespace of its own; it ends with the test.
// It is the test binary itself: the machines of the kernel matrix have no
// other programs.
func inhabit(t *testing.T) *os.Process {
	t.Helper()
	return inhabitAs(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
}

// inhabitAs starts one with attributes.
func inhabitAs(t *testing.T, attributes *syscall.SysProcAttr) *os.Process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{inhabitant + "=1"}
	cmd.SysProcAttr = attributes
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // a binary with the race detector takes a second to exit
		_ = cmd.Wait()
		_ = stdin.Close()
	})
	return cmd.Process
}
