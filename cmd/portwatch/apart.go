package main

import (
	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/launch"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// apart tells what a command and all that it starts do from what others do: by a
// control group of the command's own, where it can have one, else by its forks.
type apart struct {
	group   *launch.Group // to be closed, in use or not
	noGroup string        // why the command is not in it; "" if it is
	tree    *aggregate.Tree
	noTree  string // why there is none, where there is no group either
}

// refuse notes why the command has no group.
func (p *apart) refuse(err error) { p.noGroup = err.Error() }

// grouped reports whether the command has a group of its own.
func (p *apart) grouped() bool { return p.group != nil && p.noGroup == "" }

// follow has the source tell of forks, from now on.
func (p *apart) follow(source watcher) {
	f, able := source.(forker)
	if !able {
		p.noTree = "forks are not told"
		return
	}
	self, err := f.FollowForks()
	if err != nil {
		p.noTree = err.Error()
		return
	}
	p.tree = aggregate.NewTree(self)
}

// apply takes an event of the time since the command began.
func (p *apart) apply(ev *event.Event) {
	if p.tree != nil {
		p.tree.Apply(ev)
	}
}

// own reports whether an owner is the command, or was started by it.
func (p *apart) own(o *aggregate.OwnerInfo) bool {
	switch {
	case p.grouped():
		return p.group.Holds(o.CgroupID, o.Cgroup)
	case p.tree != nil:
		return p.tree.Holds(o.ID)
	}
	return false
}

// why is why nothing is told apart; "" if it is.
func (p *apart) why() string {
	switch {
	case p.grouped():
		return ""
	case p.tree == nil:
		return p.noGroup + "; " + p.noTree
	case p.tree.Headless():
		return p.noGroup + "; the event of its start was lost"
	}
	return ""
}

// doubt says why a part of the command's own may be taken for others'; "" if none
// is.
func (p *apart) doubt() string {
	if p.tree != nil && p.tree.Lost()+p.tree.Beyond() > 0 {
		return "a part of its own may be counted as others"
	}
	return ""
}

// report says how it is told apart, and what may be missing.
func (p *apart) report() fields.RunApart {
	if p.grouped() {
		return fields.RunApart{By: fields.ApartByCgroup}
	}
	r := fields.RunApart{NoCgroup: p.noGroup}
	if p.tree != nil {
		r.By, r.ForksLost, r.Beyond = fields.ApartByForks, p.tree.Lost(), p.tree.Beyond()
	}
	return r
}

// close gives the group back.
func (p *apart) close() error {
	if p.group == nil {
		return nil
	}
	return p.group.Close()
}
