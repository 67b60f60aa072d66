package aggregate

// chunkSize trades the memory of a nearly empty slab against the number of
// allocations of a large one.
const chunkSize = 256

// slab keeps values of one type at addresses that never move, numbered from 0.
// A freed number is given again, last freed first. Numbers instead of pointers
// keep the maps above it half as large and invisible to the garbage collector.
type slab[T any] struct {
	chunks []*[chunkSize]T
	free   []uint32
	next   uint32 // the lowest number never given
}

// at returns the value with number i, which put must have given.
func (s *slab[T]) at(i uint32) *T { return &s.chunks[i/chunkSize][i%chunkSize] }

// put returns the number of a zero value.
func (s *slab[T]) put() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	if int(s.next/chunkSize) == len(s.chunks) {
		s.chunks = append(s.chunks, new([chunkSize]T))
	}
	s.next++
	return s.next - 1
}

// drop zeroes the value and gives its number back.
func (s *slab[T]) drop(i uint32) {
	var zero T
	*s.at(i) = zero
	s.free = append(s.free, i)
}

// len is the number of values in use.
func (s *slab[T]) len() int { return int(s.next) - len(s.free) }
