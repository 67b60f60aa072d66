// Package event is portwatch's vocabulary: what happened to a local port, to
// which socket, on whose behalf. It depends on the standard library alone, so
// that the tracer, a recording and the ledger speak the same words without
// knowing each other.
//
// # Order and time
//
// Events of one socket arrive in the order in which the kernel made them.
// Between sockets only [Time] orders, and it may run back by about a
// millisecond. Every time is the boot clock; wall time exists at the edges
// only (see [Start]).
//
// # Absent is not zero
//
// A fact that was not seen is absent: an invalid address, [StateUnknown],
// [OriginUnknown], an [Owner] of kind [OwnerUnknown]. Nothing in this package
// stands for a guess.
package event
