// Command init is process 1 of a machine of vmtest: it makes the system that
// the tests expect, runs them, and turns the machine off.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/tracer/netns"
	"github.com/portwatch/portwatch/scripts/vmtest/plan"
)

func main() {
	runtime.LockOSThread()
	if err := live(); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// live does everything. Before the output is open, an error goes to the
// console only: vmtest sees a machine that said nothing.
func live() error {
	if err := mountAll(); err != nil {
		return err
	}
	out, err := openOutput()
	if err != nil {
		return err
	}
	if err := work(out); err != nil {
		return errors.Join(err, say(out, plan.Note{Event: plan.Failed, Text: err.Error()}))
	}
	return say(out, plan.Note{Event: plan.Over})
}

func work(out *os.File) error {
	if err := prepare(); err != nil {
		return err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("read kernel release: %w", err)
	}
	if err := say(out, plan.Note{Event: plan.Booted, Text: unix.ByteSliceToString(name.Release[:])}); err != nil {
		return err
	}
	text, err := os.ReadFile(plan.Path)
	if err != nil {
		return err
	}
	var p plan.Plan
	if err := json.Unmarshal(text, &p); err != nil {
		return fmt.Errorf("read %s: %w", plan.Path, err)
	}
	for i := range p.Commands {
		if err := say(out, plan.Note{Event: plan.Begin, Command: i}); err != nil {
			return err
		}
		note := run(&p.Commands[i], out)
		note.Event, note.Command = plan.End, i
		if err := say(out, note); err != nil {
			return err
		}
	}
	return nil
}

func say(out *os.File, n plan.Note) error {
	_, err := out.Write(n.Line())
	return err
}

// mountAll mounts what a program expects of a Linux system, but for tracefs,
// which portwatch mounts itself.
func mountAll() error {
	for _, m := range []struct{ kind, dir string }{
		{"proc", "/proc"},
		{"sysfs", "/sys"},
		{"devtmpfs", "/dev"},
		{"bpf", "/sys/fs/bpf"},
		{"cgroup2", "/sys/fs/cgroup"},
		{"tmpfs", "/tmp"},
		{"tmpfs", "/run"},
	} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	return os.Chmod("/tmp", 0o1777)
}

// openOutput opens the serial port raw: the line discipline changes nothing.
func openOutput() (*os.File, error) {
	fd, err := unix.Open(plan.Output, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", plan.Output, err)
	}
	tty, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		tty.Oflag &^= unix.OPOST
		tty.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
		err = unix.IoctlSetTermios(fd, unix.TCSETS, tty)
	}
	if err != nil {
		return nil, fmt.Errorf("set %s: %w", plan.Output, err)
	}
	return os.NewFile(uintptr(fd), plan.Output), nil
}

func prepare() error {
	modules, err := filepath.Glob(plan.Modules + "/*.ko")
	if err != nil {
		return err
	}
	for _, path := range modules {
		if err := load(path); err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
	}
	if err := unix.Sethostname([]byte("vmtest")); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := netns.RaiseLoopback(); err != nil {
		return fmt.Errorf("raise loopback: %w", err)
	}
	return nil
}

func load(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return unix.FinitModule(int(file.Fd()), "", 0)
}

// run runs a command and says how it ended. Whatever it leaves behind ends
// with it, so that the next one finds a machine as if it had just booted.
func run(c *plan.Command, out *os.File) plan.Note {
	process, err := os.StartProcess(c.Argv[0], c.Argv, &os.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: []*os.File{nil, out, out},
	})
	if err != nil {
		return plan.Note{Code: -1, Text: err.Error()}
	}
	limit := time.Duration(c.Seconds) * time.Second
	watchdog := time.AfterFunc(limit, func() { _ = unix.Kill(-1, unix.SIGKILL) })
	status, err := reap(process.Pid)
	inTime := watchdog.Stop()
	_ = unix.Kill(-1, unix.SIGKILL)
	_, _ = reap(-1)
	switch {
	case err != nil:
		return plan.Note{Code: -1, Text: "wait: " + err.Error()}
	case !inTime:
		return plan.Note{Code: -1, Text: fmt.Sprintf("killed: still there after %v", limit)}
	case status.Signaled():
		return plan.Note{Code: -1, Text: "killed: " + status.Signal().String()}
	}
	return plan.Note{Code: status.ExitStatus(), Text: fmt.Sprintf("exit status %d", status.ExitStatus())}
}

// reap waits for every child that ends, and process 1 is everybody's parent in
// the end, until the one has; with -1 until there is none.
func reap(pid int) (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		ended, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return status, err
		case ended == pid:
			return status, nil
		}
	}
}
