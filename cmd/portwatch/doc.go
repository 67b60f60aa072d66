// Portwatch sees every local port that the kernel gives, keeps in TIME_WAIT,
// takes back or refuses, and names the owner.
//
// This package is the command: it alone knows all others. A verb has a file of
// its own, in which a cobra command is made and its options are turned into a
// view; pipeline.go moves events from the kernel through the ledger to that
// view. There is no package-level state: what a verb needs of the outside is
// in [app].
package main
