package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
)

// bindingView collects the ports that programs bound; it shows nothing.
type bindingView struct{ bindings *aggregate.Bindings }

func (v *bindingView) event(r *aggregate.Record) error {
	v.bindings.Add(r)
	return nil
}

func (v *bindingView) frame(*aggregate.Snapshot) error { return nil }

// past is what a recording says of bound ports.
type past struct {
	file     string
	bindings *aggregate.Bindings
	end      *aggregate.Snapshot // the picture at its end
	source   *replay
}

// readPast reads a recording to its end.
func (a *app) readPast(ctx context.Context, file string) (*past, error) {
	v := &bindingView{aggregate.NewBindings()}
	p := pipeline{out: newOutbox(io.Discard), view: v, interval: time.Hour}
	o := watchOptions{MaxLeases: usualLeases, Recording: readOptions{file: file, location: time.UTC}}
	_, end, err := a.observe(ctx, o, &p)
	if err = errors.Join(err, ctx.Err()); err != nil {
		return nil, err // of a part of the recording nothing follows
	}
	source, is := p.source.(*replay)
	if !is {
		return nil, fmt.Errorf("read %s: it is no recording", file)
	}
	return &past{file: file, bindings: v.bindings, end: end, source: source}, nil
}

// gaps are what is missing of the recording.
func (r *past) gaps() (all []host.Unread) {
	what := "recording " + r.file
	damages := r.source.Damages()
	for i := range damages {
		all = append(all, host.Unread{What: what, Why: damageWords(&damages[i])})
	}
	lost := uint64(0)
	for i := range r.end.Losses {
		if l := &r.end.Losses[i]; l.Cause != event.LostDamage {
			lost += l.Count
		}
	}
	switch {
	case lost > 0:
		all = append(all, host.Unread{What: what, Why: fmt.Sprintf("%d events were lost while it was made", lost)})
	case !r.end.Complete && len(damages) == 0:
		all = append(all, host.Unread{What: what, Why: "it ends before all sockets had been read"})
	}
	if _, cut := r.source.Tail(); cut && len(damages) == 0 {
		all = append(all, host.Unread{What: what, Why: "its end is cut off: its writer was killed, or is still writing"})
	}
	return all
}

// namesakes are the namespaces of the recording that a space is. Within one
// boot the inode tells, of another boot only the name.
func (r *past) namesakes(s *space, bootID string, ofBoot bool) (inodes []uint32) {
	sameBoot := bootID != "" && bootID == r.end.Start.BootID && s.Inode != 0
	for _, ns := range r.bindings.Namespaces() {
		if sameBoot && isSpace(s, &ns) || !sameBoot && isCalled(s, ns.Name, ofBoot) {
			inodes = append(inodes, ns.NetNS)
		}
	}
	return inodes
}

func isSpace(s *space, ns *event.Namespace) bool {
	return ns.NetNS == s.Inode && (ns.Cookie == s.cookie || ns.Cookie == 0 || s.cookie == 0)
}

// isCalled reports whether a name is the space's, whatever the boot. A pid is
// nobody's name in another boot.
func isCalled(s *space, name string, ofBoot bool) bool {
	if name == "" || strings.HasPrefix(name, "pid:") {
		return false
	}
	return name == s.Name || ofBoot && name == "host"
}

// names are those of the recording's namespaces, for people.
func (r *past) names() string {
	var all []string
	for _, ns := range r.bindings.Namespaces() {
		if ns.Name != "" {
			all = append(all, ns.Name)
		}
	}
	const enough = 5
	if len(all) > enough {
		return strings.Join(all[:enough], ", ") + fmt.Sprintf(" and %d more", len(all)-enough)
	}
	return strings.Join(all, ", ")
}

// addTo adds to a report what was bound in the recording on ports of a set, in
// the namespace that is judged, and returns the claims with it.
func (r *past) addTo(report *host.RangeReport, p *place, s *space, ports *host.PortSet, claims []host.Claim) []host.Claim {
	report.Recording = r.summary()
	report.Unread = append(report.Unread, r.gaps()...)
	if here := p.word("proc/sys/kernel/hostname"); here != "" && report.Recording.Host != "" && here != report.Recording.Host {
		report.Notes = append(report.Notes, fmt.Sprintf("the recording was made on %s, and this is %s", report.Recording.Host, here))
	}
	if r.end.Start.Mode == event.ModeDiag {
		report.Unseen = append(report.Unseen, "what was bound and given back between two looks of the recording, which was made without BPF")
	}
	inodes := r.namesakes(s, p.word("proc/sys/kernel/random/boot_id"), p.target(s).Boot)
	if len(inodes) == 0 {
		why := "it tells nothing of namespace " + s.Name
		if names := r.names(); names != "" {
			why += ", but of " + names
		}
		report.Unread = append(report.Unread, host.Unread{What: "recording " + r.file, Why: why})
		return claims
	}
	bound := &host.PortSet{}
	reserved := host.SetOf(s.limits.Reserved...)
	for _, b := range r.bindings.All() {
		if !slices.Contains(inodes, b.NetNS) {
			continue
		}
		bound.AddPort(b.Port)
		if !ports.Has(b.Port) {
			continue
		}
		c := r.claimOf(&b)
		c.Namespace, c.Reserved = s.Name, reserved.Has(b.Port)
		claims = addRecorded(claims, c)
	}
	report.Recording.Ports = new(bound.Count())
	return claims
}

// claimOf is the claim that a binding makes.
func (r *past) claimOf(b *aggregate.Binding) host.Claim {
	c := host.Claim{
		Ports: event.PortRange{Low: b.Port, High: b.Port}, Protocol: b.Protocol, Kind: host.KindRecorded,
		Source: r.file, Addr: b.Addr,
	}
	if b.Owner.ID.Kind != event.OwnerUnknown {
		c.Owner = b.Owner.Process()
	}
	c.Seen, _ = r.end.Clock.Wall(b.Seen)
	c.Bound, _ = r.end.Clock.Wall(b.Bound)
	return c
}

// addRecorded adds a claim of a recording, unless its process still holds the
// port: then that one is told since when.
func addRecorded(claims []host.Claim, c host.Claim) []host.Claim {
	for i := range claims {
		held := &claims[i]
		if held.Ports == c.Ports && held.Protocol == c.Protocol && sameProcess(held.Owner, c.Owner) {
			held.Seen, held.Bound = c.Seen, c.Bound
			return claims
		}
	}
	return append(claims, c)
}

// sameProcess reports whether both are one process. Of what /proc tells, a start
// is known to the tick (USER_HZ) only.
func sameProcess(live, recorded *event.Process) bool {
	const tick = event.Time(10 * time.Millisecond)
	if live == nil || recorded == nil {
		return false
	}
	a, b := &live.Owner, &recorded.Owner
	return a.Kind == event.OwnerProcess && b.Kind == event.OwnerProcess && a.PID == b.PID && a.StartTime/tick == b.StartTime/tick
}

// summary is what the recording is.
func (r *past) summary() *host.Recording {
	s := &host.Recording{File: r.file, Host: r.end.Start.Host}
	s.From, _ = r.end.Clock.Wall(r.end.From)
	s.To, _ = r.end.Clock.Wall(r.end.At)
	return s
}
