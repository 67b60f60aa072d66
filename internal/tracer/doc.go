// Package tracer turns what the kernel does with local ports into events.
//
// # Life of a Tracer
//
// [Open] raises the memory limits, loads the maps, then each program by
// itself, attaches what the kernel permits (see hooktable.go for the one table of
// hooks) and remembers why it refused the rest. From there [Tracer.Read] is
// the only engine: it drains the two rings, merges them, and once a second
// reads the counters of losses and refusals, asks what changed in the
// namespaces, and starts a walk if one is due. Two goroutines help it and
// answer over channels: the walk over the kernel's socket tables, and the
// namer, which reads /proc and the cgroup tree. [Tracer.Close] detaches
// everything; nothing stays in the kernel.
//
// # Truth
//
// The kernel's socket tables decide which sockets exist, the maps decide who
// owns them, the rings are the news. Whatever the rings lose is counted, told
// as an event, and healed by a walk.
package tracer
