package recording

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portwatch/portwatch/internal/event"
)

var sameAddr = cmpopts.EquateComparable(netip.AddrPort{})

// fill sets every field below v to a random value, pointers and lists
// included: a field that the format forgets comes back as zero.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Interface().(type) {
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.AddrPortFrom(randomAddr(r), uint16(r.Uint32()))))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(r, field)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 1)
	case reflect.String:
		b := make([]byte, r.IntN(20))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		v.SetString(string(b))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(r.Uint64() >> r.IntN(64)))
	default:
		v.SetUint(r.Uint64() >> r.IntN(64))
	}
}

func randomAddr(r *rand.Rand) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	switch r.IntN(5) {
	case 0:
		return netip.Addr{}
	case 1:
		return netip.AddrFrom4([4]byte(b[:4]))
	case 2:
		return netip.AddrFrom16(b).WithZone("eth0")
	case 3:
		return netip.AddrFrom16(netip.AddrFrom4([4]byte(b[:4])).As16())
	}
	return netip.AddrFrom16(b)
}

// anything is an event in which every field may have any value.
func anything(r *rand.Rand) event.Event {
	var ev event.Event
	v := reflect.ValueOf(&ev).Elem()
	for _, field := range v.Fields() {
		if r.IntN(3) == 0 {
			fill(r, field)
		}
	}
	if r.IntN(2) == 0 { // most events have no more than a lease
		for _, field := range v.Fields() {
			if field.Kind() == reflect.Pointer {
				field.SetZero()
			}
		}
	}
	return ev
}

// mangled is a few sockets about which many events contradict each other.
func mangled(r *rand.Rand, n int) []event.Event {
	var events []event.Event
	for range n {
		ev := anything(r)
		if len(events) > 0 && r.IntN(4) > 0 {
			old := events[r.IntN(len(events))]
			if r.IntN(2) == 0 {
				ev.Lease = old.Lease
				ev.Thread, ev.SocketCgroup, ev.NamespaceRange = old.Thread, old.SocketCgroup, old.NamespaceRange
			} else {
				ev.Lease = event.Lease{ID: old.Lease.ID, NetNS: old.Lease.NetNS, State: old.Lease.State}
				ev.Lease.Local = netip.AddrPortFrom(netip.Addr{}, old.Lease.Local.Port())
			}
		}
		events = append(events, ev)
	}
	return events
}

// roundTrip is what becomes of events in a block.
func roundTrip(tb testing.TB, enc *encoder, dec *decoder, events []event.Event) []event.Event {
	tb.Helper()
	for i := range events {
		enc.add(&events[i])
	}
	h, payload := enc.close()
	if err := dec.open(&h, payload); err != nil {
		tb.Fatal(err)
	}
	out := make([]event.Event, dec.left())
	for i := range out {
		if err := dec.read(&out[i]); err != nil {
			tb.Fatalf("event %d of %d: %v", i, len(out), err)
		}
	}
	return out
}

func codec(tb testing.TB) (*encoder, *decoder) {
	tb.Helper()
	enc, err := newEncoder()
	if err != nil {
		tb.Fatal(err)
	}
	dec, err := newDecoder()
	if err != nil {
		tb.Fatal(err)
	}
	return enc, dec
}

// What goes in comes out, whatever it is: the fields are found by reflection,
// so that one which is added to the vocabulary is tested from then on.
func TestAnyEventComesBack(t *testing.T) {
	enc, dec := codec(t)
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		events := mangled(r, 1+r.IntN(200))
		if diff := cmp.Diff(events, roundTrip(t, enc, dec, events), sameAddr); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// More than 256 shapes take a second byte each.
func TestManyShapesComeBack(t *testing.T) {
	enc, dec := codec(t)
	var events []event.Event
	for i := range 3000 {
		ev := event.Event{Kind: event.KindState, Time: event.Time(i), From: event.State(i % 50), Cause: event.Cause(i % 60)}
		ev.Lease = event.Lease{ID: event.LeaseID{Cookie: uint64(i % 7)}, State: event.State(i % 40)}
		events = append(events, ev)
	}
	if diff := cmp.Diff(events, roundTrip(t, enc, dec, events), sameAddr); diff != "" {
		t.Error(diff)
	}
}

func FuzzEvents(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, 20)
	}
	enc, dec := codec(f)
	f.Fuzz(func(t *testing.T, seed uint64, n int) {
		if n < 1 || n > 2000 {
			return
		}
		events := mangled(rand.New(rand.NewPCG(seed, 2)), n)
		if diff := cmp.Diff(events, roundTrip(t, enc, dec, events), sameAddr); diff != "" {
			t.Error(diff)
		}
	})
}
