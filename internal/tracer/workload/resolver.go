package workload

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/portwatch/portwatch/internal/event"
)

// Trees are the file trees that a [Resolver] reads.
type Trees struct {
	// Host is the host's root directory.
	Host fs.FS
	// Proc is a procfs of the host's pid namespace.
	Proc fs.FS
	// Cgroup is the root of the cgroup2 hierarchy, nil where none is mounted.
	// Its directories' inode numbers are the cgroup ids.
	Cgroup fs.FS
}

// HostTrees finds the trees of the host whose root directory is seen at root:
// "/" as a rule, the mount point for an agent in a pod. A symbolic link in
// them leads through the agent's own root.
func HostTrees(root string) Trees {
	host := os.DirFS(root)
	return Trees{
		Host:   host,
		Proc:   os.DirFS(filepath.Join(root, "proc")),
		Cgroup: findHierarchy(host),
	}
}

// Resolver describes owners. It keeps what it has found within fixed bounds,
// and is for one goroutine at a time.
type Resolver struct {
	proc   fs.FS
	groups *groups
	labels *labels
}

// New makes a Resolver. It reads nothing before it is asked.
func New(trees Trees) *Resolver {
	return &Resolver{proc: trees.Proc, groups: newGroups(trees.Cgroup), labels: newLabels(trees.Host)}
}

// Describe tells what is known of an owner. It reads a few small files of the
// host; as a rule it is called once for each owner, soon after its first
// lease. Strings are printable (see [event.Printable]).
func (r *Resolver) Describe(owner event.Owner) event.Process {
	p := event.Process{Owner: owner}
	var now process
	if owner.Kind == event.OwnerProcess {
		now = readProcess(r.proc, &owner)
	}
	p.Exe = now.exe
	var id identity
	p.Cgroup, id = r.place(owner.CgroupID, now.groups)
	p.Unit, p.ContainerID, p.PodUID = id.unit, id.container, id.pod
	r.name(&p)
	return printable(p)
}

// place is the path of the group that the owner was in, and what it tells.
// Where the id leads to no path, the groups in which the owner's process is
// now are taken; but not against the id: the process may have moved.
func (r *Resolver) place(id uint64, now memberships) (string, identity) {
	if id == 0 || !r.groups.visible() {
		return now.current(), now.identity()
	}
	path, _ := r.groups.path(id, now.unified)
	if path == "/" {
		// Nobody is told apart in the root: the managers use version 1.
		return path, now.legacy().identity()
	}
	return path, identify(path)
}

// name adds what the host's files call the container and the pod.
func (r *Resolver) name(p *event.Process) {
	if p.ContainerID != "" {
		l := r.labels.container(p.ContainerID)
		p.Container, p.Pod, p.PodNamespace = l.container, l.pod, l.namespace
		if p.PodUID == "" {
			p.PodUID = l.podUID
		}
	}
	if p.PodUID != "" && p.Pod == "" {
		l := r.labels.pod(p.PodUID)
		p.Pod, p.PodNamespace = l.pod, l.namespace
	}
}

// printable guards whoever prints: paths and names are chosen by others.
func printable(p event.Process) event.Process {
	for _, s := range []*string{
		&p.Exe, &p.Cgroup, &p.Unit, &p.ContainerID, &p.Container, &p.PodUID, &p.Pod, &p.PodNamespace,
	} {
		*s = event.Printable(*s)
	}
	return p
}
