package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/portwatch/portwatch/scripts/vmtest/plan"
)

// silence is how long a machine may say nothing before it counts as locked up:
// every test says when it begins, and none waits so long.
const silence = 5 * time.Minute

// transcript is what a machine said.
type transcript struct {
	release string   // uname -r; "" if it did not come so far
	ends    []ending // of the commands that ended, in order
	cut     []byte   // what the command said that did not end
	heard   []byte   // all of the output
	console []byte   // the kernel log
	crash   string   // why the machine did not end as it should, or ""
	took    time.Duration
}

// ending is a command that has ended.
type ending struct {
	output []byte
	note   plan.Note
}

// qemuArgs makes one machine. It has one CPU, for without KVM, QEMU loses now
// and then a kernel that patches its code under the feet of a second one; and
// no 16-byte compare-exchange, after which QEMU 7 spoils the flags that an
// interrupt saves. From 6.18 a kernel without it has no memory for the task
// storage of BPF (kmalloc_nolock), unless the caches are debugged; older ones
// do not know the option by this name. The other options save time.
//
// Its clock counts executed instructions, one a nanosecond (-icount): how busy the
// host is changes no time in it, and what takes time there costs instructions.
func qemuArgs(kernel, initramfs, console string) []string {
	return []string{
		"-machine", "pc,accel=tcg", "-cpu", "qemu64,-cx16", "-smp", "1", "-m", "1536",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-serial", "file:" + console, "-serial", "stdio",
		"-kernel", kernel, "-initrd", initramfs,
		"-append", "console=ttyS0 panic=-1 oops=panic slab_debug=F,kmalloc-* mitigations=off tsc=reliable",
		"-icount", "shift=0,sleep=off",
	}
}

// boot runs the plan on a kernel. The error is one of this side; what goes
// wrong on the other is in the transcript.
func boot(ctx context.Context, kernel string, initramfs []byte, hear func(line []byte)) (*transcript, error) {
	dir, err := os.MkdirTemp("", "vmtest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	image, console := filepath.Join(dir, "initramfs"), filepath.Join(dir, "console")
	if err := os.WriteFile(image, initramfs, 0o600); err != nil {
		return nil, err
	}
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", qemuArgs(kernel, image, console)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	watchdog := time.AfterFunc(silence, func() { kill(fmt.Errorf("no progress: not a line in %v", silence)) })
	t := &transcript{}
	over := t.read(stdout, func(line []byte) { watchdog.Reset(silence); hear(line) })
	ended := cmd.Wait()
	watchdog.Stop()
	t.took = time.Since(began)
	if t.console, err = os.ReadFile(console); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if why := context.Cause(ctx); why != nil {
		ended = why
	}
	t.crash = verdict(over, ended, t.console, stderr.Bytes())
	return t, nil
}

var panicLine = regexp.MustCompile(`Kernel panic - not syncing: .*`)

// verdict says why a machine did not end as it should, or "".
func verdict(over bool, ended error, console, stderr []byte) string {
	panicked := panicLine.Find(console)
	switch {
	case panicked != nil:
		return string(bytes.TrimSpace(panicked))
	case ended != nil:
		return strings.TrimSpace(fmt.Sprintf("QEMU ended early: %v %s", ended, stderr))
	case !over:
		return "the machine ended before its commands did"
	}
	return ""
}

// read takes the output apart. It returns at its end, and reports whether init
// had said that all is over.
func (t *transcript) read(r io.Reader, hear func(line []byte)) (over bool) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			hear(line)
			t.heard = append(t.heard, line...)
			if note, ok := plan.Parse(line); ok {
				over = t.take(note) || over
			} else {
				t.cut = append(t.cut, line...)
			}
		}
		if err != nil {
			return over
		}
	}
}

// take heeds a note and reports whether it is the last.
func (t *transcript) take(n plan.Note) (over bool) {
	switch n.Event {
	case plan.Booted:
		t.release = n.Text
	case plan.Begin:
		t.cut = nil
	case plan.End:
		t.ends = append(t.ends, ending{output: t.cut, note: n})
		t.cut = nil
	case plan.Failed:
		t.cut = append(t.cut, "init: "+n.Text+"\n"...)
	case plan.Over:
		return true
	}
	return false
}
