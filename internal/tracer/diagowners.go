package tracer

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/workload"
)

// diagOwners finds the processes that hold sockets, by their descriptor tables:
// after the fact, so the confidence is snapshot. Where several hold one socket
// it is the oldest: a child inherits, a parent does not. A socket whose
// descriptor cannot be found has its cgroup for an owner, and without one it
// is unknown.
type diagOwners struct {
	procRoot string
	names    *workload.Resolver
	met      map[event.OwnerID]event.Owner // whose names were told, and who lived then
}

func newDiagOwners(procRoot string, names *workload.Resolver) *diagOwners {
	return &diagOwners{procRoot: procRoot, names: names, met: map[event.OwnerID]event.Owner{}}
}

// find gives owners to the leases that a dump brought, and tells who is new
// and who has ended.
func (o *diagOwners) find(t *diagLeases, tell func(event.Event)) {
	wanted := map[uint32]*event.Owner{}
	for _, row := range t.rows {
		if !row.asked && row.inode != 0 {
			wanted[row.inode] = nil
		}
	}
	if len(wanted) > 0 {
		o.search(wanted)
	}
	for _, row := range t.rows {
		if row.asked {
			continue
		}
		row.asked = true
		row.lease.Owner = ownerOf(wanted[row.inode], row.cgroup)
		o.meet(&row.lease.Owner, tell)
	}
	o.watch(tell)
}

func ownerOf(process *event.Owner, cgroup uint64) event.Owner {
	switch {
	case process != nil:
		return *process
	case cgroup != 0:
		return event.Owner{Kind: event.OwnerCgroup, Confidence: event.ConfidenceCgroup, CgroupID: cgroup}
	}
	return event.Owner{}
}

// meet tells the names of an owner that was not met before.
func (o *diagOwners) meet(owner *event.Owner, tell func(event.Event)) {
	id := owner.ID()
	if _, known := o.met[id]; known || owner.Kind == event.OwnerUnknown {
		return
	}
	if len(o.met) >= maxOwners {
		clear(o.met)
	}
	o.met[id] = *owner
	answer := o.names.Describe(*owner)
	tell(event.Event{Kind: event.KindOwner, Time: bootNow(), Process: &answer})
}

// watch tells which owners have ended.
func (o *diagOwners) watch(tell func(event.Event)) {
	for id, owner := range o.met {
		if owner.Kind != event.OwnerProcess || !isGone(owner.PID) {
			continue
		}
		delete(o.met, id)
		tell(event.Event{Kind: event.KindOwner, Time: bootNow(), Process: &event.Process{Owner: owner, Exited: true}})
	}
}

// search fills wanted, by inode, with the oldest process that holds a
// descriptor of each. Processes that end meanwhile, or may not be looked into,
// hold nothing.
func (o *diagOwners) search(wanted map[uint32]*event.Owner) {
	entries, err := os.ReadDir(o.procRoot)
	if err != nil {
		return
	}
	for _, entry := range entries {
		pid, err := strconv.ParseUint(entry.Name(), 10, 32)
		if err != nil {
			continue
		}
		owner, held := holderOf(filepath.Join(o.procRoot, entry.Name()), uint32(pid), wanted)
		for _, inode := range held {
			if known := wanted[inode]; known == nil || owner.StartTime < known.StartTime {
				wanted[inode] = &owner
			}
		}
	}
}

// holderOf is the process with the wanted sockets that it holds, none if it
// cannot be told.
func holderOf(dir string, pid uint32, wanted map[uint32]*event.Owner) (event.Owner, []uint32) {
	held, proof := heldSockets(filepath.Join(dir, "fd"), wanted)
	if len(held) == 0 {
		return event.Owner{}, nil
	}
	owner, ok := readOwner(dir, pid)
	// The number may have passed to another process on the way: that one does
	// not hold the same socket under the same descriptor.
	if inode, still := socketInode(proof); !ok || !still || inode != held[0] {
		return event.Owner{}, nil
	}
	return owner, held
}

// heldSockets are the wanted sockets in a descriptor table. proof is the
// descriptor of the first.
func heldSockets(dir string, wanted map[uint32]*event.Owner) (held []uint32, proof string) {
	fds, err := os.Open(dir)
	if err != nil {
		return nil, ""
	}
	defer fds.Close()
	names, err := fds.Readdirnames(-1)
	if err != nil {
		return nil, ""
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		inode, ok := socketInode(path)
		if !ok {
			continue
		}
		if _, asked := wanted[inode]; !asked {
			continue
		}
		if held = append(held, inode); proof == "" {
			proof = path
		}
	}
	return held, proof
}

// socketInode reads a descriptor's link, "socket:[1234]".
func socketInode(path string) (uint32, bool) {
	link, err := os.Readlink(path)
	if err != nil {
		return 0, false
	}
	digits, ok := strings.CutPrefix(link, "socket:[")
	inode, err := strconv.ParseUint(strings.TrimSuffix(digits, "]"), 10, 32)
	return uint32(inode), ok && err == nil
}

// startField is field 22 of proc_pid_stat(5), counted after the name.
const startField = 22 - 3

// userHZ is the unit of times in /proc/PID/stat: USER_HZ is 100 on every
// architecture that portwatch runs on.
const userHZ = 100

// readOwner reads who a process is.
func readOwner(dir string, pid uint32) (event.Owner, bool) {
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	begin, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if err != nil || begin < 0 || end < begin {
		return event.Owner{}, false
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) <= startField {
		return event.Owner{}, false
	}
	ticks, err := strconv.ParseUint(fields[startField], 10, 64)
	uid, ok := readUID(dir)
	if err != nil || !ok {
		return event.Owner{}, false
	}
	return event.Owner{
		Kind: event.OwnerProcess, Confidence: event.ConfidenceSnapshot, PID: pid, UID: uid,
		StartTime: event.Time(ticks * (1e9 / userHZ)), Comm: event.CommOf(string(text[begin+1 : end])),
	}, true
}

// readUID reads the real user id, the first of "Uid:\t1000\t1000\t1000\t1000".
func readUID(dir string) (uint32, bool) {
	text, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0, false
	}
	_, after, _ := strings.Cut(string(text), "\nUid:")
	ids := strings.Fields(after)
	if len(ids) == 0 {
		return 0, false
	}
	uid, err := strconv.ParseUint(ids[0], 10, 32)
	return uint32(uid), err == nil
}
