/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "owner.h"
#include "sock.h"

/*
 * The life of a lease in pw_leases.
 *
 * A lease is written under its socket's lock (state changes, post_bind), or in
 * the one system call that the socket is in. The only place where two may meet
 * is the allocation of a connecting socket: the end of connect() and the
 * arrival of the SYN-ACK. Whoever sets PW_TOLD first tells it, after that it
 * reads the state; the other has written the state before it looks at PW_TOLD.
 * So whichever record stands first in the ring, the last one has the state.
 */

static __always_inline __u64 *word_of(struct pw_lease *lease)
{
	return (__u64 *)&lease->word;
}

static __always_inline struct pw_lease *find_lease(__u64 cookie)
{
	return cookie ? bpf_map_lookup_elem(&pw_leases, &cookie) : 0;
}

/*
 * Sets PW_TOLD; true if it was not set before. The map may hand a deleted
 * element's memory to another lease at once, and connect()'s end holds no
 * lock: a cookie that changed under us is counted as a loss, which makes user
 * space read everything anew.
 */
static __always_inline bool claim(struct pw_lease *lease, __u64 cookie)
{
	__u64 told = (__u64)PW_TOLD << 24;

	if (__sync_fetch_and_or(word_of(lease), told) & told)
		return 0;
	if (lease->cookie == cookie)
		return 1;
	count_drop(PW_DROP_LEASE + PW_MAP_OTHER);
	return 0;
}

static __always_inline void fill_lease_record(struct pw_lease_record *r, const struct sock *sk,
					      const struct pw_lease *lease, __u64 now, bool btf)
{
	r->time = now;
	r->sock_cgroup = sock_cgroup(sk, btf);
	r->search_ns = 0;
	r->tw = 0;
	__builtin_memcpy(&r->lease, lease, sizeof(r->lease));
	r->jiffies = (__u32)bpf_jiffies64();
	read_net_range(sk, &r->net_low, &r->net_high, btf);
	r->pad[0] = r->pad[1] = 0;
}

/* Tells the whole lease, as it changed last. Any context: names no thread. */
static __always_inline void tell_lease(const struct sock *sk, const struct pw_lease *lease,
				       __u8 kind, __u8 from, bool btf)
{
	struct pw_lease_record *r = reserve(pw_news, pw_lease_record, kind);

	if (!r)
		return;
	fill_lease_record(r, sk, lease, lease->changed, btf);
	__builtin_memset(r->thread_comm, 0, sizeof(r->thread_comm));
	r->tid = 0;
	r->kind = kind;
	r->from = from;
	submit_news(r);
}

/* Tells an allocation in the system call that made it. search_ns is how long
 * the kernel looked for the port, 0 if that was not measured. */
static __always_inline void tell_allocation(const struct sock *sk, const struct pw_lease *lease,
					    __u64 search_ns)
{
	struct pw_lease_record *r = reserve(pw_news, pw_lease_record, PW_ALLOCATE);

	if (!r)
		return;
	fill_lease_record(r, sk, lease, bpf_ktime_get_boot_ns(), 0);
	r->search_ns = search_ns;
	read_thread_comm(r->thread_comm);
	r->tid = current_tid();
	r->kind = PW_ALLOCATE;
	r->from = 0;
	submit_news(r);
}

/* Tells a change of which user space knows the rest. */
static __always_inline void tell_change(const struct pw_lease *lease, __u8 kind, __u8 from,
					__u8 cause)
{
	struct pw_change_record *r = reserve(pw_news, pw_change_record, kind);

	if (!r)
		return;
	__builtin_memset(r, 0, sizeof(*r));
	r->time = lease->changed;
	r->cookie = lease->cookie;
	r->born = lease->born;
	r->netns = lease->netns;
	r->local_port = lease->local_port;
	r->kind = kind;
	r->from = from;
	r->state = lease->word.state;
	r->cause = cause;
	submit_news(r);
}

/* Reads anew what the socket knows; what we noted of the telling stays. */
static __always_inline void fill_lease(const struct sock *sk, __u8 protocol, struct pw_lease *lease,
				       bool btf)
{
	__u8 noted = lease->word.flags & (PW_TOLD | PW_AT_EXIT);

	read_lease(sk, protocol, lease, btf);
	lease->word.flags |= noted;
}

/*
 * The port of a socket that connects or listens is known now, if this returns
 * true. The lease was empty but for its owner if the event that should have
 * filled it was missed.
 */
static __always_inline bool take_port(const struct sock *sk, struct pw_lease *lease, bool btf)
{
	if (!lease->netns)
		fill_lease(sk, lease->protocol, lease, btf);
	if (!lease->local_port)
		lease->local_port = sock_sport(sk);
	return lease->local_port != 0;
}

static __always_inline long insert_lease(struct pw_lease *lease, __u64 flags)
{
	long err = bpf_map_update_elem(&pw_leases, &lease->cookie, lease, flags);

	count_map_error(PW_DROP_LEASE, err);
	if (err)
		pw_armed = 0;
	return err;
}

static __always_inline void remove_lease(struct pw_lease *lease, __u8 from, __u8 cause)
{
	__u64 cookie = lease->cookie;

	lease->changed = bpf_ktime_get_boot_ns();
	tell_change(lease, PW_RELEASE, from, cause);
	bpf_map_delete_elem(&pw_leases, &cookie);
}

/* Changes the state, and tells it unless the allocation is still to be told:
 * that will carry the state with it. The barrier is the other half of claim(). */
static __always_inline void change_state(struct pw_lease *lease, __u8 from, __u8 to)
{
	lease->word.state = to;
	lease->changed = bpf_ktime_get_boot_ns();
	if (__sync_fetch_and_or(word_of(lease), 0) & (__u64)PW_TOLD << 24)
		tell_change(lease, PW_STATE, from, PW_CAUSE_UNKNOWN);
}

/*
 * connect() failed, or a connection was ended, on a socket that keeps its port:
 * only after the state has changed does the kernel widen its address again.
 * Returns true if it did.
 */
static __always_inline bool move_bound(const struct sock *sk, struct pw_lease *lease)
{
	__u8 local[16], family = read_local_addr(sk, local);

	if (family == lease->family && !__builtin_memcmp(local, lease->local_addr, sizeof(local)))
		return 0;
	lease->family = family;
	__builtin_memcpy(lease->local_addr, local, sizeof(local));
	lease->remote_port = 0;
	lease->changed = bpf_ktime_get_boot_ns();
	return 1;
}
