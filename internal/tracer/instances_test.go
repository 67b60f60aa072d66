package tracer

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestProgramID(t *testing.T) {
	tests := []struct {
		name, fdinfo string
		want         uint32
		ok           bool
	}{
		{"program", "pos:\t0\nflags:\t02000002\nprog_type:\t26\nprog_id:\t112\nrun_time_ns:\t0\n", 112, true},
		{"link", "link_type:\traw_tracepoint\nlink_id:\t3\nprog_tag:\tabc\nprog_id:\t7\n", 7, true},
		{"map", "map_type:\t1\nmap_id:\t9\n", 0, false},
		{"torn", "prog_id:\t", 0, false},
		{"empty", "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := programID(tt.fdinfo); got != tt.want || ok != tt.ok {
				t.Errorf("got %d, %v, want %d, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// A tree of /proc with one holder, one process without bpf, and one that ended
// while it was looked at.
func TestProgramHolders(t *testing.T) {
	root := t.TempDir()
	add := func(pid, fd, link, info string) {
		dir := filepath.Join(root, pid)
		for _, sub := range []string{"fd", "fdinfo"} {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(link, filepath.Join(dir, "fd", fd)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "fdinfo", fd), []byte(info), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	add("41", "3", "anon_inode:bpf-prog", "prog_id:\t12\n")
	add("41", "4", "anon_inode:bpf-map", "map_id:\t12\n")
	add("42", "3", "/dev/null", "prog_id:\t12\n")
	if err := os.Mkdir(filepath.Join(root, "43"), 0o755); err != nil {
		t.Fatal(err)
	}
	holders, hidden := programHolders(root, []uint32{12, 13})
	if !slices.Equal(holders[12], []int{41}) || len(holders[13]) != 0 || hidden != "" {
		t.Errorf("holders %v, hidden %q; want program 12 at 41", holders, hidden)
	}
}
