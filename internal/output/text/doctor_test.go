package text

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
)

func TestDoctorSaysUnknown(t *testing.T) {
	got := string(AppendDoctor(nil, &fields.DoctorReport{}, DoctorOptions{Width: 80}))
	want := `No mode works here.

kernel        unknown, without BTF
cgroup2       not found
capabilities  unknown
kernel memory none: nothing is loaded
instances     not known
self-test     not run
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("doctor (-want +got):\n%s", diff)
	}
}

func TestDoctorOpensWithTheMode(t *testing.T) {
	tests := []struct {
		name   string
		report fields.DoctorReport
		want   string
	}{
		{"fine", fields.DoctorReport{Mode: event.ModeFull}, "Mode full works here.\n"},
		{
			"with limits",
			fields.DoctorReport{Mode: event.ModeTracepoint, Unavailable: []string{"a", "b"}},
			"Mode tracepoint works here. It cannot know: a; b.\n",
		},
		{
			"stand-in",
			fields.DoctorReport{Mode: event.ModeDiag, Reason: "no BTF", Unavailable: []string{"a"}},
			"Only mode diag works here: no BTF. It cannot know: a.\n",
		},
		{"nothing", fields.DoctorReport{Reason: "no sock_diag"}, "No mode works here: no sock_diag.\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, _ := strings.Cut(string(AppendDoctor(nil, &tt.report, DoctorOptions{})), "\n\n")
			if diff := cmp.Diff(tt.want, got+"\n"); diff != "" {
				t.Errorf("first sentence (-want +got):\n%s", diff)
			}
		})
	}
}

func refused(functions ...string) []fields.HookReport {
	var all []fields.HookReport
	for _, f := range functions {
		all = append(all, fields.HookReport{Hook: "fentry/" + f, State: "refused", Reason: "EPERM: " + strings.Repeat("because ", 12)})
	}
	return all
}

func TestDoctorGroupsWhatMetTheSameFate(t *testing.T) {
	hooks := append(refused("a", "b", "c"),
		fields.HookReport{Hook: "cgroup/connect4", State: "attached", Verdict: "silent", Detail: "no event of x"},
		fields.HookReport{Hook: "sys_exit_bind", State: "off", Reason: "left out"})
	got := string(AppendDoctor(nil, &fields.DoctorReport{Hooks: hooks}, DoctorOptions{}))
	for _, want := range []string{
		"refused       3 trampolines (fentry/a, fentry/b, …): EPERM: because ",
		"silent        cgroup/connect4: no event of x\n",
		"off           sys_exit_bind: left out\n",
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	wide := string(AppendDoctor(nil, &fields.DoctorReport{Hooks: hooks}, DoctorOptions{Wide: true}))
	if !strings.Contains(wide, "\nfentry/c ") {
		t.Errorf("wide does not name each hook:\n%s", wide)
	}
}

func TestDoctorFits(t *testing.T) {
	d := &fields.DoctorReport{
		Hooks: refused("inet_hash_connect", "inet6_hash_connect", "tcp_time_wait"), Reason: "evil\x1b[2J",
		Instances: []fields.Instance{{PID: 7, Comm: "x\x1b[2J"}}, InstancesUnknown: "the descriptors of 3 processes cannot be read",
		Advice: "a kernel that permits BPF trampolines (fentry, fexit) and says so at some length",
	}
	for _, width := range []int{40, 80, 120} {
		got := string(AppendDoctor(nil, d, DoctorOptions{Width: width}))
		if strings.ContainsRune(got, '\x1b') {
			t.Fatalf("an escape reached the terminal:\n%q", got)
		}
		for line := range strings.Lines(got) {
			if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > width || strings.TrimRight(line, " ") != line {
				t.Errorf("width %d: %q", width, line)
			}
		}
	}
}
