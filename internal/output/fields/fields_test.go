package fields

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
	"github.com/portwatch/portwatch/internal/output/schematest"
)

var update = flag.Bool("update", false, "rewrite docs/schema")

const schemaDir = "../../../docs/schema"

func TestSchemasAreCurrent(t *testing.T) {
	want := map[string]bool{}
	for _, d := range Documents() {
		want[FileName(d)] = true
		got, err := d.Schema()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(schemaDir, FileName(d))
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		committed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, committed) {
			t.Errorf("%s is not what the registry says: go test ./internal/output/fields -update", path)
		}
	}
	files, err := filepath.Glob(filepath.Join(schemaDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !want[filepath.Base(f)] {
			t.Errorf("%s belongs to no document", f)
		}
	}
}

// TestEveryDocumentFitsItsSchema checks the empty row of each document, in
// which all that can be absent is null.
func TestEveryDocumentFitsItsSchema(t *testing.T) {
	c := &Context{Meta: &aggregate.Meta{}}
	tests := []struct {
		schema Schemer
		line   []byte
	}{
		{Blame, Blame.AppendJSON(nil, c, &aggregate.Blame{})},
		{Doctor, Doctor.AppendJSON(nil, nil, &DoctorReport{Hooks: []HookReport{{State: "off"}}})},
		{Error, Error.AppendJSON(nil, nil, &ErrorReport{Error: "a\nb", ExitCode: 2})},
		{Event, Event.AppendJSON(nil, c, &aggregate.Record{})},
		{Event, Event.AppendJSON(nil, fixedContext(), allocation())},
		{Explain, Explain.AppendJSON(nil, c, &Explanation{})},
		{Limits, Limits.AppendJSON(nil, c, &host.LimitsReport{Limits: []host.Limit{{Scope: "host"}}})},
		{Range, Range.AppendJSON(nil, c, &host.RangeReport{})},
		{Range, Range.AppendJSON(nil, c, fullRange())},
		{Self, Self.AppendJSON(nil, c, &SelfReport{})},
		{Status, Status.AppendJSON(nil, c, &aggregate.Snapshot{})},
		{Status, Status.AppendJSON(nil, c, &aggregate.Snapshot{Namespaces: []aggregate.Namespace{{}}, Pools: []aggregate.Pool{{}, tightPool()}})},
		{Top, Top.AppendJSON(nil, c, &aggregate.Snapshot{})},
		{Top, Top.AppendJSON(nil, c, &aggregate.Snapshot{Pools: []aggregate.Pool{{}, tightPool()}})},
		{Verify, Verify.AppendJSON(nil, c, &VerifyReport{Differences: []VerifyDifference{{Kind: "extra", Ledger: &VerifySide{}}}})},
		{Version, Version.AppendJSON(nil, nil, &VersionReport{})},
	}
	for _, tt := range tests {
		schema, err := tt.schema.Schema()
		if err != nil {
			t.Fatal(err)
		}
		if err := schematest.Validate(schema, tt.line); err != nil {
			t.Errorf("%s: %v\n%s", tt.schema.SchemaName(), err, tt.line)
		}
	}
}

// fullRange has every list of the document filled.
func fullRange() *host.RangeReport {
	c := host.Claim{Ports: event.PortRange{Low: 1, High: 2}, Kind: host.KindSystemd, Owner: &event.Process{Exe: "x"}}
	return &host.RangeReport{
		Namespaces: []host.NamespaceRange{{TCP: new(1), Fullest: &host.Pool{Ports: 1}}}, Overlaps: []host.Claim{c},
		Check: &host.Check{
			Verdict: host.Reservations, Reasons: []string{"x"}, Exposes: []host.Exposure{{Claim: c, Happens: "x"}}, PortsNow: 1,
		},
		Lines: []host.Lines{{Where: "now", Text: []string{"x"}}}, Unread: []host.Unread{{What: "x", Why: "y"}}, Unseen: []string{"x"},
	}
}

func fixedContext() *Context {
	anchor := time.Date(2026, 11, 20, 9, 14, 0, 0, time.UTC).UnixNano()
	return &Context{Meta: &aggregate.Meta{Clock: aggregate.ClockAt(1, anchor), At: 1}}
}

