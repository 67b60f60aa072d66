// Package launch runs a command as if nobody stood between it and its user: as
// the person who called sudo, on the same terminal and in the same process group,
// with the signals that were meant for it, and with its own exit code. Where it
// can, it runs the command in a control group of its own, by which everything
// that the command starts is told from everything else, daemons included.
package launch
