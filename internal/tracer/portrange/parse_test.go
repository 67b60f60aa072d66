package portrange

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

func TestParseRange(t *testing.T) {
	tests := []struct {
		name, text string
		want       event.PortRange
		ok         bool
	}{
		{"default", "32768\t60999", event.PortRange{Low: 32768, High: 60999}, true},
		{"one port", "5\t5", event.PortRange{Low: 5, High: 5}, true},
		{"all", "1\t65535", event.PortRange{Low: 1, High: 65535}, true},
		{"begins at 0", "0\t5", event.PortRange{}, false},
		{"backwards", "6\t5", event.PortRange{}, false},
		{"too high", "1\t65536", event.PortRange{}, false},
		{"one number", "32768", event.PortRange{}, false},
		{"three numbers", "1\t2\t3", event.PortRange{}, false},
		{"empty", "", event.PortRange{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseRange(tt.text)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("parseRange(%q) = %v, %v; want %v", tt.text, got, err, tt.want)
			}
		})
	}
}

func TestParseReserved(t *testing.T) {
	tests := []struct {
		name, text string
		want       []event.PortRange
		ok         bool
	}{
		{"none", "", nil, true},
		{"one", "80", []event.PortRange{{Low: 80, High: 80}}, true},
		{"range and port", "1-3,7", []event.PortRange{{Low: 1, High: 3}, {Low: 7, High: 7}}, true},
		{"all but one", "1-9,11-65535", []event.PortRange{{Low: 1, High: 9}, {Low: 11, High: 65535}}, true},
		{"port 0", "0,9", []event.PortRange{{Low: 9, High: 9}}, true},
		{"from port 0", "0-9", []event.PortRange{{Low: 1, High: 9}}, true},
		{"descending", "7,1-3", nil, false},
		{"twice", "7,7", nil, false},
		{"overlapping", "1-5,5-9", nil, false},
		{"backwards", "9-1", nil, false},
		{"too high", "65536", nil, false},
		{"three ends", "1-2-3", nil, false},
		{"dangling comma", "1,", nil, false},
		{"space", "1, 2", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseReserved(tt.text)
			if (err == nil) != tt.ok {
				t.Fatalf("parseReserved(%q) error = %v", tt.text, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ranges (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseNumber(t *testing.T) {
	tests := []struct {
		text string
		want int
		ok   bool
	}{
		{"0", 0, true},
		{"2", 2, true},
		{"2147483647", 2147483647, true},
		{"2147483648", 0, false},
		{"-1", 0, false},
		{"", 0, false},
		{"1 2", 0, false},
	}
	for _, tt := range tests {
		if got, err := parseNumber(tt.text); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("parseNumber(%q) = %d, %v; want %d", tt.text, got, err, tt.want)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("32768\t60999")
	f.Add("0\t0")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRange(text)
		if err == nil && (r.Low == 0 || r.Ports() == 0) || err != nil && !r.IsZero() {
			t.Errorf("parseRange(%q) = %v, %v", text, r, err)
		}
	})
}

func FuzzParseReserved(f *testing.F) {
	for _, seed := range []string{"", "80", "1-3,7", "0-65535", "7,1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseReserved(text)
		if err != nil && list != nil {
			t.Errorf("parseReserved(%q) = %v beside %v", text, list, err)
		}
		last := 0
		for _, r := range list {
			if int(r.Low) <= last || r.High < r.Low {
				t.Errorf("parseReserved(%q) = %v: not ascending", text, list)
			}
			last = int(r.High)
		}
	})
}
