package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// activeOpens is how many connections this namespace has opened.
func activeOpens() (uint64, error) {
	data, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		return 0, err
	}
	return snmpField(string(data), "Tcp", "ActiveOpens")
}

// snmpField reads a table whose header line precedes its line of values.
func snmpField(text, table, name string) (uint64, error) {
	var header []string
	for line := range strings.Lines(text) {
		cells := strings.Fields(line)
		if len(cells) == 0 || cells[0] != table+":" {
			continue
		}
		if header == nil {
			header = cells
			continue
		}
		for i, h := range header {
			if h == name && i < len(cells) {
				return strconv.ParseUint(cells[i], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("read snmp: no %s of %s", name, table)
}

// awaitExpiry waits until no TIME_WAIT is left in this namespace.
func awaitExpiry() error {
	// A TIME_WAIT lasts 60 s, plus the eighth by which a timer may be late.
	for range 80 {
		data, err := os.ReadFile("/proc/self/net/sockstat")
		if err != nil {
			return err
		}
		if bytes.Contains(data, []byte(" tw 0 ")) {
			return nil
		}
		time.Sleep(time.Second)
	}
	return errors.New("wait for TIME_WAIT to end: not within 80 s")
}

// processCPU is the user and system time of all threads of a process, live and
// dead, to the nanosecond.
func processCPU(pid int) (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED of a process (include/linux/posix-timers.h)
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &ts); err != nil {
		return 0, fmt.Errorf("read CPU clock of %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// idleCPU is the time that all CPUs spent idle or were not given by the
// hypervisor. The kernel counts idle time exactly, busy time by sampling.
func idleCPU() (time.Duration, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	cells := strings.Fields(string(data))
	if len(cells) < 9 || cells[0] != "cpu" {
		return 0, errors.New("read /proc/stat: no line of all CPUs")
	}
	var ticks uint64
	for _, column := range []int{4, 5, 8} { // idle, iowait, steal
		n, err := strconv.ParseUint(cells[column], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		ticks += n
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 everywhere
	return time.Duration(ticks) * tick, nil
}

// residentBytes is the memory of a process, its maps in the kernel apart.
func residentBytes(pid int) (uint64, error) {
	fields, err := colonFile(fmt.Sprintf("/proc/%d/status", pid))
	return 1024 * fields["VmRSS"], err
}

// kernelSide is what the kernel counts of a tool's programs and maps.
type kernelSide struct {
	Programs int
	RunTime  time.Duration // 0 unless statistics are on
	Runs     uint64        // likewise
	Skipped  uint64        // runs that the kernel left out (recursion_misses)
	MapBytes uint64
}

// readKernelSide reads it from the descriptors that the tool holds, so that
// nobody else's programs are counted. A descriptor may close under the reader.
func readKernelSide(pid int) (kernelSide, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return kernelSide{}, err
	}
	var k kernelSide
	programs, maps := map[uint64]bool{}, map[uint64]bool{}
	for _, file := range files {
		fields, err := colonFile(file)
		if err != nil {
			continue
		}
		id, isMap := fields["map_id"]
		if isMap && !maps[id] {
			maps[id] = true
			k.MapBytes += fields["memlock"]
		}
		runs, isProgram := fields["run_cnt"]
		if id := fields["prog_id"]; isProgram && !programs[id] {
			programs[id] = true
			k.Programs++
			k.Runs += runs
			k.RunTime += time.Duration(fields["run_time_ns"])
			k.Skipped += fields["recursion_misses"]
		}
	}
	return k, nil
}

// colonFile reads the numbers of a file of lines "name: number …".
func colonFile(path string) (map[string]uint64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	fields := map[string]uint64{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		words := strings.Fields(value)
		if len(words) == 0 {
			continue
		}
		if n, err := strconv.ParseUint(words[0], 10, 64); err == nil {
			fields[name] = n
		}
	}
	return fields, lines.Err()
}
