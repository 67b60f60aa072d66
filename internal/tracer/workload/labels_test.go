package workload

import (
	"strings"
	"testing"
	"testing/fstest"
)

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

func TestContainerLabel(t *testing.T) {
	const docker = "var/lib/docker/containers/" + hexID + "/config.v2.json"
	const storage = "var/lib/containers/storage/overlay-containers/"
	tests := []struct {
		name string
		host fstest.MapFS
		want label
	}{
		{"nothing", fstest.MapFS{}, label{}},
		{
			"kubelet", fstest.MapFS{
				"var/log/containers/web-0_shop_nginx-" + otherID + ".log": link("/x"),
				"var/log/containers/api-1_shop_go-app-" + hexID + ".log":  link("/y"),
			}, label{container: "go-app", pod: "api-1", namespace: "shop"},
		},
		{"odd log name", fstest.MapFS{"var/log/containers/api-" + hexID + ".log": link("/y")}, label{}},
		{"docker", fstest.MapFS{docker: text(`{"ID":"x","Name":"/web","Config":{"Labels":{}}}`)}, label{container: "web"}},
		{
			"docker with labels",
			fstest.MapFS{docker: text(`{"Name":"/k8s_x","Config":{"Labels":{
				"io.kubernetes.container.name":"c","io.kubernetes.pod.name":"p","io.kubernetes.pod.namespace":"n",
				"io.kubernetes.pod.uid":"u"}}}`)},
			label{container: "c", pod: "p", namespace: "n", podUID: "u"},
		},
		{"docker, half written", fstest.MapFS{docker: text(`{"Name":"/w`)}, label{}},
		{"docker, nameless", fstest.MapFS{docker: text(`{}`)}, label{}},
		{
			"podman",
			fstest.MapFS{storage + "containers.json": text(
				`[{"id":"` + otherID + `","names":["db"]},{"id":"` + hexID + `","names":["web"],"layer":"x"}]`)},
			label{container: "web"},
		},
		{
			"cri-o, volatile", fstest.MapFS{
				storage + "containers.json":          text(`[]`),
				storage + "volatile-containers.json": text(`[{"id":"` + hexID + `","names":["k8s_c_p_n_` + uid + `_0"]}]`),
			}, label{container: "c", pod: "p", namespace: "n", podUID: uid},
		},
		{"no names", fstest.MapFS{storage + "containers.json": text(`[{"id":"` + hexID + `","names":[]}]`)}, label{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLabels(tt.host)
			if got := l.container(hexID); got != tt.want {
				t.Errorf("container() = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestPodLabel(t *testing.T) {
	l := newLabels(fstest.MapFS{
		"var/log/pods/kube-system_etcd-a_" + staticID + "/etcd/0.log": text(""),
		"var/log/pods/shop_api-1_" + uid + "/go/0.log":                text(""),
		"var/log/pods/lost+found":                                     text(""),
	})
	if got, want := l.pod(uid), (label{pod: "api-1", namespace: "shop", podUID: uid}); got != want {
		t.Errorf("pod() = %+v, want %+v", got, want)
	}
	if got := l.pod(strings.Replace(uid, "6", "7", 1)); got != (label{}) {
		t.Errorf("pod() of an unknown UID = %+v", got)
	}
}

func TestLabelIsLookedForAgain(t *testing.T) {
	host := fstest.MapFS{}
	l := newLabels(host)
	const file = "var/log/containers/p_n_c-" + hexID + ".log"
	named := func() bool { return l.container(hexID) != label{} }
	for range 2 { // questions 1 and 2 look
		if named() {
			t.Fatal("a name out of nothing")
		}
	}
	host[file] = link("/x")
	if named() {
		t.Error("question 3 looked")
	}
	if !named() {
		t.Error("question 4 did not look")
	}
	delete(host, file)
	if !named() {
		t.Error("the name was not kept")
	}
}

func TestTablesAreBounded(t *testing.T) {
	table := map[int]int{1: 1, 2: 2}
	makeRoom(table, 3)
	if len(table) != 2 {
		t.Errorf("%d entries below the bound, want 2", len(table))
	}
	makeRoom(table, 2)
	if len(table) != 0 {
		t.Errorf("%d entries at the bound, want 0", len(table))
	}
}
