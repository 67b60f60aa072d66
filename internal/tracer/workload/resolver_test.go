package workload

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

const scope = "/system.slice/docker-" + hexID + ".scope"

// hostTrees is a host with one container; process 40 lives in groupsOf40.
func hostTrees(groupsOf40 string) Trees {
	return Trees{
		Host: fstest.MapFS{
			"var/lib/docker/containers/" + hexID + "/config.v2.json": text(`{"Name":"/web"}`),
			"var/log/pods/shop_api-1_" + uid + "/go/0.log":           text(""),
		},
		Proc: fstest.MapFS{
			"40/stat": text("40 (app)" + statRest), "40/cgroup": text(groupsOf40), "40/exe": link("/opt/\x1bapp"),
		},
		Cgroup: fstest.MapFS{
			".": dir(1), "system.slice": dir(10), scope[1:]: dir(11), "system.slice/a.service": dir(12),
			"kubepods/pod" + uid + "/" + otherID: dir(13),
		},
	}
}

func owner(kind event.OwnerKind, group uint64) event.Owner {
	return event.Owner{Kind: kind, PID: 40, StartTime: 754_040_000_001, Comm: event.CommOf("app"), CgroupID: group}
}

func TestDescribe(t *testing.T) {
	const exe = "/opt/?app"
	tests := []struct {
		name   string
		groups string
		owner  event.Owner
		want   event.Process
	}{
		{
			"container", "0::" + scope + "\n", owner(event.OwnerProcess, 11),
			event.Process{Exe: exe, Cgroup: scope, ContainerID: hexID, Container: "web"},
		},
		{
			"process has moved since", "0::" + scope + "\n", owner(event.OwnerProcess, 12),
			event.Process{Exe: exe, Cgroup: "/system.slice/a.service", Unit: "a.service"},
		},
		{
			"group has ended and process has moved", "0::" + scope + "\n", owner(event.OwnerProcess, 99),
			event.Process{Exe: exe},
		},
		{
			"group not told", "0::" + scope + "\n", owner(event.OwnerProcess, 0),
			event.Process{Exe: exe, Cgroup: scope, ContainerID: hexID, Container: "web"},
		},
		{
			"hybrid", "1:name=systemd:" + scope + "\n0::/\n", owner(event.OwnerProcess, 1),
			event.Process{Exe: exe, Cgroup: "/", ContainerID: hexID, Container: "web"},
		},
		{
			"moved out of the root", "0::" + scope + "\n", owner(event.OwnerProcess, 1),
			event.Process{Exe: exe, Cgroup: "/"},
		},
		{
			"only the group is known", "", owner(event.OwnerCgroup, 13),
			event.Process{
				Cgroup: "/kubepods/pod" + uid + "/" + otherID, ContainerID: otherID,
				PodUID: uid, Pod: "api-1", PodNamespace: "shop",
			},
		},
		{"unknown owner", "0::" + scope + "\n", event.Owner{}, event.Process{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Owner = tt.owner
			got := New(hostTrees(tt.groups)).Describe(tt.owner)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("process (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDescribeWithoutHierarchy(t *testing.T) {
	trees := hostTrees("7:pids:/docker/" + hexID + "\n1:name=systemd:/docker/" + hexID + "\n")
	trees.Cgroup = nil
	o := owner(event.OwnerProcess, 1)
	want := event.Process{
		Owner: o, Exe: "/opt/?app", Cgroup: "/docker/" + hexID, ContainerID: hexID, Container: "web",
	}
	if diff := cmp.Diff(want, New(trees).Describe(o)); diff != "" {
		t.Errorf("process (-want +got):\n%s", diff)
	}
}

func TestDescribeTheExited(t *testing.T) {
	trees := hostTrees("0::" + scope + "\n")
	r := New(trees)
	o := owner(event.OwnerProcess, 11)
	r.Describe(o)
	trees.Proc.(fstest.MapFS)["40/stat"] = text("") // gone, and its container with it
	trees.Cgroup.(fstest.MapFS)[scope[1:]] = dir(500)
	want := event.Process{Owner: o, Cgroup: scope, ContainerID: hexID, Container: "web"}
	if diff := cmp.Diff(want, r.Describe(o)); diff != "" {
		t.Errorf("process (-want +got):\n%s", diff)
	}
}
