// Package host reads what /proc, /sys, /etc and the state directories of
// container engines say about a host: who will want which port, which limits
// there are, and how full they are; and it judges port ranges by that.
//
// Every function takes the host's root directory as an [fs.FS], so a collected
// tree of another host, or a literal one in a test, is read like the live one.
// Nothing here opens a socket, enters a namespace or writes a file. What cannot
// be read is told as an [Unread] and never taken for absent.
//
// The functions keep no state and may be called concurrently.
package host
