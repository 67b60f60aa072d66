package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"
)

// sample is what one load beside one tool gave.
type sample struct {
	outcome
	Busy    time.Duration // of all CPUs, whoever used them
	ToolCPU time.Duration // of the tool's process, user and system
	RSS     uint64
	Kernel  kernelSide
	Said    farewell
	Printed uint64 // lines; counted trials only
}

// settle is how long after a load the clocks still run: a tool that reads in
// batches has work left when the load is over.
const settle = time.Second

// counted is a trial that counts the lines that the tool prints.
func counted(t tool, o loadOptions) (s sample, err error) {
	file, err := os.CreateTemp("", "portwatch-bench-")
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// Without a name it goes when the bench does, however that ends.
	if err := os.Remove(file.Name()); err != nil {
		return sample{}, err
	}
	if s, err = trial(t, o, file); err != nil {
		return sample{}, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return sample{}, err
	}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		s.Printed++
	}
	return s, lines.Err()
}

// trial runs one load beside one tool, which prints to stdout, nil for
// /dev/null.
func trial(t tool, o loadOptions, stdout *os.File) (sample, error) {
	var p *process
	if t.argv != nil {
		var err error
		if p, err = launch(t, stdout); err != nil {
			return sample{}, err
		}
	}
	s, err := underLoad(p, o)
	if p != nil {
		var stopErr error
		s.Said, stopErr = p.stop()
		err = errors.Join(err, stopErr)
	}
	return s, err
}

// underLoad starts the load process and reads the clocks around the load.
func underLoad(p *process, o loadOptions) (s sample, err error) {
	l, err := startLoad(o)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, l.end()) }()
	before, err := readClocks(p)
	if err != nil {
		return sample{}, err
	}
	if s.outcome, err = l.drive(); err != nil {
		return sample{}, err
	}
	time.Sleep(settle)
	after, err := readClocks(p)
	if err != nil {
		return sample{}, err
	}
	s.ToolCPU = after.tool - before.tool
	s.Busy = after.wall.Sub(before.wall)*time.Duration(runtime.NumCPU()) - (after.idle - before.idle)
	s.RSS, s.Kernel = after.rss, after.kernel
	s.Kernel.Runs -= before.kernel.Runs
	s.Kernel.RunTime -= before.kernel.RunTime
	s.Kernel.Skipped -= before.kernel.Skipped
	if s.Connections == 0 {
		return s, fmt.Errorf("load %s made no connection, %d failures", o.Kind, s.Failures)
	}
	return s, nil
}

// clocks are the counters of the machine and of a tool at one moment.
type clocks struct {
	wall       time.Time
	idle, tool time.Duration
	rss        uint64
	kernel     kernelSide
}

func readClocks(p *process) (c clocks, err error) {
	if p != nil {
		pid := p.cmd.Process.Pid
		var errs [3]error
		c.tool, errs[0] = processCPU(pid)
		c.rss, errs[1] = residentBytes(pid)
		c.kernel, errs[2] = readKernelSide(pid)
		if err := errors.Join(errs[:]...); err != nil {
			return c, fmt.Errorf("%s: %w", p.tool.name, err)
		}
	}
	c.wall = time.Now()
	c.idle, err = idleCPU()
	return c, err
}

// loadProcess is a load in namespaces of its own.
type loadProcess struct {
	in   io.WriteCloser
	out  *bufio.Scanner
	wait func() error
}

func startLoad(o loadOptions) (*loadProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	arg, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := child(self, "load", string(arg))
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start load: %w", err)
	}
	l := &loadProcess{in: in, out: bufio.NewScanner(out), wait: cmd.Wait}
	if !l.out.Scan() || l.out.Text() != "ready" {
		return nil, errors.Join(errors.New("load did not get ready"), l.end())
	}
	return l, nil
}

func (l *loadProcess) drive() (done outcome, err error) {
	if _, err := fmt.Fprintln(l.in); err != nil {
		return done, fmt.Errorf("begin load: %w", err)
	}
	if !l.out.Scan() {
		return done, errors.New("load ended without outcome")
	}
	return done, json.Unmarshal(l.out.Bytes(), &done)
}

func (l *loadProcess) end() error {
	_ = l.in.Close()
	if err := l.wait(); err != nil {
		return fmt.Errorf("end load: %w", err)
	}
	return nil
}
