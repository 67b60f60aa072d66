package event

import "net/netip"

// Sighting is one socket with a local port, as a look at the kernel's tables
// showed it. Nothing was watched, so nothing is known of how it came about but
// what the socket itself still shows.
type Sighting struct {
	// Lease is what the socket holds. ID.Born is 0: it is not known. Where
	// several processes hold the socket the owner is the oldest; one that
	// nobody was found to hold has its cgroup, or is unknown.
	Lease Lease
	Seen  Time
	// Inode is that of the socket's file, or of the MPTCP socket that it carries;
	// 0 if it has none: a TIME_WAIT, a connection that was not accepted yet, or
	// one whose program has closed it.
	Inode uint64
	// Processes is how many processes hold the socket; 0 if that was not counted.
	Processes int
	Sharing   Sharing
	Bucket    Bucket
}

// Sharing says with whom a socket shares its port.
type Sharing struct {
	// Known is false where the socket's flags could not be read: the rest
	// means nothing then.
	Known     bool
	ReuseAddr bool // SO_REUSEADDR
	ReusePort bool // SO_REUSEPORT
	// UID is the user that bind() takes the socket's to be; for a TIME_WAIT
	// it is not asked for.
	UID uint32
}

// Bucket is what the kernel keeps for all TCP sockets of one port: it lets some
// requests pass without a look at the sockets.
type Bucket struct {
	// Known is false where it could not be read, and for UDP, which has none.
	Known bool
	// Bound says that somebody bound the port: connect() skips it.
	Bound bool
	// ReuseAddr lets everybody with SO_REUSEADDR on the port.
	ReuseAddr bool
	// ReusePort lets sockets of the user UID with SO_REUSEPORT on the port: at
	// every address, or only at the address At, which may be a v4-mapped one.
	ReusePort Reach
	UID       uint32
	At        netip.Addr
	AtV6Only  bool
	// Domain is the index of the VRF to which the port belongs, 0 for none.
	// Sockets of different ones are never in each other's way.
	Domain uint32
}

// Reach is how far a bucket's leave goes.
type Reach uint8

// The reaches.
const (
	ReachNone Reach = iota
	ReachEverywhere
	ReachAddress
)
