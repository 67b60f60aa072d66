package workload

import (
	"io/fs"
	"strings"
)

// maxLabels bounds each table of names.
const maxLabels = 4096

// label is what the host's files call a container or a pod; "" is not known.
type label struct {
	container, pod, namespace, podUID string
}

// labels finds names and keeps them. A name that is not there yet is looked
// for again at the 2nd, 4th, 8th… question: an engine writes its files shortly
// after it starts a container.
type labels struct {
	host       fs.FS
	containers map[string]label // by id
	pods       map[string]label // by UID
	asked      map[string]uint  // in vain
}

func newLabels(host fs.FS) *labels {
	return &labels{
		host: host, containers: map[string]label{}, pods: map[string]label{}, asked: map[string]uint{},
	}
}

// lookup finds the label of an id in one kind of file.
type lookup func(host fs.FS, id string) (label, bool)

// container names a container by its id.
func (l *labels) container(id string) label {
	return l.find(l.containers, id, containerLogs, dockerConfig, storageIndex)
}

// pod names a pod by its UID.
func (l *labels) pod(uid string) label { return l.find(l.pods, uid, podLogs) }

func (l *labels) find(table map[string]label, id string, lookups ...lookup) label {
	if found, ok := table[id]; ok {
		return found
	}
	if !l.due(id) {
		return label{}
	}
	for _, look := range lookups {
		if found, ok := look(l.host, id); ok {
			makeRoom(table, maxLabels)
			table[id] = found
			delete(l.asked, id)
			return found
		}
	}
	return label{}
}

// due counts the questions for an id and lets every power of two pass.
func (l *labels) due(id string) bool {
	n := l.asked[id] + 1
	makeRoom(l.asked, maxLabels)
	l.asked[id] = n
	return n&(n-1) == 0
}

// containerLogs looks at the kubelet's links
// /var/log/containers/<pod>_<namespace>_<container>-<id>.log; none of the
// names can hold an underscore.
func containerLogs(host fs.FS, id string) (label, bool) {
	entries, _ := fs.ReadDir(host, "var/log/containers")
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), "-"+id+".log")
		if !ok {
			continue
		}
		if parts := strings.Split(name, "_"); len(parts) == 3 {
			return label{pod: parts[0], namespace: parts[1], container: parts[2]}, true
		}
	}
	return label{}, false
}

// podLogs looks at the kubelet's directories
// /var/log/pods/<namespace>_<pod>_<uid>.
func podLogs(host fs.FS, uid string) (label, bool) {
	entries, _ := fs.ReadDir(host, "var/log/pods")
	for _, entry := range entries {
		if parts := strings.Split(entry.Name(), "_"); len(parts) == 3 && parts[2] == uid {
			return label{namespace: parts[0], pod: parts[1], podUID: uid}, true
		}
	}
	return label{}, false
}
