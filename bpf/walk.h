/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "tcp.h"
#include "udp.h"

/*
 * The walk over the kernel's own socket tables, the truth about which sockets
 * exist. It runs under the socket's lock, or with a reference on the file: no
 * socket can end between the look and the insert. (A TIME_WAIT can; the next
 * audit removes it.) What it finds missing or different is written to its
 * reader, a struct pw_lease_record each.
 */

static __always_inline void write_row(struct seq_file *seq, const struct sock *sk,
				      const struct pw_lease *lease, __u8 from)
{
	struct pw_lease_record r = {};

	r.time = lease->changed;
	__builtin_memcpy(&r.lease, lease, sizeof(r.lease));
	r.jiffies = (__u32)bpf_jiffies64();
	read_net_range(sk, &r.net_low, &r.net_high, 0);
	r.kind = PW_FOUND;
	r.from = from;
	bpf_seq_write(seq, &r, sizeof(r));
}

/* Nobody has bound the port since it was taken: who is on it came by connect(). */
static __always_inline bool connect_only(const struct inet_bind_bucket *bucket)
{
	return bucket && BPF_CORE_READ(bucket, fastreuse) < 0 &&
	       BPF_CORE_READ(bucket, fastreuseport) < 0;
}

/* Which request chose the port, as far as the socket still shows it. */
static __always_inline __u8 found_origin(const struct sock *sk)
{
	const struct inet_connection_sock *icsk = (const void *)sk;
	__u8 locks = sock_userlocks(sk);

	if (locks & SOCK_BINDPORT_LOCK)
		return PW_ORIGIN_BIND;
	if (locks & SOCK_CONNECT_BIND)
		return PW_ORIGIN_CONNECT;
	return connect_only(BPF_CORE_READ(icsk, icsk_bind_hash)) ? PW_ORIGIN_CONNECT :
								   PW_ORIGIN_UNKNOWN;
}

static __always_inline __u8 timewait_origin(const struct inet_timewait_sock *tw)
{
	const struct inet_timewait_sock___bind *marked = (const void *)tw;

	if (bpf_core_field_exists(marked->tw_connect_bind) &&
	    BPF_CORE_READ_BITFIELD_PROBED(marked, tw_connect_bind))
		return PW_ORIGIN_CONNECT;
	return connect_only(BPF_CORE_READ(tw, tw_tb)) ? PW_ORIGIN_CONNECT : PW_ORIGIN_UNKNOWN;
}

static __always_inline void found_lease(const struct sock *sk, __u8 protocol, __u64 cookie,
					struct pw_lease *lease)
{
	read_lease(sk, protocol, lease, 0);
	forget_owner(sk, lease, 0);
	lease->cookie = cookie;
	lease->word.flags |= PW_TOLD;
	lease->word.walk = (__u16)pw_walk;
	lease->born = lease->changed = bpf_ktime_get_boot_ns();
}

/* An accepted socket: its port is that of a listener, and it did not ask for
 * it. The table of listeners comes first in the walk (tcp_seek_last_pos). */
static __always_inline bool is_accepted(const struct sock *sk, __u8 origin)
{
	struct pw_accepted_count *count;
	struct pw_accepted_key key;

	if (origin == PW_ORIGIN_CONNECT || origin == PW_ORIGIN_BIND)
		return 0;
	accepted_key(sk, &key, PROBE(sk, skc_num), 0);
	count = bpf_map_lookup_elem(&pw_walked, &key);
	if (!count)
		return 0;
	count->live++;
	return 1;
}

static __always_inline void note_listener(const struct sock *sk)
{
	struct pw_accepted_count none = {};
	struct pw_accepted_key key;

	accepted_key(sk, &key, PROBE(sk, skc_num), 0);
	bpf_map_update_elem(&pw_walked, &key, &none, BPF_NOEXIST);
}

/* How long a connect() may take to tell its port by itself: a SYN that is not
 * answered is sent again after a second. */
#define PW_CALL_PATIENCE 3000000000ull

/* The entry is there; does it say what the socket says, and was it told? */
static __always_inline void compare_lease(struct seq_file *seq, const struct sock *sk,
					  struct pw_lease *lease, __u8 state)
{
	__u8 from = lease->word.state, told;

