/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

/*
 * The contract with user space: what lies in the maps and in the rings. No
 * kernel types here. Fields are ordered 8-4-2-1 and padding is explicit, so
 * that -Wpadded can prove that no byte is left to chance.
 *
 * Times are bpf_ktime_get_boot_ns(). Addresses are 16 bytes: an IPv4 address
 * stands in the first four. Ports are in host order.
 */

enum pw_kind {
	PW_ALLOCATE = 1, /* struct pw_lease_record */
	PW_STATE, /* struct pw_change_record, or a lease record if addresses changed */
	PW_TIME_WAIT, /* struct pw_lease_record */
	PW_RELEASE, /* struct pw_change_record */
	PW_FAILURE, /* struct pw_failure_record */
	PW_EXIT, /* struct pw_exit_record */
	PW_FOUND, /* struct pw_lease_record, written by the walk */
	PW_FORK, /* struct pw_fork_record */
	PW_KIND_MAX,
};

enum pw_state {
	PW_STATE_BOUND = 32,
	PW_STATE_UNCONNECTED = 33,
	PW_STATE_CONNECTED = 34,
};

enum pw_origin {
	PW_ORIGIN_UNKNOWN = 0,
	PW_ORIGIN_CONNECT,
	PW_ORIGIN_BIND,
	PW_ORIGIN_BIND0,
	PW_ORIGIN_LISTEN,
	PW_ORIGIN_AUTOBIND,
};

enum pw_cause {
	PW_CAUSE_UNKNOWN = 0,
	PW_CAUSE_CLOSED,
	PW_CAUSE_EXPIRED,
	PW_CAUSE_REUSED,
	PW_CAUSE_KILLED,
	PW_CAUSE_RESET,
	PW_CAUSE_OVERFLOW,
	PW_CAUSE_NETNS,
	PW_CAUSE_DISCONNECTED,
};

enum pw_confidence {
	PW_CONFIDENCE_UNKNOWN = 0,
	PW_CONFIDENCE_CGROUP,
	PW_CONFIDENCE_SNAPSHOT,
	PW_CONFIDENCE_EXACT,
};

enum pw_owner_kind {
	PW_OWNER_UNKNOWN = 0,
	PW_OWNER_PROCESS,
	PW_OWNER_CGROUP,
	PW_OWNER_KERNEL,
};

enum pw_operation {
	PW_BIND = 1,
	PW_CONNECT,
	PW_LISTEN,
	PW_SEND,
};

/* How far a refused call came: user space derives the reason from it. */
enum pw_phase {
	PW_PHASE_NONE = 0, /* it never reached SYN_SENT */
	PW_PHASE_STARTED, /* it had a port, or was still to get one */
	PW_PHASE_NO_PORT, /* it ended without one: the pool is exhausted */
	PW_PHASE_LISTEN, /* listen() on a socket without a port */
	PW_PHASE_PRIVILEGED, /* bind() to a port below ip_unprivileged_port_start */
	PW_PHASE_TOLD, /* of a thread's call: its refusal has been told already */
};

/* Flags of a lease. */
enum pw_flag {
	PW_TOLD = 1, /* user space has been sent the allocation */
	PW_REUSEADDR = 2,
	PW_REUSEPORT = 4,
	PW_V6ONLY = 8,
	PW_AT_EXIT = 16, /* the end of connect() will tell the allocation */
	PW_TIMESTAMPS = 32, /* a TIME_WAIT whose connection used TCP timestamps */
	PW_OVERFLOW = 64, /* there was no room for its TIME_WAIT */
};

