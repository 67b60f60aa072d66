package recording

import (
	"encoding/binary"

	"github.com/portwatch/portwatch/internal/event"
)

func appendLimits(dst []byte, l *event.Limits) []byte {
	dst = appendRange(binary.AppendUvarint(dst, uint64(l.NetNS)), l.Range)
	dst = appendLength(dst, len(l.Reserved), l.Reserved == nil)
	for _, r := range l.Reserved {
		dst = appendRange(dst, r)
	}
	for _, v := range [...]int{l.TWReuse, l.Timestamps, l.MaxTWBuckets, l.FinTimeoutSeconds, l.UnprivilegedStart} {
		dst = appendVarint(dst, int64(v))
	}
	return appendOptional(appendOptional(dst, l.TWReuseDelayMillis), l.StepWidth)
}

func (c *cursor) limits() *event.Limits {
	l := &event.Limits{NetNS: c.u32varint(), Range: c.portRange()}
	if n, present := c.length(4); present {
		l.Reserved = make([]event.PortRange, n)
		for i := range l.Reserved {
			l.Reserved[i] = c.portRange()
		}
	}
	for _, v := range [...]*int{&l.TWReuse, &l.Timestamps, &l.MaxTWBuckets, &l.FinTimeoutSeconds, &l.UnprivilegedStart} {
		*v = int(c.varint())
	}
	l.TWReuseDelayMillis, l.StepWidth = c.optional(), c.optional()
	return l
}

// appendLength appends the length of a list, which may be absent: that is not
// the empty list.
func appendLength(dst []byte, n int, absent bool) []byte {
	if absent {
		return append(dst, 0)
	}
	return binary.AppendUvarint(dst, uint64(n)+1)
}

// length is that of a list whose elements take size bytes at least.
func (c *cursor) length(size int) (n int, present bool) {
	v := c.uvarint()
	if v == 0 {
		return 0, false
	}
	if v-1 > uint64(len(c.b)/size) {
		c.fail()
		return 0, false
	}
	return int(v - 1), true
}

func appendOptional(dst []byte, v *int) []byte {
	if v == nil {
		return append(dst, 0)
	}
	return appendVarint(append(dst, 1), int64(*v))
}

func (c *cursor) optional() *int {
	if !c.bit() {
		return nil
	}
	v := int(c.varint())
	return &v
}

func appendProcess(dst []byte, p *event.Process) []byte {
	dst = appendBit(appendOwner(dst, &p.Owner), p.Exited)
	for _, s := range [...]string{
		p.Exe, p.Cgroup, p.Unit, p.ContainerID, p.Container, p.PodUID, p.Pod, p.PodNamespace,
	} {
		dst = appendString(dst, s)
	}
	return dst
}

func (c *cursor) process() *event.Process {
	p := &event.Process{Owner: c.owner(), Exited: c.bit()}
	for _, s := range [...]*string{
		&p.Exe, &p.Cgroup, &p.Unit, &p.ContainerID, &p.Container, &p.PodUID, &p.Pod, &p.PodNamespace,
	} {
		*s = c.string()
	}
	return p
}

func appendStart(dst []byte, s *event.Start) []byte {
	for _, word := range [...]string{s.Host, s.BootID, s.Kernel, s.Reason} {
		dst = appendString(dst, word)
	}
	dst = appendVarint(append(dst, byte(s.Mode), byte(s.Poison)), s.WallNano)
	dst = appendBit(appendVarint(dst, int64(s.TickHz)), s.OwnRangeInOnePass)
	dst = appendLength(dst, len(s.Unavailable), s.Unavailable == nil)
	for _, word := range s.Unavailable {
		dst = appendString(dst, word)
	}
	return dst
}

func (c *cursor) start() *event.Start {
	s := &event.Start{}
	for _, word := range [...]*string{&s.Host, &s.BootID, &s.Kernel, &s.Reason} {
		*word = c.string()
	}
	s.Mode, s.Poison, s.WallNano = event.Mode(c.byte()), event.Poison(c.byte()), c.varint()
	s.TickHz, s.OwnRangeInOnePass = int(c.varint()), c.bit()
	if n, present := c.length(1); present {
		s.Unavailable = make([]string, n)
		for i := range s.Unavailable {
			s.Unavailable[i] = c.string()
		}
	}
	return s
}

// u16varint is a varint that must fit 16 bits.
func (c *cursor) u16varint() uint16 {
	v := c.uvarint()
	if v > 1<<16-1 {
		c.fail()
	}
	return uint16(v)
}
