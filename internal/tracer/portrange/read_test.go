package portrange

import (
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

func tree(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys["ipv4/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestRead(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  event.Limits
	}{
		{
			name: "kernel 7.2",
			files: map[string]string{
				"ip_local_port_range": "32768\t60999\n", "ip_local_reserved_ports": "40000,50000-50009\n",
				"tcp_tw_reuse": "2\n", "tcp_tw_reuse_delay": "1000\n", "tcp_timestamps": "1\n",
				"tcp_max_tw_buckets": "8192\n", "tcp_fin_timeout": "60\n",
				"ip_unprivileged_port_start": "1024\n", "ip_local_port_step_width": "0\n",
			},
			want: event.Limits{
				Range:    event.PortRange{Low: 32768, High: 60999},
				Reserved: []event.PortRange{{Low: 40000, High: 40000}, {Low: 50000, High: 50009}},
				TWReuse:  2, TWReuseDelayMillis: new(1000), Timestamps: 1, MaxTWBuckets: 8192,
				FinTimeoutSeconds: 60, UnprivilegedStart: 1024, StepWidth: new(0),
			},
		},
		{
			name: "kernel 6.1",
			files: map[string]string{
				"ip_local_port_range": "1024\t65535\n", "ip_local_reserved_ports": "\n", "tcp_tw_reuse": "0\n",
				"tcp_timestamps": "2\n", "tcp_max_tw_buckets": "4096\n", "tcp_fin_timeout": "15\n",
				"ip_unprivileged_port_start": "0\n",
			},
			want: event.Limits{
				Range: event.PortRange{Low: 1024, High: 65535}, Timestamps: 2, MaxTWBuckets: 4096, FinTimeoutSeconds: 15,
			},
		},
		{name: "nothing there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Read(tree(tt.files))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("limits (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadNamesGarbage(t *testing.T) {
	tests := []struct{ file, text string }{
		{"ip_local_port_range", "sixty"},
		{"ip_local_reserved_ports", "1-"},
		{"tcp_tw_reuse", "yes"},
		{"tcp_tw_reuse_delay", "1s"},
		{"ip_local_port_step_width", "-2"},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			got, err := Read(tree(map[string]string{tt.file: tt.text + "\n", "tcp_fin_timeout": "60\n"}))
			if err == nil {
				t.Fatalf("Read() = %+v, want an error", got)
			}
			for _, part := range []string{"parse ipv4/" + tt.file + ": ", strconv.Quote(tt.text)} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not name %q", err, part)
				}
			}
			if diff := cmp.Diff(event.Limits{}, got); diff != "" {
				t.Errorf("limits beside an error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadRefusesEndlessText(t *testing.T) {
	long := strings.Repeat("1", maxText)
	if _, err := Read(tree(map[string]string{"tcp_tw_reuse": long})); err == nil {
		t.Error("Read() of a text without end: want an error")
	}
}