/* Counters of struct pw_drops' array; the order is that of loss.go. */
enum pw_drop {
	PW_DROP_RING = 0, /* + enum pw_kind */
	PW_DROP_LEASE = 16, /* + enum pw_map_error, failed inserts into pw_leases */
	PW_DROP_TIMEWAIT = 20,
	PW_DROP_FAILURE = 24,
	PW_DROP_ACCEPTED = 28,
	PW_DROP_THREAD = 32,
	PW_DROP_FOLDED = 36, /* failures counted without their addresses */
	PW_RESCUED_STATE, /* no loss: events that the second program took over */
	PW_RESCUED_DESTROY,
	PW_TIMERS, /* no loss: timers of the whole host that stopped */
	PW_DROP_MAX = 40,
};

enum pw_map_error {
	PW_MAP_FULL = 0, /* E2BIG */
	PW_MAP_NOMEM, /* ENOMEM */
	PW_MAP_BUSY, /* EBUSY */
	PW_MAP_OTHER,
};

/*
 * What may change after the lease was made lives in one word, so that one
 * atomic operation sees or changes all of it.
 */
struct pw_word {
	__u8 state; /* kernel's TCP state, or enum pw_state */
	__u8 substate; /* of a mini-socket: 5 FIN_WAIT2, 6 TIME_WAIT */
	__u8 origin; /* enum pw_origin */
	__u8 flags; /* enum pw_flag */
	__u16 walk; /* number of the last walk that met the socket */
	__u16 exec; /* the owner's execs, modulo 65536 */
};

/* One local port held by one socket. */
struct pw_lease {
	struct pw_word word;
	__u64 cookie;
	__u64 born;
	__u64 changed; /* when anything in here last changed */
	__u64 start_time; /* of the owner, boot clock */
	__u64 cgroup_id; /* of the owner; of the socket where only that is known */
	__u8 local_addr[16];
	__u8 remote_addr[16];
	__u8 comm[16]; /* thread group leader's */
	__u32 expires; /* low half of the jiffies at which a TIME_WAIT ends; until the
			  allocation is told, the thread that connects */
	__u32 tgid;
	__u32 uid;
	__u32 netns;
	__u32 device; /* interface index */
	__u16 local_port; /* 0 while the kernel is still looking for one */
	__u16 remote_port;
	__u16 range_low; /* IP_LOCAL_PORT_RANGE, 0 if none */
	__u16 range_high;
	__u8 family; /* 4 or 6, of the addresses */
	__u8 protocol; /* IPPROTO_* */
	__u8 confidence; /* enum pw_confidence */
	__u8 owner_kind; /* enum pw_owner_kind */
};

struct pw_lease_record {
	__u64 time;
	__u64 sock_cgroup;
	__u64 search_ns; /* 0 if not measured */
	__u64 tw; /* address of the mini-socket of a TIME_WAIT */
	struct pw_lease lease;
	__u8 thread_comm[16];
	__u32 jiffies; /* low half, at `time` */
	__u32 tid;
	__u16 net_low; /* the namespace's range as the kernel used it */
	__u16 net_high;
	__u8 kind;
	__u8 from; /* state before */
	__u8 pad[2];
};

struct pw_change_record {
	__u64 time;
	__u64 cookie;
	__u64 born;
	__u64 successor_cookie;
	__u64 successor_born;
	__u32 netns;
	__u16 local_port;
	__u8 kind;
	__u8 from;
	__u8 state;
	__u8 cause;
	__u8 early; /* a TIME_WAIT's timer stopped before its time: ended or renewed? */
	__u8 pad[5];
	__u64 tw; /* address of the mini-socket, if early */
};

/* One kind of refusal: the key under which it is counted. */
struct pw_failure_key {
	__u64 start_time;
	__u32 tgid;
	__u32 netns;
	__u32 device;
	__u16 errno_;
	__u16 local_port; /* asked for */
	__u16 remote_port;
	__u8 operation;
	__u8 protocol;
	__u8 family;
	__u8 phase; /* enum pw_phase */
	__u8 unspecified; /* 1: no local address was named */
	__u8 folded; /* 1: addresses are not kept apart */
	__u8 local_addr[16];
	__u8 remote_addr[16];
	__u16 range_low; /* the socket's own: a process may have sockets with several */
	__u16 range_high;
	__u16 exec; /* a process that execs is another owner */
	__u8 pad[2];
};

