package text

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/output/fields"
)

type fruit struct {
	name, color string
	number      uint64
}

func fruitTable(width int) Table[fruit] {
	return Table[fruit]{Width: width, Columns: []fields.Column[fruit]{
		{Header: "NAME", Width: 6, Value: func(_ *fields.Context, f *fruit) fields.Value { return fields.Text(f.name) }},
		{Header: "N", Right: true, Value: func(_ *fields.Context, f *fruit) fields.Value { return fields.Count(f.number) }},
		{Header: "COLOR", Tail: true, Value: func(_ *fields.Context, f *fruit) fields.Value { return fields.Text(f.color) }},
	}}
}

func TestTable(t *testing.T) {
	rows := []fruit{{"apple", "green or red", 1200}, {"fig", "", 3}}
	tests := []struct {
		name  string
		width int
		want  string
	}{
		{"no bound", 0, "NAME      N COLOR\napple 1,200 green or red\nfig       3 -\n"},
		{"the last column is cut, its tail stays", 20, "NAME      N COLOR\napple 1,200 … or red\nfig       3 -\n"},
		{"the last column leaves", 15, "NAME      N\napple 1,200\nfig       3\n"},
		{"a column of numbers is never cut", 9, "NAME\napple\nfig\n"},
		{"the first column stays", 2, "NAME\napple\nfig\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string(fruitTable(tt.width).Append(nil, &fields.Context{}, rows))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTableLineByLine(t *testing.T) {
	table := fruitTable(0)
	got := string(table.AppendRow(table.AppendHeader(nil), &fields.Context{}, &fruit{"fig", "blue", 3}))
	if diff := cmp.Diff("NAME   N COLOR\nfig    3 blue\n", got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func frame() (*fields.Context, *aggregate.Snapshot) {
	l := aggregate.New(aggregate.Options{})
	owner := event.Owner{Kind: event.OwnerProcess, PID: 7, StartTime: 1, Comm: event.CommOf("evil\x1b[2J"), Confidence: event.ConfidenceExact}
	l.Apply(&event.Event{Kind: event.KindStart, Time: 1e9, Start: &event.Start{
		Host: "h\x1b]0;x", WallNano: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC).UnixNano(),
	}})
	l.Apply(&event.Event{Kind: event.KindAllocate, Time: 2e9, Lease: event.Lease{
		ID: event.LeaseID{Cookie: 1, Born: 2}, NetNS: 5, Protocol: event.TCP, Family: event.IPv4, State: event.StateListen, Owner: owner,
	}})
	s := l.Snapshot(0)
	return &fields.Context{Meta: &s.Meta}, s
}

func TestTopFitsAndObeysNobody(t *testing.T) {
	c, s := frame()
	for width := 1; width < 120; width++ {
		got := string(AppendTop(nil, c, s, TopOptions{Width: width}))
		if strings.ContainsRune(got, '\x1b') {
			t.Fatalf("width %d: an escape reached the terminal:\n%q", width, got)
		}
		for i, line := range strings.Split(got, "\n") {
			if strings.TrimRight(line, " ") != line {
				t.Errorf("width %d: trailing space in %q", width, line)
			}
			if i > 1 && width >= 20 && utf8.RuneCountInString(line) > width {
				t.Errorf("width %d: line has %d characters: %q", width, utf8.RuneCountInString(line), line)
			}
		}
	}
}

func TestTopLimitsRows(t *testing.T) {
	c, s := frame()
	s.Owners = append(s.Owners, s.Owners[0], s.Owners[0])
	got := string(AppendTop(nil, c, s, TopOptions{Rows: 1}))
	if !strings.Contains(got, "+ 2 more owners\n") {
		t.Errorf("no word of the other owners in:\n%s", got)
	}
}

func TestRates(t *testing.T) {
	c, s := frame()
	want := "09:00:01 +00:00   try 1.0/s   fail 0.0/s   leases 1   TIME_WAIT 0   lost 0\n"
	if diff := cmp.Diff(want, string(AppendRates(nil, c, s))); diff != "" {
		t.Errorf("rates (-want +got):\n%s", diff)
	}
}

func TestSizes(t *testing.T) {
	tests := []struct {
		n    uint64
		want string
	}{{0, "unknown"}, {512, "0.5 KiB"}, {3 << 20, "3.0 MiB"}, {5 << 30, "5.0 GiB"}}
	for _, tt := range tests {
		if got := size(tt.n); got != tt.want {
			t.Errorf("size(%d) = %q, want %q", tt.n, got, tt.want)
		}
	}
}
