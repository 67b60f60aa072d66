package docs

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	tests := []struct{ topic, want string }{
		{"EADDRNOTAVAIL", "cannot-assign-requested-address"},
		{"connect: Cannot assign requested address", "cannot-assign-requested-address"},
		{"bind: Address already in use (98)", "address-already-in-use"},
		{"write udp: resource temporarily unavailable", "udp-resource-temporarily-unavailable"},
		{"accept4: too many open files", "server-stops-at-32k"},
		{"net.ipv4.tcp_tw_recycle", "tcp_tw_recycle"},
		{"/proc/sys/net/ipv4/tcp_fin_timeout", "tcp_fin_timeout"},
		{"net.ipv4.ip_local_port_range", "how-many-ephemeral-ports"},
		{"Is it safe to change ip_local_port_range", "change-ip-local-port-range"},
		{"nf_conntrack: nf_conntrack: table full, dropping packet", "nf_conntrack_max"},
		{"poisoned", "poisoned"},
		{"time wait", "time-wait"},
		{"port-selection", "port-selection"},
		{"bind: permission denied", "ip_unprivileged_port_start"},
	}
	for _, tt := range tests {
		if page, near, found := Find(tt.topic); !found || page.Name != tt.want {
			t.Errorf("Find(%q) = %q, near %q; want %q", tt.topic, page.Name, near, tt.want)
		}
	}
}

func TestFindNames(t *testing.T) {
	tests := []struct{ topic, nearest string }{
		{"tcp_tw_recicle", "tcp_tw_recycle"},
		{"headrooms", "headroom"},
		{"EADDRNOTAVIAL", "cannot-assign-requested-address"},
	}
	for _, tt := range tests {
		page, near, found := Find(tt.topic)
		if found || len(near) != nearNames || near[0] != tt.nearest {
			t.Errorf("Find(%q) = %q, near %q; want %q nearest", tt.topic, page.Name, near, tt.nearest)
		}
	}
}

// Every page says what it means, the one command and what does it; no topic
// leads to two pages.
func TestPagesAreWhole(t *testing.T) {
	names := map[string]string{}
	for _, p := range Pages() {
		if p.Title == "" || len(p.Text) < 40 {
			t.Errorf("page %s is empty", p.Name)
		}
		if strings.Contains(p.Text, "<!--") {
			t.Errorf("page %s shows a comment", p.Name)
		}
		for _, topic := range append([]string{p.Name}, p.Topics...) {
			topic = normal(topic)
			if other, taken := names[topic]; taken && other != p.Name {
				t.Errorf("%q leads to %s and %s", topic, other, p.Name)
			}
			names[topic] = p.Name
		}
	}
}
