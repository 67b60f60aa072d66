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
	if got := (&Start{Unit: "session-4.scope"}).raise(ways{directive: "TasksMax=N"}); got != "systemd-run -p TasksMax=N starts it with one" {
		t.Errorf("a cgroup's limit in a session: %q", got)
	}
}
