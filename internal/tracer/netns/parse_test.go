package netns

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseLink(t *testing.T) {
	tests := []struct {
		name, link string
		inode      uint32
		ok         bool
	}{
		{"namespace", "net:[4026531840]", 4026531840, true},
		{"another kind", "mnt:[4026531840]", 0, false},
		{"not closed", "net:[4026531840", 0, false},
		{"not a number", "net:[x]", 0, false},
		{"too large", "net:[4294967296]", 0, false},
		{"empty", "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inode, ok := parseLink(tt.link)
			if ok != tt.ok || ok && inode != tt.inode {
				t.Errorf("parseLink(%q) = %d, %t; want %d, %t", tt.link, inode, ok, tt.inode, tt.ok)
			}
		})
	}
}

func TestParseStartTicks(t *testing.T) {
	const rest = " R 4593 4593 3401 0 -1 4194304 101 0 0 0 0 0 0 0 20 0 1 0 75404 3133440 418\n"
	tests := []struct {
		name, stat string
		ticks      uint64
		ok         bool
	}{
		{"plain", "4681 (cat)" + rest, 75404, true},
		{"name with spaces and parentheses", "4681 (a) R 1 (b)" + rest, 75404, true},
		{"cut short", "4681 (cat) R 4593 4593", 0, false},
		{"no name", "4681", 0, false},
		{"empty", "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ticks, ok := parseStartTicks(tt.stat)
			if ticks != tt.ticks || ok != tt.ok {
				t.Errorf("parseStartTicks() = %d, %t; want %d, %t", ticks, ok, tt.ticks, tt.ok)
			}
		})
	}
}

func TestParseMounts(t *testing.T) {
	const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
301 25 0:4 net:[4026532201] /run/netns/blue rw shared:7 - nsfs nsfs rw
302 25 0:4 net:[4026532202] /run/docker/netns/1a\040b rw - nsfs nsfs rw
303 25 0:4 mnt:[4026532203] /run/snapd/ns/lxd.mnt rw - nsfs nsfs rw
304 25
`
	want := []mount{
		{4026532201, "/run/netns/blue"},
		{4026532202, "/run/docker/netns/1a b"},
	}
	if diff := cmp.Diff(want, parseMounts(mountinfo), cmp.AllowUnexported(mount{})); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}

func TestNetnsName(t *testing.T) {
	tests := []struct{ path, name string }{
		{"/run/netns/blue", "blue"},
		{"/var/run/netns/cni-1234", "cni-1234"},
		{"/run/docker/netns/1a2b3c", ""},
		{"/run/netns/deep/blue", ""},
	}
	for _, tt := range tests {
		if got := netnsName(tt.path); got != tt.name {
			t.Errorf("netnsName(%q) = %q, want %q", tt.path, got, tt.name)
		}
	}
}
