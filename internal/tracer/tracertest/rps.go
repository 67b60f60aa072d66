package tracertest

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// SpreadPackets makes any CPU handle the packets of the namespace's loopback
// (receive packet steering): they arrive in softirqs that interrupt whatever
// the CPU does, as on a real network.
func (ns *NS) SpreadPackets() {
	ns.tb.Helper()
	ns.Do(func() error {
		// sysfs shows the namespace of whoever mounts it.
		mount, err := mountPrivately("sysfs")
		if err != nil {
			return err
		}
		defer unix.Close(mount)
		path := fmt.Sprintf("/proc/thread-self/fd/%d/class/net/lo/queues/rx-0/rps_cpus", mount)
		// No bit may stand for a CPU that is not there.
		return os.WriteFile(path, fmt.Appendf(nil, "%x", 1<<min(runtime.NumCPU(), 2)-1), 0)
	})
}
