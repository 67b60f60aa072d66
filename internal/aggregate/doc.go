// Package aggregate is the ledger: which leases exist, who owns them, how fast
// each owner takes ports and what the kernel refused.
//
// # A function of its events
//
// A [Ledger] is told everything by [event.Event]s and knows no other time than
// theirs. It reads no clock, takes no lock, starts no goroutine, does no input
// or output and never logs, so the same events give the same [Snapshot], byte
// for byte, live or from a recording. One goroutine uses a Ledger; a Snapshot
// is immutable and may be read by any number of them.
//
// # Accounts
//
// What is counted is counted in accounts: one for each (owner, network
// namespace, protocol, family) that was seen. A lease points at its account, so
// that a change of state touches one lease and one account. Owners, namespaces
// and filtered views are sums over accounts ([Holding]); a Snapshot never walks
// the leases.
//
// # Pools
//
// A [Pool] is the ports that one kind of request draws from, and how many of
// them are left. Pools are kept up to date event by event, on structures that
// mirror the kernel's bind buckets; ARCHITECTURE.md draws them.
//
// # Bounds
//
// Leases, owners, namespaces, listed pools, remembered failures and kinds of
// losses are bounded by [Options]. What happens at each bound is said there, and is
// counted in [Counters]: the ledger forgets openly or not at all.
package aggregate
