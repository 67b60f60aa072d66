package launch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

// The exit codes that shells and their wrappers agree on.
const (
	ExitNotExecutable = 126
	ExitNotFound      = 127
	exitSignal        = 128 // plus the signal's number
)

// Command is what is to be run.
type Command struct {
	// Argv is the program, looked for in PATH if its name has no slash, and its
	// arguments. It must not be empty.
	Argv []string
	// As is who runs it; nil for the user of this process.
	As *User
	// Group is where it runs; nil for the group of this process. A kernel that
	// cannot start a process in a group (before 5.7, or clone3 is filtered) is an
	// error.
	Group *Group
	// An *os.File is handed on as it is; what else there is, is copied.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// StartError says why a command did not start.
type StartError struct {
	Program string
	Cause   error
}

// Error names the program and the cause.
func (e *StartError) Error() string { return fmt.Sprintf("run %s: %v", e.Program, e.Cause) }

// Unwrap is the cause.
func (e *StartError) Unwrap() error { return e.Cause }

// ExitCode is 127 for a program that is not there, else 126.
func (e *StartError) ExitCode() int {
	if errors.Is(e.Cause, exec.ErrNotFound) || errors.Is(e.Cause, fs.ErrNotExist) {
		return ExitNotFound
	}
	return ExitNotExecutable
}

// Find looks for the program as Start does, without starting it. A failure is a
// *StartError.
func Find(program string) error {
	_, err := find(program)
	return err
}

func find(program string) (path string, err error) {
	if path, err = exec.LookPath(program); err != nil {
		return "", &StartError{program, bare(err)}
	}
	return path, nil
}

// Process is a command that runs.
type Process struct {
	cmd     *exec.Cmd
	signals *relay
}

// Start starts the command. From then on, and until Wait returns, this process
// does not end by the signals that end programs: they are the command's.
// A failure is a *StartError.
func Start(c Command) (*Process, error) {
	path, err := find(c.Argv[0])
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: path, Args: c.Argv, Env: c.As.environ(os.Environ()), Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Credential: c.As.credential()},
	}
	if c.Group != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(c.Group.dir.Fd())
	}
	signals := catchSignals()
	if err := cmd.Start(); err != nil {
		signals.stop()
		return nil, &StartError{c.Argv[0], bare(err)}
	}
	signals.pass(cmd.Process)
	return &Process{cmd, signals}, nil
}

// bare is an error without the name of the program, which is said anyway.
func bare(err error) error {
	if lookup, ok := errors.AsType[*exec.Error](err); ok {
		err = lookup.Err
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err
	}
	return err
}

// PID is the command's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Wait waits for the end of the command and returns its exit code, 128 and the
// signal's number if one ended it. An error is one of copying its output, or of
// waiting; the code is -1 in the second case.
func (p *Process) Wait() (code int, err error) {
	err = p.cmd.Wait()
	p.signals.stop()
	state := p.cmd.ProcessState
	if state == nil {
		return -1, fmt.Errorf("wait for command: %w", err)
	}
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		err = nil
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitSignal + int(status.Signal()), err
	}
	return state.ExitCode(), err
}
