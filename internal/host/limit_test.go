package host

import (
	"strings"
	"testing"
)

func limit(name string, used, limit uint64) Limit {
	return Limit{Name: name, Used: &used, Max: &limit, PerSocket: true}
}

func TestLevels(t *testing.T) {
	usual := Thresholds{Warn: 0.7, Crit: 0.9}
	moved, still := limit("x", 1, 100), limit("x", 1, 100)
	moved.Delta, still.Delta = new(uint64(1)), new(uint64(0))
	endless := limit("x", 5, 0)
	endless.Max = nil
	unread := Limit{Name: "x", Unread: "hidden"}
	tests := []struct {
		name  string
		limit Limit
		want  string
	}{
		{"below", limit("x", 69, 100), "ok"},
		{"at the warning", limit("x", 70, 100), "warning"},
		{"below critical", limit("x", 89, 100), "warning"},
		{"critical", limit("x", 90, 100), "critical"},
		{"none at all", limit("x", 0, 0), "critical"},
		{"hit while watched", moved, "critical"},
		{"watched and not hit", still, "ok"},
		{"no limit", endless, "ok"},
		{"not readable", unread, "unknown"},
	}
	for _, tt := range tests {
		if got := tt.limit.Level(usual); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRankNamesTheFirstWall(t *testing.T) {
	unknown := Limit{Name: "unknown", Unread: "hidden", PerSocket: true}
	other := limit("fuller but not per socket", 99, 100)
	other.PerSocket = false
	r := LimitsReport{
		Process: "nginx[977]", Thresholds: Thresholds{0.7, 0.9},
		Limits: []Limit{unknown, limit("many left", 5000, 10000), limit("few left", 1000, 1020), other},
	}
	r.Rank()
	var names []string
	for _, l := range r.Limits {
		names = append(names, l.Name)
	}
	if got := strings.Join(names, ", "); got != "fuller but not per socket, few left, many left, unknown" {
		t.Errorf("order is %s", got)
	}
	if r.FirstWall == nil || r.FirstWall.Name != "few left" {
		t.Errorf("first wall is %v", r.FirstWall)
	}
	if got := r.WallSentence(); !strings.Contains(got, "meets few left first: 20 more") {
		t.Errorf("sentence is %q", got)
	}
	if r.Level() != "critical" {
		t.Errorf("level is %s", r.Level())
	}
}

// What connections share comes before what each takes one of where it is full, or
// near and fuller; what is far from full is no wall.
func TestFirstWallMayBeShared(t *testing.T) {
	shared := func(used, most uint64) Limit {
		l := limit("shared", used, most)
		l.PerSocket, l.Shared = false, true
		return l
	}
	hidden := Limit{Name: "hidden", Scope: "process", Unread: "not root", PerSocket: true}
	tests := []struct {
		name   string
		limits []Limit
		want   string // the beginning of the sentence
	}{
		{"full", []Limit{limit("single", 1019, 1020), shared(4, 4)}, "nginx[977] has met shared: 4 of 4 . What it gets:"},
		{"full, and another hidden", []Limit{hidden, shared(4, 4)}, "nginx[977] has met shared: 4 of 4"},
		{"nearly full, and another hidden", []Limit{hidden, shared(99, 100)}, ""},
		{"both full", []Limit{limit("single", 20, 20), shared(4, 4)}, "nginx[977] has met single: 20 of 20"},
		{"near and fuller", []Limit{limit("single", 10, 100), shared(70, 100)}, "nginx[977] is nearest to shared: 70 of 100"},
		{"near, and the other fuller", []Limit{limit("single", 80, 100), shared(70, 100)}, "nginx[977] meets single first: 20 more"},
		{"fuller and far", []Limit{limit("single", 10, 100), shared(69, 100)}, "nginx[977] meets single first: 90 more"},
		{"far and alone", []Limit{shared(69, 100)}, ""},
	}
	for _, tt := range tests {
		r := LimitsReport{Process: "nginx[977]", Thresholds: Thresholds{0.7, 0.9}, Limits: tt.limits}
		r.Rank()
		if got := r.WallSentence(); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A limit of the process that cannot be read may come first, and may be full.
func TestHiddenLimitOfTheProcess(t *testing.T) {
	hidden := Limit{Name: "open_files", Scope: "process", Unread: "not root", PerSocket: true}
	r := LimitsReport{Process: "nginx[977]", Thresholds: Thresholds{0.7, 0.9}, Limits: []Limit{hidden, limit("far", 1, 100)}}
	r.Rank()
	if r.FirstWall != nil || r.Level() != "unknown" {
		t.Errorf("first wall %v, level %s", r.FirstWall, r.Level())
	}
	r.Limits = append(r.Limits, limit("full", 100, 100))
	if r.Level() != "critical" {
		t.Errorf("level is %s, want the worse one that is known", r.Level())
	}
}

func TestDeltasAreThoseOfTheSameLimit(t *testing.T) {
	counted := func(name, owner string, total uint64) Limit { return Limit{Name: name, Owner: owner, Total: &total} }
	before := []Limit{counted("a", "x", 5), counted("b", "x", 5), counted("c", "x", 5), {Name: "e"}}
	after := []Limit{counted("a", "x", 8), counted("b", "y", 9), counted("c", "x", 2), counted("d", "x", 1), counted("e", "", 3)}
	SetDeltas(before, after)
	for i, want := range []*uint64{new(uint64(3)), nil, new(uint64(0)), nil, nil} {
		got := after[i].Delta
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("delta of %s is %v", after[i].Name, got)
		}
	}
	r := LimitsReport{Limits: after, Thresholds: Thresholds{0.7, 0.9}, Window: 1}
	if got := r.Summary(); !strings.HasPrefix(got, "1 limit was hit while it was watched") {
		t.Errorf("summary is %q", got)
	}
}

// How a limit is raised follows how the process was started.
func TestRaiseFollowsTheStart(t *testing.T) {
	w := ways{directive: "LimitNOFILE=N", engine: "--ulimit nofile=N:N", pod: "the engine's", session: "nofile N", shell: "ulimit -n N"}
	tests := []struct {
		start Start
		want  string
	}{
		{Start{Pod: "uid", Container: "id", Unit: "x.scope"}, "the engine's; a new pod"},
		{Start{Container: "id"}, "--ulimit nofile=N:N; a new container"},
		{Start{Unit: "nginx.service"}, "systemctl edit nginx.service: [Service] LimitNOFILE=N; systemctl restart nginx.service"},
		{Start{Unit: "session-4.scope"}, "/etc/security/limits.conf: USER - nofile N; a new login"},
		{Start{}, "ulimit -n N before it is started"},
	}
	for _, tt := range tests {
		if got := tt.start.raise(w); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.start, got, tt.want)
		}
	}
}

// How a cgroup's limit is raised follows who made the group.
func TestRaiseFollowsTheGroup(t *testing.T) {
	w := groupLimitTable[0].ways
	const file = "/sys/fs/cgroup/x/pids.max"
	pod, container := Start{Pod: "1b2c-3d", Container: "c0ffee"}, Start{Container: "c0ffee", Unit: "docker-c0ffee.scope"}
	tests := []struct {
		start       Start
		ways        ways
		group, want string
	}{
		{Start{}, w, "/batch/job", "echo N > " + file + ", at once; it lasts as long as the group"},
		{Start{Unit: "app.service"}, w, "/system.slice/app.service/workers", "echo N > " + file + ", at once; it lasts as long as the group"},
		{Start{Unit: "app.service"}, w, "/system.slice/app.service", "systemctl edit app.service: [Service] TasksMax=N; systemctl restart app.service"},
		{Start{Unit: "app.service"}, w, "/system.slice", "systemctl set-property system.slice TasksMax=N, at once"},
		{Start{Unit: "session-4.scope"}, w, "/user.slice/session-4.scope", "systemctl set-property session-4.scope TasksMax=N, at once"},
		{container, w, "/system.slice/docker-c0ffee.scope", "--pids-limit N; a new container"},
		{container, w, "/docker/c0ffee", "--pids-limit N; a new container"},
		{container, w, "/docker", "echo N > " + file + ", at once; it lasts as long as the group"},
		{pod, w, "/kubepods.slice/kubepods-pod1b2c_3d.slice", "podPidsLimit of the kubelet; a new pod"},
		{pod, w, "/kubepods/pod1b2c-3d/c0ffee", "podPidsLimit of the kubelet; a new pod"},
		{Start{}, w, "/", "outside of this cgroup namespace, where the container was started: --pids-limit N; of a pod: podPidsLimit of the kubelet"},
		{Start{Unit: "app.service"}, groupLimitTable[3].ways, "/system.slice/app.service", "echo N > " + file + ", at once; it lasts as long as the group"},
	}
	for _, tt := range tests {
		if got := tt.start.raiseGroup(tt.ways, tt.group, file); got != tt.want {
			t.Errorf("%+v in %s: %q, want %q", tt.start, tt.group, got, tt.want)
		}
	}
}