func allocation() *aggregate.Record {
	owner := event.Owner{
		Kind: event.OwnerProcess, Confidence: event.ConfidenceExact, PID: 4123, StartTime: 5,
		Comm: event.CommOf("sync-worker"), CgroupID: 1 << 60,
	}
	return &aggregate.Record{
		Owned: true, NetNS: 4026531840, NetNSName: "host",
		Owner: aggregate.OwnerInfo{ID: owner.ID(), Confidence: owner.Confidence, Comm: owner.Comm, CgroupID: owner.CgroupID},
		Event: event.Event{
			Kind: event.KindAllocate, Time: 2_000_000_001, SearchNanos: 13_000,
			Lease: event.Lease{
				ID: event.LeaseID{Cookie: 1 << 63, Born: 7}, Protocol: event.TCP, Family: event.IPv4,
				State: event.StateSynSent, Origin: event.OriginConnect, Owner: owner,
				Local: netip.MustParseAddrPort("10.0.0.1:40000"), Remote: netip.MustParseAddrPort("[2001:db8::1]:443"),
			},
		},
	}
}

func TestEncodingAnEventDoesNotAllocate(t *testing.T) {
	c, r := fixedContext(), allocation()
	buf := Event.AppendJSON(nil, c, r)
	got := testing.AllocsPerRun(100, func() { buf = Event.AppendJSON(buf[:0], c, r) })
	if got != 0 {
		t.Errorf("allocations per event = %v, want none", got)
	}
}

func BenchmarkEventJSON(b *testing.B) {
	c, r := fixedContext(), allocation()
	buf := Event.AppendJSON(nil, c, r)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = Event.AppendJSON(buf[:0], c, r)
	}
}

func TestValues(t *testing.T) {
	tests := []struct {
		name            string
		value           Value
		json, raw, text string
	}{
		{"absent", Value{}, "null", "", "-"},
		{"empty text", Text(""), "null", "", "-"},
		{"text", Text("a\"\\\n\x1b[31mé"), `"a\"\\\n\u001b[31mé"`, "a\"\\\n\x1b[31mé", "a\"\\??[31mé"},
		{"broken text", Text("a\xff"), `"a` + "\ufffd" + `"`, "a\xff", "a?"},
		{"comm", Name(event.CommOf("nginx")), `"nginx"`, "nginx", "nginx"},
		{"comm with an escape", Name(event.CommOf("a\x1b")), `"a?"`, "a?", "a?"},
		{"identity", Identity(1<<64 - 1), `"18446744073709551615"`, "18446744073709551615", "18446744073709551615"},
		{"no identity", Identity(0), "null", "", "-"},
		{"plain", Plain(65535), "65535", "65535", "65535"},
		{"count", Count(1234567), "1234567", "1234567", "1,234,567"},
		{"zero", Count(0), "0", "0", "0"},
		{"number", Number(12345.678), "12345.678", "12345.678", "12,345.7"},
		{"seconds", Seconds(1500 * time.Millisecond), "1.5", "1.5", "1.5"},
		{"bool", Bool(true), "true", "true", "yes"},
		{"moment", Moment(1_500_000_001), `"2026-11-20T09:14:01.500000000Z"`, "2026-11-20T09:14:01.500000000Z", "09:14:01.500"},
		{"mapped address", Address(netip.MustParseAddrPort("[::ffff:10.0.0.1]:1")), `"10.0.0.1"`, "10.0.0.1", "10.0.0.1"},
		{"address", Address(netip.MustParseAddrPort("[2001:db8::1]:1")), `"2001:db8::1"`, "2001:db8::1", "2001:db8::1"},
		{"no address", Address(netip.AddrPort{}), "null", "", "-"},
		{"port", Port(netip.MustParseAddrPort("10.0.0.1:0")), "0", "0", "0"},
		{"process", OwnerID(event.OwnerID{Kind: event.OwnerProcess, PID: 3, StartTime: 4}), `"3@4"`, "3@4", "3@4"},
		{"lease", LeaseID(event.LeaseID{Cookie: 3, Born: 4}), `"3-4"`, "3-4", "3-4"},
	}
	c := fixedContext()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(tt.value.AppendJSON(nil, c)); got != tt.json {
				t.Errorf("json = %s, want %s", got, tt.json)
			}
			if !json.Valid(tt.value.AppendJSON(nil, c)) {
				t.Error("not JSON")
			}
			if got := string(tt.value.AppendRaw(nil, c)); got != tt.raw {
				t.Errorf("raw = %q, want %q", got, tt.raw)
			}
			if got := string(tt.value.AppendText(nil, c)); got != tt.text {
				t.Errorf("text = %q, want %q", got, tt.text)
			}
		})
	}
	if got := string(Moment(5).AppendJSON(nil, &Context{Meta: &aggregate.Meta{}})); got != "null" {
		t.Errorf("a moment without an anchor = %s, want null", got)
	}
}

