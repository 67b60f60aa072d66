package workload

import (
	"strings"
	"testing"
)

const (
	hexID    = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	otherID  = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
	uid      = "6f1c1e0a-9c2d-4d7e-8a55-0f1e2d3c4b5a"
	sliceUID = "6f1c1e0a_9c2d_4d7e_8a55_0f1e2d3c4b5a"
	staticID = "0123456789abcdef0123456789abcdef"
)

func TestIdentify(t *testing.T) {
	tests := []struct {
		name, path string
		want       identity
	}{
		{"root", "/", identity{}},
		{"service", "/system.slice/nginx.service", identity{unit: "nginx.service"}},
		{"template", "/system.slice/system-getty.slice/getty@tty1.service", identity{unit: "getty@tty1.service"}},
		{"delegated", "/system.slice/pg.service/workers/3", identity{unit: "pg.service"}},
		{"escaped", "/system.slice/_cpu.service", identity{unit: "cpu.service"}},
		{
			"user's", "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.scope",
			identity{unit: "app-firefox.scope"},
		},
		{"slice only", "/user.slice/user-1000.slice", identity{}},
		{"docker, systemd", "/system.slice/docker-" + hexID + ".scope", identity{container: hexID}},
		{"docker, own", "/docker/" + hexID, identity{container: hexID}},
		{"docker, colons", "/system.slice:docker:" + hexID, identity{container: hexID}},
		{
			"systemd in a container", "/docker/" + hexID + "/system.slice/nginx.service",
			identity{container: hexID},
		},
		{"podman", "/machine.slice/libpod-" + hexID + ".scope/container", identity{container: hexID}},
		{
			"podman, split", "/system.slice/web.service/libpod-payload-" + hexID,
			identity{unit: "web.service", container: hexID},
		},
		{
			"conmon", "/machine.slice/libpod-conmon-" + hexID + ".scope",
			identity{unit: "libpod-conmon-" + hexID + ".scope"},
		},
		{"nerdctl", "/system.slice/nerdctl-" + hexID + ".scope", identity{container: hexID}},
		{"ecs", "/ecs/5f2d/" + hexID, identity{container: hexID}},
		{
			"kubernetes, containerd",
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + sliceUID + ".slice/cri-containerd-" +
				hexID + ".scope",
			identity{container: hexID, pod: uid},
		},
		{
			"kubernetes, guaranteed, cri-o",
			"/kubepods.slice/kubepods-pod" + sliceUID + ".slice/crio-" + hexID + ".scope/container",
			identity{container: hexID, pod: uid},
		},
		{"kubernetes, own", "/kubepods/besteffort/pod" + uid + "/" + hexID, identity{container: hexID, pod: uid}},
		{
			"kubernetes, static", "/kubepods/burstable/pod" + staticID + "/" + hexID,
			identity{container: hexID, pod: staticID},
		},
		{
			"kubernetes, colons",
			"/system.slice/k3s.service/kubepods-burstable-pod" + sliceUID + ".slice:cri-containerd:" + hexID,
			identity{unit: "k3s.service", container: hexID, pod: uid},
		},
		{
			"kind", "/docker/" + otherID + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + sliceUID +
				".slice/cri-containerd-" + hexID + ".scope",
			identity{container: hexID, pod: uid},
		},
		{"outside of the reader's namespace", "/../../docker/" + hexID, identity{container: hexID}},
		{"bare id of nobody", "/" + hexID, identity{}},
		{"unheard-of engine", "/x/thing-" + hexID + ".scope", identity{unit: "thing-" + hexID + ".scope"}},
		{"short id", "/docker/" + hexID[1:], identity{}},
		{"upper case", "/docker/" + strings.ToUpper(hexID), identity{}},
		{"pod outside of kubernetes", "/pod" + uid, identity{}},
		{"pod without UID", "/kubepods/podium", identity{}},
		{"empty", "", identity{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := identify(tt.path); got != tt.want {
				t.Errorf("identify(%q) = %+v, want %+v", tt.path, got, tt.want)
			}
		})
	}
}

func FuzzCgroupPath(f *testing.F) {
	f.Add("/system.slice/docker-" + hexID + ".scope")
	f.Add("/kubepods/burstable/pod" + uid + "/" + hexID)
	f.Add("/kubepods-pod" + sliceUID + ".slice:cri-containerd:" + hexID)
	f.Add("/user.slice/_x.service//..")
	f.Fuzz(func(t *testing.T, path string) {
		id := identify(path)
		if id.container != "" && (len(id.container) != idLength || !isHex(id.container)) {
			t.Errorf("identify(%q): container %q", path, id.container)
		}
		if id.pod != "" && !isUID(id.pod) {
			t.Errorf("identify(%q): pod %q", path, id.pod)
		}
		for _, part := range []string{id.unit, id.container} {
			if !strings.Contains(path, part) || strings.Contains(part, "/") {
				t.Errorf("identify(%q): %q is no part of it", path, part)
			}
		}
		if memberships := parseMemberships("0::" + path + "\n"); memberships.others != nil {
			t.Errorf("parseMemberships(%q) = %+v", path, memberships)
		}
	})
}