	lease->word.walk = (__u16)pw_walk;
	if (lease->word.origin == PW_ORIGIN_UNKNOWN && lease->protocol == IPPROTO_TCP)
		lease->word.origin = found_origin(sk);
	if (from == state && lease->local_port && lease->word.flags & PW_TOLD)
		return;
	if (PROBE(sk, skc_num) == 0)
		return;
	told = lease->word.flags & PW_TOLD;
	if (!told && bpf_ktime_get_boot_ns() - lease->born < PW_CALL_PATIENCE)
		return; /* the call itself will tell */
	read_lease(sk, lease->protocol, lease, 0);
	lease->word.flags |= told;
	lease->word.state = state;
	lease->changed = bpf_ktime_get_boot_ns();
	if (told)
		write_row(seq, sk, lease, from);
	else if (claim(lease, lease->cookie))
		tell_lease(sk, lease, PW_ALLOCATE, 0, 0);
}

static __always_inline void walk_tcp(struct seq_file *seq, struct sock *sk, __u8 state)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct pw_lease *known = find_lease(cookie), lease = {};
	__u8 origin;

	if (state == TCP_LISTEN)
		note_listener(sk);
	if (known)
		return compare_lease(seq, sk, known, state);
	origin = found_origin(sk);
	if (PROBE(sk, skc_num) == 0 || (state != TCP_LISTEN && is_accepted(sk, origin)))
		return;
	found_lease(sk, IPPROTO_TCP, cookie, &lease);
	lease.word.state = state;
	lease.word.origin = origin;
	if (!insert_lease(&lease, BPF_NOEXIST))
		write_row(seq, sk, &lease, 0);
}

static __always_inline bool is_accepted_timewait(const struct inet_timewait_sock *tw)
{
	struct pw_accepted_count *count;
	struct pw_accepted_key key;

	accepted_key((const struct sock *)tw, &key, bpf_ntohs(BPF_CORE_READ(tw, tw_sport)), 0);
	count = bpf_map_lookup_elem(&pw_walked, &key);
	if (!count)
		return 0;
	count->time_wait++;
	return 1;
}

static __always_inline void found_timewait(const struct inet_timewait_sock *tw, __u64 cookie,
					   struct pw_lease *lease)
{
	const struct sock *sk = (const struct sock *)tw;

	lease->family = read_addrs(sk, lease->local_addr, lease->remote_addr, 0);
	lease->protocol = IPPROTO_TCP;
	lease->local_port = bpf_ntohs(BPF_CORE_READ(tw, tw_sport));
	lease->remote_port = bpf_ntohs(PROBE(sk, skc_dport));
	lease->netns = sock_netns(sk, 0);
	lease->device = PROBE(sk, skc_bound_dev_if);
	lease->word.origin = timewait_origin(tw);
	lease->word.flags = sock_flags(sk, 0);
	lease->cookie = cookie;
	lease->born = bpf_ktime_get_boot_ns();
}

/*
 * The full socket's lease, if all news of its end were lost: the mini-socket
 * has its cookie and its ports, and while it waits no other socket can have
 * both.
 */
static __always_inline bool inherit_lease(struct pw_lease *lease)
{
	struct pw_lease *full = find_lease(lease->cookie);

	if (!full || full->local_port != lease->local_port ||
	    full->remote_port != lease->remote_port || full->netns != lease->netns ||
	    __builtin_memcmp(full->remote_addr, lease->remote_addr, sizeof(full->remote_addr)))
		return 0;
	*lease = *full;
	bpf_map_delete_elem(&pw_leases, &lease->cookie);
	return 1;
}

/*
 * The entry is there. The step from FIN_WAIT2 to TIME_WAIT is no event as long as
 * the timer stays in its slot of the wheel, but from it on connect() may take the
 * port over.
 */
static __always_inline void
compare_timewait(struct seq_file *seq, const struct inet_timewait_sock *tw, struct pw_lease *lease)
{
	__u8 substate = lease->word.substate;
	__u32 expires = lease->expires;

	lease->word.walk = (__u16)pw_walk;
	read_timewait(tw, lease);
	if (substate == lease->word.substate && expires == lease->expires)
		return;
	lease->changed = bpf_ktime_get_boot_ns();
	write_row(seq, (const struct sock *)tw, lease, TCP_TIME_WAIT);
}

