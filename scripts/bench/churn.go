package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	churnPort         = 8081
	churnWorkers      = 8
	churnDestinations = 20
)

// churn opens connections one after another in each of its workers and closes
// them before the server does, so that every TIME_WAIT is the client's. System
// calls are made directly: the runtime's poller would double the cost of a
// connection and hide what is to be measured.
type churn struct {
	rate int // connections per second of all workers; 0 for as many as can be

	listener int
	failed   atomic.Uint64
}

// start opens the server, which ends with the process.
func (c *churn) start() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open listener: %w", err)
	}
	// Any address: each destination is one of 127.0.0.0/8.
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: churnPort}); err != nil {
		return fmt.Errorf("bind listener: %w", err)
	}
	if err := unix.Listen(fd, 4096); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	c.listener = fd
	for range churnWorkers {
		go c.serve()
	}
	return nil
}

// serve sends a byte, which paces the client, and waits for its end to close.
func (c *churn) serve() {
	buf := []byte{0}
	for {
		fd, _, err := unix.Accept4(c.listener, unix.SOCK_CLOEXEC)
		if err != nil {
			c.failed.Add(1)
			return
		}
		if _, err := unix.Write(fd, buf); err == nil {
			_, _ = unix.Read(fd, buf)
		}
		_ = unix.Close(fd)
	}
}

// run drives the load for a time and returns the number of failures.
func (c *churn) run(length time.Duration) (uint64, error) {
	end := time.Now().Add(length)
	var workers sync.WaitGroup
	for w := range churnWorkers {
		workers.Go(func() { c.work(w, end) })
	}
	workers.Wait()
	return c.failed.Load(), nil
}

func (c *churn) work(worker int, end time.Time) {
	var pause time.Duration
	if c.rate > 0 {
		pause = time.Second * churnWorkers / time.Duration(c.rate)
	}
	due := time.Now()
	for i := worker; ; i++ {
		now := time.Now()
		if now.After(end) {
			return
		}
		if due = due.Add(pause); due.After(now) {
			time.Sleep(due.Sub(now))
		}
		if err := visit(byte(2 + i%churnDestinations)); err != nil {
			c.failed.Add(1)
			time.Sleep(time.Millisecond) // never spin on failures
		}
	}
}

// visit makes one connection to 127.0.0.host.
func visit(host byte) (err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, host}, Port: churnPort}); err != nil {
		return err
	}
	_, err = unix.Read(fd, make([]byte, 1))
	return err
}
