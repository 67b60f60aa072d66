package tracertest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/portwatch/portwatch/internal/tracer/netns"
)

func TestPrivateNetNS(t *testing.T) {
	ns := PrivateNetNS(t)
	ns.SetRange(40000, 40099)
	home, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	if ns.Inode() == home {
		t.Fatal("the namespace is not private")
	}
	tests := []struct{ file, want string }{
		{"/proc/sys/net/ipv4/ip_local_port_range", "40000\t40099"},
		{"/proc/sys/net/ipv4/tcp_tw_reuse", "0"},
		{"/proc/thread-self/net/if_inet6", "00000000000000000000000000000001 01 80 10 80       lo"},
	}
	for _, tt := range tests {
		ns.Do(func() error {
			got, err := os.ReadFile(tt.file)
			if err == nil && strings.TrimSpace(string(got)) != tt.want {
				err = fmt.Errorf("%s holds %q, want %q", tt.file, got, tt.want)
			}
			return err
		})
	}
}

func TestRootPromised(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		want bool
	}{
		{"nothing said", nil, false},
		{"ci", map[string]string{"CI": "true"}, true},
		{"switch", map[string]string{"PORTWATCH_TEST_ROOT": "1"}, true},
		{"switch off", map[string]string{"PORTWATCH_TEST_ROOT": "0"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := rootPromised(func(name string) string { return tt.env[name] }); got != tt.want {
				t.Errorf("rootPromised() = %t, want %t", got, tt.want)
			}
		})
	}
}
