package workload

import (
	"slices"
	"strings"
)

// identity is what the path of a group tells.
type identity struct {
	unit      string
	container string
	pod       string // the UID
}

// The names below are those that the managers give to groups:
//
//	docker-<id>.scope            Docker, Podman, containerd and CRI-O with systemd
//	kubepods-podUID.slice:cri-containerd:<id>  the same, misconfigured, in one component
//	libpod-payload-<id>          Podman with --cgroups=split
//	docker/<id>, kubepods/…/<id> engines that manage groups themselves
//
// conmon's own groups (libpod-conmon-<id>.scope) are not their containers'.
var (
	engines = [...]string{
		"docker", "cri-containerd", "crio", "libpod", "libpod-payload", "nerdctl", "containerd", "moby",
	}
	bareParents  = [...]string{"docker", "libpod_parent", "ecs", "k8s.io", "moby", "default", "buildkit"}
	unitSuffixes = [...]string{".service", ".scope", ".socket", ".mount", ".swap"}
)

// idLength is the length of a container id, a SHA-256 in hexadecimal.
const idLength = 64

// identify reads the path of a group from the root down. The innermost
// container and pod count; the unit is the innermost one outside of any
// container, for units within belong to another systemd.
func identify(path string) identity {
	var id identity
	bare, kubernetes := false, false
	for component := range strings.SplitSeq(path, "/") {
		kubernetes = kubernetes || strings.Contains(component, "kubepods")
		if pod := podUID(component, kubernetes); pod != "" {
			id.pod = pod
		}
		switch container, unit := containerID(component, bare || kubernetes), unitName(component); {
		case container != "":
			id.container = container
		case unit != "" && id.container == "":
			id.unit = unit
		}
		bare = bare || slices.Contains(bareParents[:], component)
	}
	return id
}

// containerID is the id in a component; bare says that one may stand alone.
func containerID(component string, bare bool) string {
	component = strings.TrimSuffix(component, ".scope")
	cut := len(component) - idLength
	if cut < 0 || !isHex(component[cut:]) {
		return ""
	}
	id, head := component[cut:], component[:cut]
	if head == "" {
		if bare {
			return id
		}
		return ""
	}
	engine := head[:len(head)-1]
	if separator := head[len(head)-1]; separator == ':' {
		engine = engine[strings.LastIndexByte(engine, ':')+1:]
	} else if separator != '-' {
		return ""
	}
	if !slices.Contains(engines[:], engine) {
		return ""
	}
	return id
}

// podUID is the UID in "kubepods-burstable-pod<UID>.slice", where systemd's
// rules turn its dashes into underscores, or in "pod<UID>" below kubepods.
func podUID(component string, kubernetes bool) string {
	if !kubernetes {
		return ""
	}
	component, _, _ = strings.Cut(component, ":")
	component = strings.TrimSuffix(component, ".slice")
	uid, ok := strings.CutPrefix(component, "pod")
	if !ok {
		at := strings.LastIndex(component, "-pod")
		if at < 0 {
			return ""
		}
		uid = component[at+len("-pod"):]
	}
	if uid = strings.ReplaceAll(uid, "_", "-"); !isUID(uid) {
		return ""
	}
	return uid
}

// unitName is the systemd unit that a component stands for. Slices only group
// others. systemd puts "_" before a name that would clash with a file of the
// hierarchy (cg_escape, src/basic/cgroup-util.c).
func unitName(component string) string {
	component = strings.TrimPrefix(component, "_")
	for _, suffix := range unitSuffixes {
		if strings.HasSuffix(component, suffix) && len(component) > len(suffix) {
			return component
		}
	}
	return ""
}

// isUID recognises a UUID and the bare digest that a static pod has for one.
func isUID(s string) bool {
	if len(s) == 32 {
		return isHex(s)
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	return isHex(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}
