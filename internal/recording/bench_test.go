package recording

import (
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/portwatch/portwatch/internal/event"
)

// nowhere is a disk that keeps nothing.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }
func (nowhere) Truncate(int64) error        { return nil }
func (nowhere) Sync() error                 { return nil }
func (nowhere) FreeRatio() (float64, error) { return 1, nil }

var benchStreams = []struct {
	name string
	traffic
	events int
	skip   int // events until TIME_WAITs end as fast as they begin
}{
	{"reference", reference, 1_000_000, 1_100_000},
	{"harder", harder, 1_000_000, 1_000_000},
	{"low-rate", quietHost, 30_000, 20_000},
}

// BenchmarkWrite says what a second of CPU records, and how large that is.
func BenchmarkWrite(b *testing.B) {
	for _, s := range benchStreams {
		b.Run(s.name, func(b *testing.B) {
			events := streamOf(s.traffic, s.skip, s.events)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var w *Writer
			b.ReportAllocs()
			runs := 0.0
			for b.Loop() {
				var err error
				if w, err = newWriter(nowhere{}, Options{MaxBytes: 1 << 50}); err != nil {
					b.Fatal(err)
				}
				runs++
				for i := range events {
					if err := w.Append(&events[i]); err != nil {
						b.Fatal(err)
					}
				}
			}
			n := float64(len(events))
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(w.Stats().Bytes)/n, "B/event") // without the open block
			b.ReportMetric(runs*n/b.Elapsed().Seconds()/1e6, "Mev/s")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MB-heap")
			runtime.KeepAlive(w)
			runtime.KeepAlive(events)
		})
	}
}

// BenchmarkRead says what a second of CPU reads.
func BenchmarkRead(b *testing.B) {
	for _, s := range benchStreams {
		b.Run(s.name, func(b *testing.B) {
			file := written(b, streamOf(s.traffic, s.skip, s.events))
			dst := make([]event.Event, 512)
			b.ReportAllocs()
			read := 0
			for b.Loop() {
				r := reading(b, file)
				for {
					n, err := r.Read(b.Context(), dst)
					read += n
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(read)/b.Elapsed().Seconds()/1e6, "Mev/s")
		})
	}
}

func streamOf(t traffic, skip, n int) []event.Event {
	g := newGenerator(t, 1)
	var ev event.Event
	for range skip {
		g.event(&ev)
	}
	return g.events(n)
}
