package host

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

func ports(text string) event.PortRange {
	r, err := ParsePorts(text)
	if err != nil {
		panic(err)
	}
	return r
}

func TestJudge(t *testing.T) {
	today := event.Limits{Range: ports("32768-60999"), UnprivilegedStart: 1024}
	reserving := today
	reserving.Reserved = []event.PortRange{ports("30000-32767")}
	nodePort := Claim{Ports: ports("30000-32767"), Kind: KindKubernetes}
	listening := func(port string) Claim { return Claim{Ports: ports(port), Kind: KindListening, Protocol: event.TCP} }
	tests := []struct {
		name     string
		proposal Proposal
		verdict  Verdict
		exposes  string // ports
		reserve  string
		gains    int
		reason   string // within one of the reasons
	}{
		{"wider, nothing there", Proposal{Range: ports("16000-65001"), Today: today}, Safe, "", "", 20770, ""},
		{"a listener", Proposal{Range: ports("16000-65001"), Today: today, Claims: []Claim{listening("18080")}}, Unsafe, "18080", "18080", 20770, ""},
		{"a listener in today's range is not new", Proposal{Range: ports("16000-65001"), Today: today, Claims: []Claim{listening("40000")}}, Safe, "", "", 20770, ""},
		{"a listener outside of both", Proposal{Range: ports("16000-65001"), Today: today, Claims: []Claim{listening("15999")}}, Safe, "", "", 20770, ""},
		{"part of a claim", Proposal{Range: ports("31000-60999"), Today: today, Claims: []Claim{nodePort}}, Unsafe, "31000-32767", "31000-32767", 1768, ""},
		{"a reserved claim", Proposal{Range: ports("30000-60999"), Today: reserving, Claims: []Claim{nodePort}}, Reservations, "", "30000-32767", 0, "no more ports"},
		{"merged with today's list", Proposal{Range: ports("29998-60999"), Today: reserving, Claims: []Claim{listening("29999")}}, Unsafe, "29999", "29999-32767", 2, ""},
		{"narrower", Proposal{Range: ports("40000-60999"), Today: today}, Reservations, "", "", -7232, "7232 ports less"},
		{"the same", Proposal{Range: ports("32768-60999"), Today: today}, Reservations, "", "", 0, "today's range"},
		{"same parity", Proposal{Range: ports("16000-65000"), Today: today}, Reservations, "", "", 20769, "16000-65001 has not"},
		{"same parity at the top", Proposal{Range: ports("16001-65535"), Today: today}, Reservations, "", "", 21303, "16001-65534 has not"},
		{"below 1024", Proposal{Range: ports("500-60999"), Today: event.Limits{Range: ports("32768-60999")}}, Reservations, "", "", 32268, "below 1024"},
		{"unread", Proposal{Range: ports("16000-65001"), Today: today, Unread: []Unread{{"x.socket", "is a directory"}}}, Reservations, "", "", 20770, "x.socket could not be read: is a directory"},
		{"an old connection", Proposal{Range: ports("16000-65001"), Today: today, Outside: SetOf(ports("20000-20001"))}, Reservations, "", "", 20770, "hold 20000-20001"},
		{"an old connection elsewhere", Proposal{Range: ports("16000-65001"), Today: today, Outside: SetOf(ports("900"))}, Safe, "", "", 20770, ""},
		{"a name is no claim", Proposal{Range: ports("16000-65001"), Today: today, Registry: []Service{{"x", ports("16001"), event.TCP}}}, Safe, "", "", 20770, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.proposal.Outside == nil {
				tt.proposal.Outside = &PortSet{}
			}
			c := Judge(&tt.proposal)
			exposes := &PortSet{}
			for i := range c.Exposes {
				exposes.Add(c.Exposes[i].Ports)
			}
			if c.Verdict != tt.verdict || exposes.String() != tt.exposes || c.PortsThen-c.PortsNow != tt.gains {
				t.Errorf("%s, exposes %q, gains %d; want %s, %q, %d", c.Verdict, exposes, c.PortsThen-c.PortsNow, tt.verdict, tt.exposes, tt.gains)
			}
			if got := FormatPorts(c.Reserve); got != tt.reserve {
				t.Errorf("reserve %q, want %q", got, tt.reserve)
			}
			if all := strings.Join(c.Reasons, "; "); !strings.Contains(all, tt.reason) || tt.reason == "" && all != "" {
				t.Errorf("reasons %q, want %q", all, tt.reason)
			}
			if want := len(tt.proposal.Registry); len(c.Registered) != want {
				t.Errorf("%d registered names, want %d", len(c.Registered), want)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	if got := Refusal(ports("1024-65000"), 1024); got != "" {
		t.Errorf("1024 is refused: %s", got)
	}
	if got := Refusal(ports("1023-65000"), 1024); !strings.Contains(got, "EINVAL") {
		t.Errorf("1023 is not refused: %q", got)
	}
}

func TestPortSet(t *testing.T) {
	s := SetOf(ports("10-20"), ports("15-30"), ports("31"), ports("65535"), ports("1"), event.PortRange{})
	if got := s.String(); got != "1,10-31,65535" {
		t.Errorf("set is %q", got)
	}
	if got := s.Without(SetOf(ports("12-20"))).String(); got != "1,10-11,21-31,65535" {
		t.Errorf("difference is %q", got)
	}
	if got := s.And(SetOf(ports("30-65535"))); got.String() != "30-31,65535" || got.Count() != 3 {
		t.Errorf("intersection is %q of %d", got, got.Count())
	}
	if !s.Overlaps(ports("31-40")) || s.Overlaps(ports("32-40")) {
		t.Error("overlap is wrong at 31")
	}
}

func TestParsePortListNamesGarbage(t *testing.T) {
	for _, text := range []string{"", "80,", "0", "65536", "9-1", "a-b", "80-", "-80"} {
		if got, err := ParsePortList(text); err == nil {
			t.Errorf("ParsePortList(%q) = %v, want an error", text, got)
		}
	}
	if got, err := ParsePortList("8080, 9000-9100"); err != nil || FormatPorts(got) != "8080,9000-9100" {
		t.Errorf("list is %v, %v", got, err)
	}
}

func TestParseServices(t *testing.T) {
	tests := []struct{ name, text, want, err string }{
		{"services(5)", "# c\nhttp 80/tcp www # web\ndomain\t53/udp\nx11 6000-6063/tcp/udp\ndisc 9/sctp\n", "http 80-80 tcp;domain 53-53 udp;x11 6000-6063 tcp;x11 6000-6063 udp", ""},
		{"CSV", "Service Name,Port Number,Transport Protocol,Description\n,8,tcp,\nhttp,80,tcp,\"a, b\"\nold,,,\nx11,6000-6063,udp,x\n", "http 80-80 tcp;x11 6000-6063 udp", ""},
		{"no port", "http\n", "", `line 1, "http": want NAME PORT/PROTOCOL`},
		{"no protocol", "# c\nhttp 80\n", "", `line 2, "http 80": want`},
		{"no number", "http x/tcp\n", "", `line 1`},
		{"CSV without columns", "Service Name,Port\n", "", "want the columns"},
		{"CSV with garbage", "Service Name,Port Number,Transport Protocol\nhttp,eighty,tcp\n", "", `line 2, "http,eighty,tcp"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			services, err := ParseServices(tt.text)
			var got []string
			for _, s := range services {
				got = append(got, s.Name+" "+s.Ports.String()+" "+s.Protocol.String())
			}
			if strings.Join(got, ";") != tt.want || (err == nil) != (tt.err == "") {
				t.Errorf("services %q, %v; want %q", got, err, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %q, want %q", err, tt.err)
			}
		})
	}
}

func TestBuiltInRegistry(t *testing.T) {
	services, source := IANA()
	if len(services) < 10000 || !strings.HasPrefix(source, "IANA, 20") {
		t.Fatalf("%d services of %q", len(services), source)
	}
	for _, s := range services {
		if s.Name == "https" && s.Ports == ports("443") && s.Protocol == event.TCP {
			return
		}
	}
	t.Error("https is not in it")
}

func TestRangeLines(t *testing.T) {
	reserve := []event.PortRange{ports("18080"), ports("30000-32767")}
	text := func(target Target, reserve []event.PortRange) (all []string) {
		for _, l := range RangeLines(target, ports("16000-65001"), reserve) {
			all = append(all, "# "+l.Where)
			all = append(all, l.Text...)
		}
		return all
	}
	tests := []struct {
		name    string
		target  Target
		reserve []event.PortRange
		want    []string
	}{
		{"host", Target{Own: true, Boot: true}, reserve, []string{
			"# now", `sysctl -w net.ipv4.ip_local_reserved_ports="18080,30000-32767"`, `sysctl -w net.ipv4.ip_local_port_range="16000 65001"`,
			"# at boot", "cat > /etc/sysctl.d/60-local-ports.conf <<'END'", "net.ipv4.ip_local_reserved_ports = 18080,30000-32767",
			"net.ipv4.ip_local_port_range = 16000 65001", "END",
		}},
		{"container", Target{PID: 77, Container: true}, reserve, []string{
			"# now", `nsenter -t 77 -n sysctl -w net.ipv4.ip_local_reserved_ports="18080,30000-32767"`, `nsenter -t 77 -n sysctl -w net.ipv4.ip_local_port_range="16000 65001"`,
			"# docker, podman", `--sysctl net.ipv4.ip_local_reserved_ports="18080,30000-32767"`, `--sysctl net.ipv4.ip_local_port_range="16000 65001"`,
		}},
		{"pod", Target{PID: 77, Pod: true}, nil, []string{
			"# now", `nsenter -t 77 -n sysctl -w net.ipv4.ip_local_port_range="16000 65001"`,
			"# pod", "securityContext:", "  sysctls:", "  - name: net.ipv4.ip_local_port_range", `    value: "16000 65001"`,
		}},
		{"from inside a container", Target{Own: true, Container: true}, nil, []string{
			"# now", `sysctl -w net.ipv4.ip_local_port_range="16000 65001"`,
			"# docker, podman", `--sysctl net.ipv4.ip_local_port_range="16000 65001"`,
		}},
		{"from inside of ip netns exec: no boot file", Target{Own: true}, nil, []string{
			"# now", `sysctl -w net.ipv4.ip_local_port_range="16000 65001"`,
			"# docker, podman", `--sysctl net.ipv4.ip_local_port_range="16000 65001"`,
			"# pod", "securityContext:", "  sysctls:", "  - name: net.ipv4.ip_local_port_range", `    value: "16000 65001"`,
		}},
		{"a name only", Target{Name: "blue", Container: true}, nil, []string{
			"# now", `ip netns exec blue sysctl -w net.ipv4.ip_local_port_range="16000 65001"`,
			"# docker, podman", `--sysctl net.ipv4.ip_local_port_range="16000 65001"`,
		}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, text(tt.target, tt.reserve)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestBootNotes(t *testing.T) {
	notes, unread := BootNotes(tree(map[string]string{
		"etc/sysctl.d/60-local-ports.conf": "net.ipv4.ip_local_port_range = 1 2\n",
		"etc/sysctl.d/10-a.conf":           "# net.ipv4.ip_local_port_range = 3 4\n-net/ipv4/ip_local_port_range=10000\t20000\n",
		"usr/lib/sysctl.d/10-a.conf":       "net.ipv4.ip_local_port_range = 5 6\n",
		"etc/sysctl.conf":                  "net.ipv4.ip_local_reserved_ports = 8080\n",
		"etc/sysctl.d/20-b.conf/":          "",
	}))
	want := []string{
		"/etc/sysctl.d/10-a.conf sets net.ipv4.ip_local_port_range = 10000 20000 at boot: change it there too",
		"/etc/sysctl.conf sets net.ipv4.ip_local_reserved_ports = 8080 at boot: change it there too",
	}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if len(unread) != 1 {
		t.Errorf("unread %v, want the directory", unread)
	}
}