static __always_inline void walk_timewait(struct seq_file *seq, const struct inet_timewait_sock *tw,
					  __u64 cookie)
{
	__u64 addr = (__u64)tw;
	struct pw_lease *known = bpf_map_lookup_elem(&pw_timewait, &addr), lease = {};

	if (known && known->cookie == cookie)
		return compare_timewait(seq, tw, known);
	found_timewait(tw, cookie, &lease);
	if (!inherit_lease(&lease) && is_accepted_timewait(tw))
		return;
	lease.changed = bpf_ktime_get_boot_ns();
	lease.word.flags |= PW_TOLD;
	lease.word.walk = (__u16)pw_walk;
	read_timewait(tw, &lease);
	insert_timewait(addr, &lease);
	if (!BPF_CORE_READ(tw, tw_timer.entry.pprev) && !bpf_map_delete_elem(&pw_timewait, &addr))
		return;
	write_row(seq, (const struct sock *)tw, &lease, 0);
}

static __always_inline void walk_udp(struct seq_file *seq, struct sock *sk)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct pw_lease *known = find_lease(cookie), lease = {};

	if (known)
		return compare_lease(seq, sk, known, udp_state(sk));
	if (PROBE(sk, skc_num) == 0)
		return;
	found_lease(sk, IPPROTO_UDP, cookie, &lease);
	lease.word.state = udp_state(sk);
	lease.word.origin =
		sock_userlocks(sk) & SOCK_BINDPORT_LOCK ? PW_ORIGIN_BIND : PW_ORIGIN_UNKNOWN;
	if (!insert_lease(&lease, BPF_NOEXIST))
		write_row(seq, sk, &lease, 0);
}

/* May the holder of a descriptor be named the owner? Only where nobody was seen
 * to take the port; of several holders the oldest process, in one walk. */
static __always_inline bool may_name(const struct pw_lease *lease, __u64 start_time)
{
	if (lease->owner_kind == PW_OWNER_KERNEL || lease->confidence == PW_CONFIDENCE_EXACT)
		return 0;
	if (lease->confidence < PW_CONFIDENCE_SNAPSHOT)
		return 1;
	return lease->born >= pw_walk_began && start_time < lease->start_time;
}

static __always_inline void name_holder(struct seq_file *seq, const struct sock *sk,
					struct pw_lease *lease, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	__u64 start_time = BPF_CORE_READ(leader, start_boottime);

	if (!may_name(lease, start_time))
		return;
	lease->start_time = start_time;
	lease->tgid = BPF_CORE_READ(task, tgid);
	lease->uid = 0;
	lease->word.exec = (__u16)BPF_CORE_READ(leader, self_exec_id);
	lease->owner_kind = PW_OWNER_PROCESS;
	lease->confidence = PW_CONFIDENCE_SNAPSHOT;
	BPF_CORE_READ_INTO(&lease->comm, leader, comm);
	lease->changed = bpf_ktime_get_boot_ns();
	write_row(seq, sk, lease, lease->word.state);
}

/* A descriptor: finds the holder of what the socket tables showed, and the
 * sockets that are in no table because they are bound and nothing else. */
static __always_inline void walk_file(struct seq_file *seq, struct sock *sk,
				      struct task_struct *task)
{
	__u8 protocol = (__u8)sock_protocol(sk, 0);
	struct pw_lease *known, lease = {};
	__u64 cookie;

	if (!sock_is_inet(sk) || !watched(sk, protocol, 0) || PROBE(sk, skc_num) == 0)
		return;
	cookie = bpf_get_socket_cookie(sk);
	known = find_lease(cookie);
	if (!known && protocol == IPPROTO_TCP && PROBE(sk, skc_state) == TCP_CLOSE) {
		found_lease(sk, protocol, cookie, &lease);
		lease.word.state = PW_STATE_BOUND;
		lease.word.origin = found_origin(sk);
		if (insert_lease(&lease, BPF_NOEXIST))
			return;
		write_row(seq, sk, &lease, 0);
		known = find_lease(cookie);
	}
	if (!known)
		return;
	known->word.walk = (__u16)pw_walk;
	/* shutdown() of a connection that is being made widens the address too */
	if (known->word.state == PW_STATE_BOUND && move_bound(sk, known))
		write_row(seq, sk, known, PW_STATE_BOUND);
	name_holder(seq, sk, known, task);
}
