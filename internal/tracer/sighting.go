package tracer

import (
	"context"
	"errors"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/tracer/sockdiag"
)

// decodeSighting reads a row of a look. byFile says that a descriptor led to the
// socket: then the owner is the process that holds it.
func (l *Looker) decodeSighting(raw []byte) (s event.Sighting, byFile, ok bool) {
	r, ok := copyRecord[bpfPwSighting](raw)
	if !ok {
		return s, false, false
	}
	toLease(&r.Lease, &s.Lease)
	s.Lease.ID.Born, s.Seen, s.Inode = 0, event.Time(r.Lease.Changed), r.Inode
	if s.Lease.State == event.StateTimeWait {
		s.Lease.Expires = l.tick.releaseTime(s.Seen, r.Jiffies, r.Lease.Expires)
		s.Lease.Entered = l.tick.enteredTime(s.Seen, r.Jiffies, r.Lease.Expires, s.Lease.Substate)
	}
	flags := bpfPwFlag(r.Lease.Word.Flags)
	s.Sharing = event.Sharing{
		Known:     true,
		ReuseAddr: flags&bpfPwFlagPW_REUSEADDR != 0,
		ReusePort: flags&bpfPwFlagPW_REUSEPORT != 0,
		UID:       r.Uid,
	}
	if r.HasBucket != 0 {
		s.Bucket = toBucket(&r)
	}
	return s, r.ByFile != 0, true
}

// The values of fastreuseport (include/net/inet_hashtables.h).
const (
	reusePortAny    = 1
	reusePortStrict = 2
)

func toBucket(r *bpfPwSighting) event.Bucket {
	b := event.Bucket{
		Known: true, Domain: r.L3mdev,
		Bound:     r.Fastreuse >= 0 || r.Fastreuseport >= 0,
		ReuseAddr: r.Fastreuse > 0,
	}
	switch r.Fastreuseport {
	case reusePortAny:
		b.ReusePort, b.UID = event.ReachEverywhere, r.BucketUid
	case reusePortStrict:
		b.ReusePort, b.At = event.ReachAddress, toAddrPort(&r.BucketAddr, 0, r.BucketFamily).Addr()
		b.AtV6Only, b.UID = r.BucketV6only != 0, r.BucketUid
	}
	return b
}

// hold notes that a process holds a socket. Of several the oldest counts: a child
// inherits, a parent does not.
func hold(s *event.Sighting, process event.Owner) {
	have := &s.Lease.Owner
	s.Processes++
	if have.Kind == event.OwnerProcess && have.StartTime <= process.StartTime {
		return
	}
	*have = process
}

// listDiag lists sockets of the namespace that the thread is in by sock_diag: all,
// or those of TCP in the states.
func (s *sighter) listDiag(ctx context.Context, inode uint32, states []event.State) (err error) {
	conn, err := sockdiag.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for _, protocol := range [...]event.Protocol{event.TCP, event.UDP} {
		if protocol == event.UDP && states != nil {
			continue
		}
		err := conn.Dump(ctx, sockdiag.Request{Protocol: protocol, States: states}, func(k *sockdiag.Socket) error {
			if k.Local.Port() != 0 && k.State != event.StateNewSynRecv {
				s.add(sightingOf(k, inode, bootNow()))
			}
			return nil
		})
		if err != nil && !errors.Is(err, sockdiag.ErrInterrupted) {
			return err
		}
	}
	return nil
}

func sightingOf(k *sockdiag.Socket, inode uint32, now event.Time) *event.Sighting {
	s := &event.Sighting{Seen: now, Inode: uint64(k.Inode), Lease: event.Lease{
		ID: event.LeaseID{Cookie: k.Cookie}, NetNS: inode, Device: k.Device, Protocol: k.Protocol, Family: k.Family,
		State: k.State, Substate: k.Substate, Local: k.Local, Remote: k.Remote, V6Only: k.V6Only,
	}}
	if k.CgroupID > 1 { // the root proves nothing
		s.Lease.Owner = ownerOf(nil, k.CgroupID)
	}
	if k.State == event.StateTimeWait {
		s.Lease.Expires = now + event.Time(k.Expires)
	}
	return s
}

// findHolders looks for the holders of the kept sockets in the descriptor tables
// that may be read.
func (s *sighter) findHolders(procRoot string) {
	inodes := make([]uint32, 0, len(s.sight.Sightings))
	for i := range s.sight.Sightings {
		inodes = append(inodes, uint32(s.sight.Sightings[i].Inode))
	}
	found := FindOwners(procRoot, inodes)
	for i := range s.sight.Sightings {
		k := &s.sight.Sightings[i]
		if owner, ok := found[uint32(k.Inode)]; ok && k.Inode != 0 {
			hold(k, owner)
			k.Processes = 0 // how many there are was not counted
		}
	}
}
