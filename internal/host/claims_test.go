package host

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// tree makes a file tree of literal files. A name that ends in "/" is a
// directory, where a file is expected: it cannot be read, even by root.
func tree(files map[string]string) fs.FS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			fsys[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
			continue
		}
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	if _, ok := files["proc/1/cmdline"]; !ok {
		fsys["proc/1/cmdline"] = &fstest.MapFile{Data: []byte("/sbin/init\x00")}
	}
	return fsys
}

// brief is a claim in a line.
func brief(c *Claim) string {
	protocol := "any"
	if c.Protocol != 0 {
		protocol = c.Protocol.String()
	}
	return fmt.Sprintf("%s/%s %s %s (%s)", FormatPorts(SetOf(c.Ports).Ranges()), protocol, c.Kind, c.Name, c.Source)
}

func TestFindClaims(t *testing.T) {
	container := strings.Repeat("a", 64)
	tests := []struct {
		name   string
		files  map[string]string
		want   []string
		unread []string // the beginnings of what could not be read
	}{
		{name: "nothing", files: map[string]string{}},
		{
			name:  "kubelet, flag elsewhere",
			files: map[string]string{"proc/812/cmdline": "/usr/bin/kubelet\x00--config=/x\x00"},
			want: []string{"30000-32767/any kubernetes NodePort services of kubelet[812] " +
				"(default of the API server; its flag --service-node-port-range was not found here)"},
		},
		{
			name:  "API server with its flag",
			files: map[string]string{"proc/9/cmdline": "kube-apiserver\x00--service-node-port-range\x0020000+99\x00"},
			want:  []string{"20000-20099/any kubernetes NodePort services of kube-apiserver[9] (--service-node-port-range of kube-apiserver[9])"},
		},
		{
			name: "manifest of the API server",
			files: map[string]string{
				"proc/812/cmdline": "kubelet\x00",
				"etc/kubernetes/manifests/kube-apiserver.yaml": "  - kube-apiserver\n  # - --service-node-port-range=1-2\n  - --service-node-port-range=28000-28999\n",
			},
			want: []string{"28000-28999/any kubernetes NodePort services of kubelet[812] (/etc/kubernetes/manifests/kube-apiserver.yaml)"},
		},
		{
			name:  "k3s that wrote over its command line",
			files: map[string]string{"proc/5/cmdline": "/usr/local/bin/k3s server\x00", "etc/rancher/k3s/config.yaml": "service-node-port-range: \"30000-30100\"\n"},
			want:  []string{"30000-30100/any kubernetes NodePort services of k3s[5] (/etc/rancher/k3s/config.yaml)"},
		},
		{
			name:  "a node whose kubelet is stopped",
			files: map[string]string{"usr/lib/systemd/system/kubelet.service": "[Service]\n"},
			want: []string{"30000-32767/any kubernetes NodePort services of kubelet, not running, /usr/lib/systemd/system/kubelet.service " +
				"(default of the API server; its flag --service-node-port-range was not found here)"},
		},
		{
			name:   "a NodePort range that is none",
			files:  map[string]string{"proc/9/cmdline": "kube-apiserver\x00--service-node-port-range=many\x00"},
			unread: []string{"NodePort range of kube-apiserver[9]"},
		},
		{
			name:  "mesos, default",
			files: map[string]string{"proc/7/cmdline": "/usr/sbin/mesos-agent\x00--master=x\x00"},
			want:  []string{"31000-32000/any mesos tasks of mesos-agent[7] (default: its command line names no ports)"},
		},
		{
			name:  "mesos, text",
			files: map[string]string{"proc/7/cmdline": "mesos-slave\x00--resources=cpus:8;ports(*):[21000-24000, 8080]\x00"},
			want: []string{
				"8080/any mesos tasks of mesos-slave[7] (--resources of mesos-slave[7])",
				"21000-24000/any mesos tasks of mesos-slave[7] (--resources of mesos-slave[7])",
			},
		},
		{
			name: "mesos, JSON in a file",
			files: map[string]string{
				"proc/7/cmdline": "mesos-agent\x00--resources=file:///etc/res.json\x00",
				"etc/res.json":   `[{"name":"cpus"},{"name":"ports","ranges":{"range":[{"begin":5000,"end":5009}]}}]`,
			},
			want: []string{"5000-5009/any mesos tasks of mesos-agent[7] (/etc/res.json)"},
		},
		{
			name:   "mesos, a file that is not there",
			files:  map[string]string{"proc/7/cmdline": "mesos-agent\x00--resources=file:///etc/res.json\x00"},
			unread: []string{"ports of mesos-agent[7]"},
		},
		{
			name:  "mesos, from the environment",
			files: map[string]string{"proc/7/cmdline": "mesos-agent\x00", "proc/7/environ": "A=b\x00MESOS_RESOURCES=ports:[1000-1999]\x00"},
			want:  []string{"1000-1999/any mesos tasks of mesos-agent[7] (/proc/7/environ)"},
		},
		{
			name: "socket units",
			files: map[string]string{
				"usr/lib/systemd/system/a.socket":                  "[Unit]\nListenStream=1\n[Socket]\nListenStream=8080\nListenDatagram=[::1]:8081\nListenStream=/run/a\nListenStream=@a\nListenStream=vsock:2:3\n",
				"etc/systemd/system/sockets.target.wants/a.socket": "",
				"usr/lib/systemd/system/b.socket":                  "[Socket]\nListenStream=7\n",
				"etc/systemd/system/b.socket.d/port.conf":          "[Socket]\nListenStream=\nListenStream=127.0.0.1:9000\n",
				"usr/lib/systemd/system/masked.socket":             "[Socket]\nListenStream=11\n",
				"etc/systemd/system/masked.socket":                 "",
			},
			want: []string{
				"8080/tcp systemd a.socket (/usr/lib/systemd/system/a.socket, enabled)",
				"8081/udp systemd a.socket (/usr/lib/systemd/system/a.socket, enabled)",
				"9000/tcp systemd b.socket (/usr/lib/systemd/system/b.socket, not enabled)",
			},
		},
		{
			name:   "a unit that depends on its instance",
			files:  map[string]string{"etc/systemd/system/t@.socket": "[Socket]\nListenStream=127.0.0.1:%i\n"},
			unread: []string{"t@.socket"},
		},
		{
			name:   "a unit that cannot be read",
			files:  map[string]string{"etc/systemd/system/x.socket/": ""},
			unread: []string{"x.socket"},
		},
		{
			name: "docker",
			files: map[string]string{
				dockerDir + "/" + container + "/config.v2.json": `{"Name":"/web","State":{"Running":true},"NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"18080"},{"HostIp":"::","HostPort":"18080"}],"53/udp":null}}}`,
				dockerDir + "/b/config.v2.json":                 `{"Name":"/off","State":{"Running":false}}`,
				dockerDir + "/b/hostconfig.json":                `{"PortBindings":{"53/udp":[{"HostIp":"","HostPort":"20000-20009"}],"9/tcp":[{"HostIp":"","HostPort":""}]}}`,
			},
			want: []string{
				"18080/tcp published container web (/" + dockerDir + "/" + container + ")",
				"20000-20009/udp published container off, not running (/" + dockerDir + "/b)",
			},
		},
		{
			name:   "docker, broken",
			files:  map[string]string{dockerDir + "/c/config.v2.json": `{`},
			unread: []string{"published ports of docker container c"},
		},
		{
			name:  "CNI",
			files: map[string]string{cniDir + "/k8s-0-eth0": `{"kind":"cniCacheV1","containerId":"0123456789abcdef","capabilityArgs":{"portMappings":[{"hostPort":25000,"containerPort":80,"protocol":"UDP","hostIP":""}]}}`},
			want:  []string{"25000/udp published container 0123456789ab (/" + cniDir + "/k8s-0-eth0)"},
		},
		{
			name:   "CNI, not a directory",
			files:  map[string]string{cniDir: "x"},
			unread: []string{"host ports of pods and containers"},
		},
		{
			name:   "a command line that cannot be read hides nothing else",
			files:  map[string]string{"proc/8/cmdline/": "", "proc/9/cmdline": "kubelet\x00"},
			want:   []string{"30000-32767/any kubernetes NodePort services of kubelet[9] (default of the API server; its flag --service-node-port-range was not found here)"},
			unread: []string{"running programs"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claims, unread := FindClaims(tree(tt.files))
			var got []string
			for i := range claims {
				got = append(got, brief(&claims[i]))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
			if len(unread) != len(tt.unread) {
				t.Fatalf("unread %q, want %q", unread, tt.unread)
			}
			for i, u := range unread {
				if u.What != tt.unread[i] || u.Why == "" {
					t.Errorf("unread %q, want %q with a reason", u, tt.unread[i])
				}
			}
		})
	}
}

// Where /proc shows no process but our own, claims may be hidden.
func TestHiddenProcessesAreTold(t *testing.T) {
	for name, fsys := range map[string]fs.FS{
		"hidepid":        fstest.MapFS{"proc/77/cmdline": &fstest.MapFile{Data: []byte("sh\x00")}},
		"no proc":        fstest.MapFS{},
		"proc of nobody": fstest.MapFS{"proc/version": &fstest.MapFile{}},
	} {
		if _, unread := FindClaims(fsys); len(unread) != 1 || unread[0].What != "running programs" {
			t.Errorf("%s: unread %v", name, unread)
		}
	}
}
