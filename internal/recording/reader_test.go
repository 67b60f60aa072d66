package recording

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portwatch/portwatch/internal/event"
)

// trials is n, or a tenth in the inner loop.
func trials(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// equal is as exact as cmp and many times faster.
func equal(a, b []event.Event) bool {
	return slices.EqualFunc(a, b, func(x, y event.Event) bool { return reflect.DeepEqual(x, y) })
}

// fewSeconds is a stream of some blocks.
func fewSeconds(tb testing.TB) []event.Event {
	tb.Helper()
	return newGenerator(quietHost, 3).events(4000)
}

func TestRecordingHoldsTheStream(t *testing.T) {
	want := fewSeconds(t)
	r := reading(t, written(t, want))
	if diff := cmp.Diff(want, drain(t, r), sameAddr); diff != "" {
		t.Error(diff)
	}
	if _, cut := r.Tail(); cut || len(r.Damages()) > 0 {
		t.Errorf("damages %v, cut %v, want a whole recording", r.Damages(), cut)
	}
	if r.Header().Major != Major || r.Header().Kinds[int(event.KindTick)] != "tick" {
		t.Errorf("header %+v", r.Header())
	}
}

// A block is closed by the stream's time, and by nothing else.
func TestBlockLastsASecond(t *testing.T) {
	r := reading(t, written(t, fewSeconds(t)))
	all := drain(t, r)
	seconds := float64(all[len(all)-1].Time-all[0].Time) / 1e9
	if blocks := float64(r.Totals().Blocks); blocks < seconds-1 || blocks > seconds+2 {
		t.Errorf("%v blocks in %v s", blocks, seconds)
	}
}

// Every prefix of a recording is a recording: what a killed writer leaves, and
// what one reads that is still being written.
func TestTornTailIsNoDamage(t *testing.T) {
	want := fewSeconds(t)
	file := written(t, want)
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		length := 2000 + r.IntN(len(file)-2000)
		torn := reading(t, file[:length])
		got := drain(t, torn)
		if !equal(want[:len(got)], got) {
			t.Fatalf("cut at %d: %s", length, cmp.Diff(want[:len(got)], got, sameAddr))
		}
		if len(torn.Damages()) > 0 {
			t.Fatalf("cut at %d: %+v", length, torn.Damages())
		}
	}
}

// spoiled is a copy of file that somebody has damaged in one place.
func spoiled(r *rand.Rand, file []byte) (damaged []byte, what string) {
	at, n := 700+r.IntN(len(file)-800), 1+r.IntN(64)
	damaged = bytes.Clone(file)
	switch r.IntN(4) {
	case 0:
		damaged[at] ^= 1 << r.IntN(8)
		return damaged, "flip"
	case 1:
		return append(damaged[:at], damaged[at+n:]...), "cut"
	case 2:
		for i := range n {
			damaged[at+i] = byte(r.Uint32())
		}
		return damaged, "overwrite"
	}
	return damaged[:at], "truncate"
}

// What a crash of the machine leaves behind the last block may be zeros: no damage.
func TestBlankTailIsNoDamage(t *testing.T) {
	want := fewSeconds(t)
	file := written(t, want)
	blocks := file[:len(file)-trailerBlocks(t, file)]
	for _, zeros := range []int{1, 3, headerLen - 1, headerLen, 4096, 1 << 20} {
		in := reading(t, append(bytes.Clone(blocks), make([]byte, zeros)...))
		if got := drain(t, in); len(got) != len(want) {
			t.Errorf("%d zeros: %d events, want %d", zeros, len(got), len(want))
		}
		if tail, cut := in.Tail(); tail != int64(zeros) || !cut || len(in.Damages()) > 0 {
			t.Errorf("%d zeros: tail %d, cut %v, damages %+v", zeros, tail, cut, in.Damages())
		}
		in = reading(t, append(append(bytes.Clone(blocks), make([]byte, zeros)...), 1))
		if drain(t, in); len(in.Damages()) != 1 {
			t.Errorf("%d zeros and a one: damages %+v", zeros, in.Damages())
		}
	}
}

// trailerBlocks is how many bytes the index and the trailer take.
func trailerBlocks(t *testing.T, file []byte) int {
	t.Helper()
	for at := 0; ; {
		h, err := parseHeader(file[at:])
		if err != nil {
			t.Fatal(err)
		}
		if h.kind == typeIndex {
			return len(file) - at
		}
		at += headerLen + int(h.payload)
	}
}

