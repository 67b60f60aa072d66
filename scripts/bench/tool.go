package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tool is one of the programs compared.
type tool struct {
	name string
	argv []string // nil for nothing at all
	// lost finds, in what the tool said on stderr, each number of events that
	// it lost; events, if it tells, how many it read.
	lost, events *regexp.Regexp
}

const (
	nothing   = "nothing"
	portwatch = "portwatch"
	tcpstates = "tcpstates"
	bpftrace  = "bpftrace"
)

// The same facts that tcpstates prints.
const bpftraceScript = `tracepoint:sock:inet_sock_set_state /args->protocol == 6/ {
	printf("%lx %d %s %s %d %s %d %d %d\n", args->skaddr, pid, comm,
		ntop(args->saddr), args->sport, ntop(args->daddr), args->dport, args->oldstate, args->newstate);
}`

// The tools in the order of the tables. All of them print each event as a line.
func tools(binary string) []tool {
	return []tool{
		{name: nothing},
		{
			name: portwatch, argv: []string{binary, "events", "--all"},
			lost:   regexp.MustCompile(`events in .*, lost ([\d,]+);`),
			events: regexp.MustCompile(`(?m)^([\d,]+) events in `),
		},
		{name: tcpstates, argv: []string{"tcpstates"}, lost: regexp.MustCompile(`(?i)lost (\d+) events`)},
		{name: bpftrace, argv: []string{"bpftrace", "-e", bpftraceScript}, lost: regexp.MustCompile(`(?i)lost (\d+) events`)},
	}
}

// process is a running tool.
type process struct {
	tool   tool
	cmd    *exec.Cmd
	stderr bytes.Buffer
	exited chan error
}

// launch starts a tool and waits until its programs are attached. What it
// prints goes to a file; nil is /dev/null.
func launch(t tool, stdout *os.File) (*process, error) {
	p := &process{tool: t, cmd: child(t.argv[0], t.argv[1:]...), exited: make(chan error, 1)}
	p.cmd.Stderr = &p.stderr
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", t.name, err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	if err := p.awaitAttached(); err != nil {
		_ = p.cmd.Process.Kill()
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return p, nil
}

// awaitAttached waits until the tool holds programs and their number has not
// changed for a second. No tool says that it is ready in a way of its own.
func (p *process) awaitAttached() error {
	const step, calm = 100 * time.Millisecond, 10
	programs, same := 0, 0
	for range 300 {
		select {
		case err := <-p.exited:
			return fmt.Errorf("ended at once: %w: %s", err, bytes.TrimSpace(p.stderr.Bytes()))
		case <-time.After(step):
		}
		k, err := readKernelSide(p.cmd.Process.Pid)
		if err != nil {
			return err
		}
		if k.Programs != programs || programs == 0 {
			programs, same = k.Programs, 0
			continue
		}
		if same++; same == calm {
			return nil
		}
	}
	return errors.New("attached nothing within 30 s")
}

// farewell is what a tool says when it ends.
type farewell struct {
	lost, events uint64
	text         string
}

// stop ends the tool as a person would and reads its last words.
func (p *process) stop() (farewell, error) {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return farewell{}, fmt.Errorf("stop %s: %w", p.tool.name, err)
	}
	select {
	case err := <-p.exited:
		if err != nil {
			return farewell{}, fmt.Errorf("stop %s: %w: %s", p.tool.name, err, p.stderr.String())
		}
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		return farewell{}, fmt.Errorf("stop %s: still there after 15 s", p.tool.name)
	}
	return p.tool.read(p.stderr.String()), nil
}

func (t *tool) read(text string) farewell {
	return farewell{lost: sumMatches(t.lost, text), events: sumMatches(t.events, text), text: strings.TrimSpace(text)}
}

// sumMatches adds up the first group of every match; thousands may be set off.
func sumMatches(re *regexp.Regexp, text string) (sum uint64) {
	if re == nil {
		return 0
	}
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		if n, err := strconv.ParseUint(strings.ReplaceAll(m[1], ",", ""), 10, 64); err == nil {
			sum += n
		}
	}
	return sum
}

// mountTracefs makes the tracepoints visible to the peers: the calling thread,
// and with it every child that it starts, gets a mount namespace of its own, so
// that the host sees no new mount.
func mountTracefs() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	const dir = "/sys/kernel/tracing"
	if _, err := os.Stat(dir + "/events"); err == nil {
		return nil
	}
	if err := unix.Mount("tracefs", dir, "tracefs", 0, ""); err != nil {
		return fmt.Errorf("mount tracefs: %w", err)
	}
	return nil
}
