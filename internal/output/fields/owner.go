package fields

import (
	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

type ownerInfo = aggregate.OwnerInfo

// owner is who took a port: what the kernel said, then what was found out.
var owner = append(Object[ownerInfo]{
	one("id", "", "<pid>@<start in boot ns>, cgroup:<id>, kernel or unknown.", String,
		func(_ *Context, o *ownerInfo) Value { return OwnerID(o.ID) }),
	words("kind", "What the owner is.", "process cgroup kernel unknown",
		func(o *ownerInfo) string { return o.ID.Kind.String() }),
	one("pid", "", "The process, as the thread group leader's id in the initial pid namespace.", Integer,
		func(_ *Context, o *ownerInfo) Value { return ofProcess(o, Plain(uint64(o.ID.PID))) }),
	one("start_time", "", "When the process started.", Time,
		func(_ *Context, o *ownerInfo) Value { return ofProcess(o, Moment(o.ID.StartTime)) }),
	one("comm", "", "The name of the thread group leader.", String,
		func(_ *Context, o *ownerInfo) Value { return Name(o.Comm) }),
	one("uid", "", "The user id.", Integer,
		func(_ *Context, o *ownerInfo) Value { return ofProcess(o, Plain(uint64(o.UID))) }),
	one("exited", "", "Whether the process has ended; null if the owner is no process.", Boolean,
		func(_ *Context, o *ownerInfo) Value { return ofProcess(o, Bool(o.Exited)) }),
	words("confidence", "How the owner came to be known.", "exact snapshot cgroup unknown",
		func(o *ownerInfo) string { return o.Confidence.String() }),
	one("cgroup_id", "", "The id of the owner's cgroup.", ID,
		func(_ *Context, o *ownerInfo) Value { return Identity(o.CgroupID) }),
}, workload...)

var workload = Object[ownerInfo]{
	word("exe", "The path of the program.", func(o *ownerInfo) string { return o.Exe }),
	word("cgroup", "The path of the cgroup within the cgroup2 hierarchy.", func(o *ownerInfo) string { return o.Cgroup }),
	word("unit", "The systemd unit.", func(o *ownerInfo) string { return o.Unit }),
	word("container_id", "The id of the container.", func(o *ownerInfo) string { return o.ContainerID }),
	word("container", "The name of the container.", func(o *ownerInfo) string { return o.Container }),
	word("pod_uid", "The uid of the pod.", func(o *ownerInfo) string { return o.PodUID }),
	word("pod", "The name of the pod.", func(o *ownerInfo) string { return o.Pod }),
	word("pod_namespace", "The Kubernetes namespace of the pod.", func(o *ownerInfo) string { return o.PodNamespace }),
}

// word is a field of an owner that is a word or not known.
func word(name, meaning string, get func(*ownerInfo) string) Field[ownerInfo] {
	return one(name, "", meaning, String, func(_ *Context, o *ownerInfo) Value { return Text(get(o)) })
}

// ofProcess is v for a process and absent for every other owner.
func ofProcess(o *ownerInfo, v Value) Value {
	if o.ID.Kind != event.OwnerProcess {
		return Value{}
	}
	return v
}

// Where is the shortest word that tells people where an owner runs: pod,
// container, unit or cgroup, the first that is known; "" if none is.
func Where(o *aggregate.OwnerInfo) string {
	switch {
	case o.Pod != "" && o.PodNamespace != "":
		return o.PodNamespace + "/" + o.Pod
	case o.Pod != "":
		return o.Pod
	case o.Container != "":
		return o.Container
	case o.ContainerID != "":
		return o.ContainerID[:min(12, len(o.ContainerID))]
	case o.Unit != "":
		return o.Unit
	}
	return o.Cgroup
}

// Process is what tables call an owner: its name, or what it is if it has
// none.
func Process(o *aggregate.OwnerInfo) Value {
	if name := Name(o.Comm); !name.IsAbsent() && o.ID.Kind == event.OwnerProcess {
		return name
	}
	return Text(o.ID.Kind.String())
}