// Damage takes one block, or two where it lies across their border; no event is
// another one than was written, and what is missing is told in its place.
func TestDamageTakesWhatItTouches(t *testing.T) {
	want := fewSeconds(t)
	file := written(t, want)
	most := 0
	for r := reading(t, file); ; {
		if err := r.advance(); err != nil {
			t.Fatal(err)
		}
		if r.ended {
			break
		}
		most = max(most, r.dec.left())
	}
	r := rand.New(rand.NewPCG(2, 2))
	for trial := range trials(1000) {
		damaged, what := spoiled(r, file)
		in := reading(t, damaged)
		next, lost := 0, uint64(0)
		for i, ev := range drain(t, in) {
			if ev.Kind == event.KindLost {
				lost += ev.Lost.Count
				next += int(ev.Lost.Count)
				continue
			}
			if !reflect.DeepEqual(want[next], ev) {
				t.Fatalf("trial %d, %s: event %d is not what was written: %s", trial, what, i, cmp.Diff(want[next], ev, sameAddr))
			}
			next++
		}
		missing := len(want) - next + int(lost)
		if what == "truncate" {
			if len(in.Damages()) > 0 {
				t.Fatalf("trial %d: a torn tail is told as damage: %+v", trial, in.Damages())
			}
			continue
		}
		if missing > 2*most || next != len(want) && len(in.Damages()) == 0 && in.tail == 0 {
			t.Fatalf("trial %d, %s: %d of %d events are missing: %+v", trial, what, missing, len(want), in.Damages())
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	file := written(t, fewSeconds(t))
	newer := bytes.Clone(file[:0])
	newer = appendBlock(newer, header{kind: typeHeader}, []byte(`{"format":"portwatch recording","major":2,"minor":5,"writer":"v9.1"}`))
	tests := []struct {
		name string
		file []byte
		want error
		says string
	}{
		{"empty", nil, ErrFormat, "empty"},
		{"short", []byte("hello"), ErrFormat, "only 5 bytes"},
		{"other", bytes.Repeat([]byte("something else "), 1000), ErrFormat, "no block"},
		{"truncated header", file[:100], nil, ""},
		{"newer", newer, ErrVersion, "format 2.5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := newReader(bytes.NewReader(tt.file), io.NopCloser(nil))
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("err = %v, want %v with %q", err, tt.want, tt.says)
			}
			if err == nil && len(drain(t, r)) > 0 {
				t.Error("events came out of it")
			}
		})
	}
	if _, err := Open(t.Context(), t.TempDir()); err == nil {
		t.Error("a directory is no recording")
	}
}

// What a later minor version adds is passed over.
func TestReaderPassesWhatItDoesNotKnow(t *testing.T) {
	want := newGenerator(quietHost, 5).events(20)
	enc, _ := codec(t)
	for i := range want {
		enc.add(&want[i])
	}
	h, payload := enc.close()
	file := appendBlock(nil, header{kind: typeHeader}, []byte(`{"format":"portwatch recording","major":1,"minor":9,"new":[1]}`))
	file = appendBlock(file, header{kind: 'Z', number: 1}, []byte("a type of blocks to come"))
	h.number = 2
	table := 2 + entryLen*int(payload[0])
	more := append([]byte{payload[0] + 1, 0}, payload[2:table]...)
	more = append(more, 200, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0) // section 200, stored
	more = append(append(more, payload[table:]...), "new"...)
	file = appendBlock(file, h, more)
	if diff := cmp.Diff(want, drain(t, reading(t, file)), sameAddr); diff != "" {
		t.Error(diff)
	}
}

// A full disk pauses the recording; the loss is told when there is room again.
func TestFullDiskPauses(t *testing.T) {
	for _, full := range []func(*memory){
		func(m *memory) { m.free = 0.01 },
		func(m *memory) { m.room, m.fail = m.Len()+100, syscall.ENOSPC },
	} {
		disk := &memory{free: 1}
		w, err := newWriter(disk, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := fewSeconds(t)
		for i := range want {
			switch i {
			case 1000:
				full(disk)
			case 3000:
				disk.free, disk.room = 1, 0
			}
			if err := w.Append(&want[i]); err != nil {
				t.Fatal(err)
			}
			if i == 2999 && w.Stats().Paused == "" {
				t.Error("nobody says that the recording pauses")
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		told, lost := 0, uint64(0)
		r := reading(t, disk.Bytes())
		for _, ev := range drain(t, r) {
			if ev.Kind == event.KindLost {
				lost += ev.Lost.Count
				continue
			}
			told++
		}
		if told+int(lost) != len(want) || lost < 1000 || lost != w.Stats().Dropped || len(r.Damages()) > 0 {
			t.Errorf("%d told, %d lost, %d dropped of %d; damages %v", told, lost, w.Stats().Dropped, len(want), r.Damages())
		}
	}
}

func TestFileEndsAtItsSize(t *testing.T) {
	disk := &memory{free: 1}
	w, err := newWriter(disk, Options{MaxBytes: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	want := fewSeconds(t)
	for i := range want {
		if err := w.Append(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := reading(t, disk.Bytes())
	got := drain(t, r)
	if diff := cmp.Diff(want[:len(got)], got, sameAddr); diff != "" {
		t.Error(diff)
	}
	if disk.Len() > 20_000 || len(r.Notes()) != 1 || !w.Stats().Full || len(got)+int(w.Stats().Dropped) != len(want) {
		t.Errorf("%d bytes, notes %v, %+v", disk.Len(), r.Notes(), w.Stats())
	}
}

// A file that is there is left alone, and a link is not followed.
func TestCreateMakesANewFile(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir+"/a.pwr", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir + "/a.pwr"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, want mode 0600", info, err)
	}
	if err := os.Symlink(dir+"/b.pwr", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/a.pwr", "/link"} {
		if _, err := Create(dir+name, Options{}); err == nil {
			t.Errorf("Create(%s) = nil", name)
		}
	}
}

func FuzzReader(f *testing.F) {
	file := written(f, newGenerator(quietHost, 4).events(300))
	f.Add(file)
	f.Add(file[:len(file)/2])
	r := rand.New(rand.NewPCG(3, 3))
	for range 8 {
		damaged, _ := spoiled(r, file)
		f.Add(damaged)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		// Checksums are no obstacle to who wants to do harm.
		r, err := newReader(bytes.NewReader(mended(file)), io.NopCloser(nil))
		dst := make([]event.Event, 64)
		for err == nil {
			_, err = r.Read(t.Context(), dst)
		}
	})
}
