package host

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// ListSockets lists the TCP and UDP sockets that a tree of /proc/net shows: of
// a collected host, or where the kernel has no sock_diag. Sockets that are
// bound and nothing else are in no such file (tcp_seq_start,
// net/ipv4/tcp_ipv4.c, walks listeners and connections).
func ListSockets(net fs.FS, fn func(*Socket)) error {
	for _, table := range [...]struct {
		file     string
		protocol event.Protocol
		optional bool // absent where IPv6 is off
	}{
		{"tcp", event.TCP, false},
		{"tcp6", event.TCP, true},
		{"udp", event.UDP, false},
		{"udp6", event.UDP, true},
	} {
		text, err := readText(net, table.file)
		if isAbsent(err) && table.optional {
			continue
		}
		if err != nil {
			return err
		}
		if err := parseSockets(table.file, text, table.protocol, fn); err != nil {
			return err
		}
	}
	return nil
}

func parseSockets(name, text string, protocol event.Protocol, fn func(*Socket)) error {
	number := 0
	for line := range strings.Lines(text) {
		if number++; number == 1 {
			continue // the header
		}
		s, ok := parseSocket(line, protocol)
		if !ok {
			return fmt.Errorf("parse %s: %w", name, lineError(number, line, "this is no socket"))
		}
		fn(&s)
	}
	return nil
}

// The places of words in a line of /proc/net/tcp and udp.
const (
	wordLocal  = 1
	wordRemote = 2
	wordState  = 3
	wordInode  = 9
)

// parseSocket parses a line such as
//
//	0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1
func parseSocket(line string, protocol event.Protocol) (Socket, bool) {
	words := strings.Fields(line)
	if len(words) <= wordInode {
		return Socket{}, false
	}
	local, ok := parseEndpoint(words[wordLocal])
	remote, ok2 := parseEndpoint(words[wordRemote])
	state, err := strconv.ParseUint(words[wordState], 16, 8)
	inode, err2 := strconv.ParseUint(words[wordInode], 10, 32)
	if !ok || !ok2 || err != nil || err2 != nil {
		return Socket{}, false
	}
	s := Socket{Protocol: protocol, State: event.State(state), Local: local, Inode: uint32(inode)}
	if remote.Port() != 0 || !remote.Addr().IsUnspecified() {
		s.Remote = remote
	}
	if protocol == event.UDP { // it borrows two of TCP's numbers
		s.State = event.StateUnconnected
		if state == uint64(event.StateEstablished) {
			s.State = event.StateConnected
		}
	}
	return s, true
}

// parseEndpoint parses "0100007F:1F90": the address is words of four bytes in
// the order of the host that printed them, taken for little-endian.
func parseEndpoint(text string) (netip.AddrPort, bool) {
	address, port, ok := strings.Cut(text, ":")
	b, err := hex.DecodeString(address)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	for at := 0; at < len(b); at += 4 {
		binary.BigEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:]))
	}
	addr, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok
}

// CountSCTP counts the local ports that SCTP holds, by the tables in a tree of
// /proc/net, and reports false where
// its module is not loaded, or its tables may not be read.
func CountSCTP(net fs.FS) (held *PortSet, loaded bool) {
	held = &PortSet{}
	for _, file := range [...]string{"sctp/eps", "sctp/assocs"} {
		text, err := readText(net, file)
		if err != nil {
			return nil, false
		}
		column := -1
		for line := range strings.Lines(text) {
			words := strings.Fields(line)
			if column < 0 {
				if column = slices.Index(words, "LPORT"); column < 0 {
					return nil, false
				}
				continue
			}
			if column < len(words) {
				if port, err := ParsePort(words[column]); err == nil {
					held.AddPort(port)
				}
			}
		}
	}
	return held, true
}
