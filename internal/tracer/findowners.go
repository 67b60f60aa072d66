package tracer

import (
	"path/filepath"
	"strconv"

	"github.com/portwatch/portwatch/internal/event"
)

// FindOwners finds the processes that hold sockets, by the inode numbers of
// the sockets' files, in the descriptor tables under procRoot (as a rule
// "/proc"). Where several hold one socket it is the oldest. A socket whose
// holder may not be looked into, or has ended, is not in the answer. The
// confidence is that of a snapshot.
func FindOwners(procRoot string, inodes []uint32) map[uint32]event.Owner {
	wanted := make(map[uint32]*event.Owner, len(inodes))
	for _, inode := range inodes {
		if inode != 0 {
			wanted[inode] = nil
		}
	}
	if len(wanted) > 0 {
		(&diagOwners{procRoot: procRoot}).search(wanted)
	}
	found := make(map[uint32]event.Owner, len(wanted))
	for inode, owner := range wanted {
		if owner != nil {
			found[inode] = *owner
		}
	}
	return found
}

// ReadOwner reads who the process pid is now; false if it has ended.
func ReadOwner(procRoot string, pid int) (event.Owner, bool) {
	return readOwner(filepath.Join(procRoot, strconv.Itoa(pid)), uint32(pid))
}
