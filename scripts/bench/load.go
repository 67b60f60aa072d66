package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// The loads by name.
const (
	loadWeb   = "wrk"
	loadChurn = "churn"
)

// loadOptions travel from the bench to its load process.
type loadOptions struct {
	Kind   string
	Length time.Duration
	Rate   int  // churn only
	RPS    bool // packets of the loopback are handed to all CPUs
	Expire bool // wait until no TIME_WAIT is left
}

// outcome is what a load says when it is done.
type outcome struct {
	Connections uint64
	Failures    uint64
	Elapsed     time.Duration
}

// generator is a load: start makes it ready, run drives it.
type generator interface {
	start() error
	run(time.Duration) (failures uint64, err error)
	stop() error
}

func (c *churn) stop() error { return unix.Close(c.listener) }

// runLoad is the load process. It runs in network and mount namespaces of its
// own, says "ready", begins at the first line of its input, prints its outcome
// and lives until its input ends: until then the namespace's TIME_WAITs stay.
func runLoad(args []string) (err error) {
	if len(args) != 1 {
		return flag.ErrHelp
	}
	var o loadOptions
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	if err := prepare(o); err != nil {
		return err
	}
	var g generator = &web{}
	if o.Kind == loadChurn {
		g = &churn{rate: o.Rate}
	}
	if err := g.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	if !in.Scan() {
		return errors.New("the bench has gone")
	}
	done, err := drive(g, o)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(done); err != nil {
		return err
	}
	in.Scan()
	return nil
}

func drive(g generator, o loadOptions) (outcome, error) {
	before, err := activeOpens()
	if err != nil {
		return outcome{}, err
	}
	begun := time.Now()
	failures, err := g.run(o.Length)
	if err != nil {
		return outcome{}, err
	}
	elapsed := time.Since(begun)
	after, err := activeOpens()
	if err != nil {
		return outcome{}, err
	}
	if o.Expire {
		err = awaitExpiry()
	}
	return outcome{Connections: after - before, Failures: failures, Elapsed: elapsed}, err
}

// requirePrivate makes sure that the bench gave this process namespaces of its
// own: what follows would change the host's.
func requirePrivate(kinds ...string) error {
	for _, kind := range kinds {
		ours, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			return fmt.Errorf("read own namespace: %w", err)
		}
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", os.Getppid(), kind))
		if err != nil {
			return fmt.Errorf("read namespace of the bench: %w", err)
		}
		if ours == theirs {
			return fmt.Errorf("prepare load: the %s namespace is the caller's: a load is started by the bench alone", kind)
		}
	}
	return nil
}

// prepare sets up the namespaces: a folder for files that ends with the process,
// however it ends, a loopback, and the settings that keep one run like the next.
func prepare(o loadOptions) error {
	if err := requirePrivate("net", "mnt"); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", os.TempDir(), "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	if err := raiseLoopback(); err != nil {
		return err
	}
	// By default TIME_WAIT on the loopback is reused, which no network does.
	if err := os.WriteFile("/proc/sys/net/ipv4/tcp_tw_reuse", []byte("0"), 0); err != nil {
		return err
	}
	if o.RPS {
		return spreadPackets()
	}
	return nil
}

func raiseLoopback() (err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open unix socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// spreadPackets sets rps_cpus of this namespace's loopback. sysfs shows the
// devices of the namespace that it was mounted in, hence a mount of our own.
func spreadPackets() error {
	dir, err := os.MkdirTemp("", "sysfs-")
	if err != nil {
		return err
	}
	if err := unix.Mount("sysfs", dir, "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	file := filepath.Join(dir, "class/net/lo/queues/rx-0/rps_cpus")
	cpus := min(runtime.NumCPU(), 32) // more need a comma in the mask
	return os.WriteFile(file, fmt.Appendf(nil, "%x", uint64(1)<<cpus-1), 0)
}
