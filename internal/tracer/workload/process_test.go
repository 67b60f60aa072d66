package workload

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

const statRest = " R 4593 4593 3401 0 -1 4194304 101 0 0 0 0 0 0 0 20 0 1 0 75404 3133440 418\n"

func TestParseStat(t *testing.T) {
	tests := []struct {
		name, text string
		want       stat
		ok         bool
	}{
		{"plain", "4681 (cat)" + statRest, stat{"cat", 754_040_000_000}, true},
		{"spaces and parentheses", "4681 (a) R 1 (b)" + statRest, stat{"a) R 1 (b", 754_040_000_000}, true},
		{"no name", "4681 ()" + statRest, stat{"", 754_040_000_000}, true},
		{"cut short", "4681 (cat) R 4593 4593", stat{}, false},
		{"wrong way round", ")(" + statRest, stat{}, false},
		{"too late", "1 (x) R 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 18446744073709551615 0", stat{}, false},
		{"empty", "", stat{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := parseStat(tt.text); got != tt.want || ok != tt.ok {
				t.Errorf("parseStat() = %+v, %t; want %+v, %t", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzStat(f *testing.F) {
	f.Add("4681 (a) R 1 (b)" + statRest)
	f.Fuzz(func(t *testing.T, text string) {
		if got, ok := parseStat(text); ok && got.start%tick != 0 {
			t.Errorf("parseStat(%q) = %+v: no whole tick", text, got)
		}
	})
}

func TestReadProcess(t *testing.T) {
	proc := fstest.MapFS{
		"40/stat":   {Data: []byte("40 (cat)" + statRest)},
		"40/cgroup": {Data: []byte("0::/system.slice/cat.service\n")},
		"40/exe":    link("/usr/bin/cat"),
		"41/stat":   {Data: []byte("41 (kworker/0:1)" + statRest)},
		"42/stat":   {Data: []byte("nothing")},
	}
	groups := memberships{unified: "/system.slice/cat.service"}
	const start = event.Time(754_040_000_000)
	tests := []struct {
		name  string
		owner event.Owner
		want  process
	}{
		{
			"the owner's",
			event.Owner{PID: 40, StartTime: start + 9_999_999, Comm: event.CommOf("cat")},
			process{exe: "/usr/bin/cat", groups: groups},
		},
		{"a later one", event.Owner{PID: 40, StartTime: start - 1, Comm: event.CommOf("cat")}, process{}},
		{"an earlier one", event.Owner{PID: 40, StartTime: start + 10_000_000, Comm: event.CommOf("cat")}, process{}},
		{"start not known", event.Owner{PID: 40, Comm: event.CommOf("cat")}, process{}},
		{"another program since", event.Owner{PID: 40, StartTime: start, Comm: event.CommOf("sh")}, process{groups: groups}},
		{"kernel thread", event.Owner{PID: 41, StartTime: start, Comm: event.CommOf("kworker/0:1")}, process{}},
		{"garbage", event.Owner{PID: 42, StartTime: start}, process{}},
		{"ended", event.Owner{PID: 43, StartTime: start}, process{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := readProcess(proc, &tt.owner)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(process{}, memberships{})); diff != "" {
				t.Errorf("process (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMemberships(t *testing.T) {
	tests := []struct {
		name, text string
		want       memberships
		current    string
		id         identity
	}{
		{
			"version 2", "0::/system.slice/a.service\n",
			memberships{unified: "/system.slice/a.service"},
			"/system.slice/a.service",
			identity{unit: "a.service"},
		},
		{
			"ended group", "0::/docker/" + hexID + " (deleted)\n",
			memberships{unified: "/docker/" + hexID},
			"/docker/" + hexID,
			identity{container: hexID},
		},
		{
			"version 1", "5:pids:/docker/" + hexID + "\n4:cpu,cpuacct:/a\n3:freezer:/b\n1:name=systemd:/init.scope\n",
			memberships{systemd: "/init.scope", others: []string{"/docker/" + hexID, "/a"}},
			"/init.scope",
			identity{container: hexID},
		},
		{
			"hybrid", "2:memory:/x.service\n1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n",
			memberships{
				unified: "/system.slice/a.service", systemd: "/system.slice/a.service", others: []string{"/x.service"},
			},
			"/system.slice/a.service",
			identity{unit: "a.service"},
		},
		{
			"only other controllers know a unit", "2:memory:/x.service\n0::/\n",
			memberships{unified: "/", others: []string{"/x.service"}},
			"/",
			identity{},
		},
		{"another root", "0::/../a.service\n", memberships{unified: "/../a.service"}, "", identity{unit: "a.service"}},
		{"path with colons", "0::/a:b:c\n", memberships{unified: "/a:b:c"}, "/a:b:c", identity{}},
		{"cut and garbage", "x\n1:2\n0::/a.serv", memberships{}, "", identity{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := parseMemberships(tt.text)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(memberships{})); diff != "" {
				t.Errorf("memberships (-want +got):\n%s", diff)
			}
			if got.current() != tt.current || got.identity() != tt.id {
				t.Errorf("current %q, identity %+v; want %q, %+v", got.current(), got.identity(), tt.current, tt.id)
			}
		})
	}
}