struct pw_failure {
	__u64 count;
	__u64 first;
	__u64 last;
	__u64 cgroup_id;
	__u8 comm[16];
	__u32 uid;
	__u16 net_low;
	__u16 net_high;
	__u8 owner_kind;
	__u8 pad[7];
};

struct pw_failure_record {
	__u64 time;
	struct pw_failure_key key;
	struct pw_failure value; /* count: the running number of this refusal */
	__u8 thread_comm[16];
	__u32 tid;
	__u8 kind;
	__u8 pad[3];
};

struct pw_exit_record {
	__u64 time;
	__u64 start_time;
	__u32 tgid;
	__u8 kind;
	__u8 pad[3];
};

/* A process, as it is when it forks or is forked. */
struct pw_task {
	__u64 start_time; /* boot clock */
	__u32 tgid;
	__u16 exec; /* its execs, modulo 65536 */
	__u16 pad;
};

struct pw_fork_record {
	__u64 time;
	struct pw_task parent;
	struct pw_task child;
	__u8 kind;
	__u8 pad[7];
};

/* Accepted sockets of one listen port. */
struct pw_accepted_key {
	__u32 netns;
	__u32 device;
	__u16 port;
	__u8 pad[6];
};

struct pw_accepted_count {
	__s64 live;
	__s64 time_wait;
	__u64 changes; /* lets the walk see that it was overtaken */
};

/* What a thread is in the middle of. */
struct pw_call {
	__u64 sk; /* address of the socket; 0: nothing */
	__u64 cookie;
	__u64 search_ns; /* how long the kernel looked for a port; mode full */
	__u8 local_addr[16];
	__u8 remote_addr[16];
	__u32 netns;
	__u32 device;
	__u16 local_port; /* bound before the call, else 0 */
	__u16 remote_port;
	__u8 family;
	__u8 phase; /* enum pw_phase */
	__u8 pad[2];
};

/* Rate of the alarms of one process. */
struct pw_rate {
	__u64 second;
	__u32 first; /* alarms for a key seen for the first time */
	__u32 again;
};

/* The event that a CPU's first program began last. */
struct pw_event {
	__u64 sk;
	__u64 state;
};

/* Asks pw_check_tw what became of a TIME_WAIT whose timer stopped early. */
struct pw_check {
	__u64 tw;
	__u64 cookie;
	__u64 dead; /* answer: 1 if it has ended and nobody told */
};

/* A socket that a look found. */
struct pw_sighting {
	struct pw_lease lease; /* changed: when it was seen */
	__u64 inode; /* of the socket's file, 0 if it has none */
	__u32 jiffies; /* low half, at lease.changed */
	__u32 uid; /* whose bind() takes the socket to be */
	__u32 bucket_uid;
	__u32 l3mdev; /* of the bucket: the VRF's interface index, 0 for none */
	__u8 bucket_addr[16]; /* whose sharers bind() lets on the port unseen */
	__s8 fastreuse; /* of the bucket, as inet_csk_get_port() keeps them */
	__s8 fastreuseport;
	__u8 bucket_family; /* of bucket_addr: 4 or 6 */
	__u8 bucket_v6only;
	__u8 has_bucket; /* all about the bucket is known */
	__u8 by_file; /* a descriptor led to it: the lease has the process */
	__u8 pad[2];
};

/* A connection that carries no data. */
struct pw_idle {
	__u64 cookie;
	__u32 jiffies; /* since it last did */
	__u32 pad;
};

struct pw_clock {
	__u64 boot_ns;
	__u64 jiffies;
};

_Static_assert(sizeof(struct pw_word) == 8, "one atomic word");
_Static_assert(sizeof(struct pw_lease) == 128, "a hash element of 192 bytes with its header");
