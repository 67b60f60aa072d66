package main

import (
	"slices"
	"strconv"
	"testing"
)

// entry is what the kernel's unpacker reads of a file.
type entry struct {
	name string
	mode uint64
	data string
}

// unpack reads an archive as the kernel does, by the lengths in the headers.
func unpack(t *testing.T, rest []byte) (entries []entry) {
	t.Helper()
	field := func(i int) int {
		n, err := strconv.ParseUint(string(rest[6+8*i:6+8*(i+1)]), 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	round := func(n int) int { return (n + 3) &^ 3 }
	for len(rest) > 0 {
		if string(rest[:6]) != "070701" {
			t.Fatalf("no header at %q", rest[:6])
		}
		mode, size, length := field(1), field(6), field(11)
		name := string(rest[110 : 110+length-1])
		rest = rest[round(110+length):]
		entries = append(entries, entry{name, uint64(mode), string(rest[:size])})
		rest = rest[round(size):]
	}
	return entries
}

func TestArchive(t *testing.T) {
	var a archive
	a.file("/init", []byte("#!"))
	a.file("/a/b/c", []byte("12345"))
	a.file("/a/b/d", nil)
	got := unpack(t, a.bytes())
	want := []entry{
		{"init", modeFile, "#!"},
		{"a", modeDir, ""},
		{"a/b", modeDir, ""},
		{"a/b/c", modeFile, "12345"},
		{"a/b/d", modeFile, ""},
		{"TRAILER!!!", 0, ""},
	}
	if !slices.Equal(got, want) {
		t.Errorf("unpacked %+v, want %+v", got, want)
	}
}
