// Package verify compares the ledger with the kernel's own list of sockets.
//
// The list comes from sock_diag, which nothing of the ledger comes from, so the
// two are independent witnesses. Neither is a picture of one moment: sockets
// change while they are listed, and the ledger learns of it later. A difference
// therefore counts only if two passes, at least a second apart, show the same
// socket to differ in the same way, and no event spoke of it from the beginning
// of the first to the end of the second. What changes faster is in flight: it is
// counted, and that is all that can be said of it. There is no other tolerance.
//
// A list is compared when the ledger is told the first news from after its end,
// so that little is in flight under any load, and judged at the next tick, which
// says that nothing from before is still to come.
package verify
