package main

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
	"github.com/portwatch/portwatch/internal/tracer"
)

// owners are the holders of sockets, by the inodes of the sockets' files.
type owners map[uint32]event.Owner

// ownersOf finds the holders of the sockets in all spaces with one look at the
// descriptor tables; ports says which sockets count in each. A collected tree
// holds no such tables.
func (p *place) ownersOf(spaces []space, ports func(*space) *host.PortSet) owners {
	if !p.live {
		return nil
	}
	var inodes []uint32
	for i := range spaces {
		for _, k := range spaces[i].held(ports(&spaces[i])) {
			inodes = append(inodes, k.Inode)
		}
	}
	return tracer.FindOwners("/proc", inodes)
}

// held are the sockets that listen or are bound on ports of a set.
func (s *space) held(ports *host.PortSet) []host.Socket {
	if s.survey == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.survey.Fixed), func(k host.Socket) bool { return !ports.Has(k.Local.Port()) })
}

// heldPorts are the sockets of a namespace that listen or are bound on ports of
// a set, one claim for each port and owner, and protocol.
func (p *place) heldPorts(s *space, ports *host.PortSet, owners owners) []host.Claim {
	type key struct {
		port     uint16
		protocol event.Protocol
		kind     host.Kind
		owner    event.OwnerID
	}
	met := map[key]bool{}
	var claims []host.Claim
	for _, socket := range s.held(ports) {
		c := p.claimOf(&socket, owners)
		k := key{port: c.Ports.Low, protocol: c.Protocol, kind: c.Kind}
		if c.Owner != nil {
			k.owner = c.Owner.Owner.ID()
		}
		if !met[k] { // a socket for each address or family is one to people
			met[k] = true
			claims = append(claims, c)
		}
	}
	return claims
}

func (p *place) claimOf(k *host.Socket, owners owners) host.Claim {
	port := k.Local.Port()
	c := host.Claim{
		Ports: event.PortRange{Low: port, High: port}, Protocol: k.Protocol, Kind: host.KindBound,
		Source: "socket tables", Addr: k.Local.Addr(),
	}
	if k.State == event.StateListen {
		c.Kind = host.KindListening
	}
	owner, found := owners[k.Inode]
	if !found && k.CgroupID != 0 && p.live {
		owner = event.Owner{Kind: event.OwnerCgroup, Confidence: event.ConfidenceCgroup, CgroupID: k.CgroupID}
		found = true
	}
	if found {
		described := p.names.Describe(owner)
		c.Owner = &described
	}
	return c
}

// claims are all that is held or claimed on ports of a set, reserved or not.
// What services claim counts in our own namespace only: of another one, the
// configuration is not in these files.
func (p *place) claims(s *space, ports *host.PortSet, owners owners) (claims []host.Claim, unread []host.Unread) {
	claims = p.heldPorts(s, ports, owners)
	if s.own {
		var wanted []host.Claim
		wanted, unread = host.FindClaims(p.root)
		for _, c := range wanted {
			if ports.Overlaps(c.Ports) {
				claims = append(claims, c)
			}
		}
	}
	reserved := host.SetOf(s.limits.Reserved...)
	for i := range claims {
		claims[i].Namespace = s.Name
		claims[i].Reserved = host.SetOf(claims[i].Ports).Without(reserved).Count() == 0
	}
	return claims, unread
}

// target is where the settings of a namespace are written.
func (p *place) target(s *space) host.Target {
	t := host.Target{Own: s.own, Boot: s.own && (!p.live || ofBoot(s.Inode)), PID: s.PID, Name: s.Name}
	pid := s.PID
	if s.own {
		pid = os.Getpid() // a container's own tools run inside of it
	}
	if !p.live || pid == 0 {
		return t
	}
	if owner, found := tracer.ReadOwner("/proc", pid); found {
		described := p.names.Describe(owner)
		t.Pod = described.PodUID != "" || described.Pod != ""
		t.Container = described.ContainerID != "" && !t.Pod
	}
	return t
}

// firstInode is that of the namespace in which the kernel boots (6.18 and later,
// NET_INIT_INO in include/uapi/linux/nsfs.h).
const firstInode = 0xEFFFFFF9

// ofBoot reports whether a network namespace is known to be the one that the
// host's boot files speak of.
func ofBoot(inode uint32) bool {
	if inode == firstInode {
		return true
	}
	first, err := os.Readlink("/proc/1/ns/net")
	return err == nil && first == fmt.Sprintf("net:[%d]", inode)
}

// addBootNotes adds what else sets the range when the host boots.
func (p *place) addBootNotes(s *space, r *host.RangeReport) {
	if !s.own {
		return
	}
	notes, unread := host.BootNotes(p.root)
	r.Notes, r.Unread = append(r.Notes, notes...), append(r.Unread, unread...)
}

// meta is what a document says of where it comes from.
func (p *place) meta() *aggregate.Meta {
	m := &aggregate.Meta{Start: event.Start{
		Host: p.word("proc/sys/kernel/hostname"), BootID: p.word("proc/sys/kernel/random/boot_id"), Kernel: p.word("proc/sys/kernel/osrelease"),
	}}
	if p.live { // a tree does not say when it was collected
		m.Start.Mode, m.At = event.ModeDiag, bootNow()
		m.Clock = aggregate.ClockAt(m.At, time.Now().UnixNano())
	}
	return m
}

// word is the content of a file of one word; "" if it cannot be read.
func (p *place) word(name string) string {
	text, err := fs.ReadFile(p.root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
