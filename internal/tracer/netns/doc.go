// Package netns finds the network namespaces of a host and runs functions
// inside them.
//
// A namespace is named by its inode number, as in "net:[4026531840]". The
// number is used again once the namespace is gone; [Cookie] is not, and tells
// the old one from the new one.
//
// Nothing outlives a call: between two calls portwatch holds no descriptor,
// mount or thread that refers to a foreign namespace, so a namespace ends when
// its users end, watched or not.
package netns