// TestWordsAreTheVocabulary compares the closed lists with the spelling of
// package event.
func TestWordsAreTheVocabulary(t *testing.T) {
	tests := []struct {
		name, words string
		word        func(int) string
	}{
		{"kind", kindWords, func(i int) string { return event.Kind(i).String() }},
		{"state", stateWords, func(i int) string { return event.State(i).String() }},
		{"substate", substateWords, func(i int) string { return event.Substate(i).String() }},
		{"origin", originWords, func(i int) string { return event.Origin(i).String() }},
		{"cause", causeWords, func(i int) string { return event.Cause(i).String() }},
		{"lost cause", lostCauseWords, func(i int) string { return event.LostCause(i).String() }},
		{"correction", correctionWords, func(i int) string { return event.Correction(i).String() }},
		{"operation", operationWords, func(i int) string { return event.Operation(i).String() }},
		{"reason", reasonWords, func(i int) string { return event.Reason(i).String() }},
		{"protocol", protocolWords, func(i int) string { return event.Protocol(i).String() }},
		{"family", familyWords, func(i int) string { return event.Family(i).String() }},
	}
	for _, tt := range tests {
		var spoken []string
		for i := range 256 {
			if w := tt.word(i); w != "" {
				spoken = append(spoken, w)
			}
		}
		listed := strings.Fields(tt.words)
		slices.Sort(spoken)
		slices.Sort(listed)
		if !slices.Equal(spoken, listed) {
			t.Errorf("%s: event says %v, fields %v", tt.name, spoken, listed)
		}
	}
}

func TestSheetQuotes(t *testing.T) {
	sheet := SheetOf(Object[string]{
		one("a", "", "", String, func(_ *Context, s *string) Value { return Text(*s) }),
		one("b", "", "", Integer, func(*Context, *string) Value { return Count(1000) }),
	})
	tests := []struct{ in, want string }{
		{"plain", "plain,1000\n"},
		{"", ",1000\n"},
		{`a,"b`, `"a,""b",1000` + "\n"},
		{"=cmd()", `"'=cmd()",1000` + "\n"},
		{"a\nb", "\"a\nb\",1000\n"},
	}
	for _, tt := range tests {
		if got := string(sheet.AppendRow(nil, nil, &tt.in)); got != tt.want {
			t.Errorf("row of %q = %q, want %q", tt.in, got, tt.want)
		}
	}
	if got := string(sheet.AppendHeader(nil)); got != "a,b\n" {
		t.Errorf("header = %q", got)
	}
}

func TestWhere(t *testing.T) {
	tests := []struct {
		info aggregate.OwnerInfo
		want string
	}{
		{aggregate.OwnerInfo{}, ""},
		{aggregate.OwnerInfo{Cgroup: "/a"}, "/a"},
		{aggregate.OwnerInfo{Cgroup: "/a", Unit: "u"}, "u"},
		{aggregate.OwnerInfo{Unit: "u", ContainerID: "0123456789abcdef"}, "0123456789ab"},
		{aggregate.OwnerInfo{ContainerID: "0123456789abcdef", Container: "c"}, "c"},
		{aggregate.OwnerInfo{Container: "c", Pod: "p"}, "p"},
		{aggregate.OwnerInfo{Pod: "p", PodNamespace: "n"}, "n/p"},
	}
	for _, tt := range tests {
		if got := Where(&tt.info); got != tt.want {
			t.Errorf("Where(%+v) = %q, want %q", tt.info, got, tt.want)
		}
	}
}
