/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "accepted.h"
#include "call.h"

/*
 * TIME_WAIT. Its birth is no event: tcp_time_wait() puts the mini-socket into
 * the hash chain and then closes the full socket, so at the CLOSE event the
 * chain tells (checked on 5.10 to 7.2). Its death is the cancelling of its
 * timer, unless the same timer is started again at once: then it was renewed.
 */

/* What a mini-socket says of itself. */
static __always_inline void read_timewait(const struct inet_timewait_sock *tw,
					  struct pw_lease *lease)
{
	const struct tcp_timewait_sock *tcp = (const void *)tw;

	lease->word.state = TCP_TIME_WAIT;
	lease->word.substate = BPF_CORE_READ(tw, tw_substate);
	if (BPF_CORE_READ(tcp, tw_ts_recent_stamp))
		lease->word.flags |= PW_TIMESTAMPS;
	lease->expires = (__u32)BPF_CORE_READ(tw, tw_timer.expires);
}

/* A birth, or a renewal: then `from` is TIME_WAIT. */
static __always_inline void tell_timewait(const struct pw_lease *lease, __u64 tw, __u8 from)
{
	struct pw_lease_record *r = reserve(pw_news, pw_lease_record, PW_TIME_WAIT);

	if (!r)
		return;
	__builtin_memset(r, 0, sizeof(*r));
	r->time = lease->changed;
	r->tw = tw;
	__builtin_memcpy(&r->lease, lease, sizeof(r->lease));
	r->jiffies = (__u32)bpf_jiffies64();
	r->kind = PW_TIME_WAIT;
	r->from = from;
	submit_news(r);
}

static __always_inline void tell_death(const struct pw_lease *lease, __u8 cause,
				       const struct pw_lease *successor, __u64 early_tw)
{
	struct pw_change_record *r = reserve(pw_news, pw_change_record, PW_RELEASE);

	if (!r)
		return;
	__builtin_memset(r, 0, sizeof(*r));
	r->time = bpf_ktime_get_boot_ns();
	r->cookie = lease->cookie;
	r->born = lease->born;
	r->netns = lease->netns;
	r->local_port = lease->local_port;
	r->kind = PW_RELEASE;
	r->from = r->state = TCP_TIME_WAIT;
	r->cause = cause;
	r->early = early_tw != 0;
	r->tw = early_tw;
	if (successor) {
		r->successor_cookie = successor->cookie;
		r->successor_born = successor->born;
	}
	submit_news(r);
}

/*
 * Enters a mini-socket. Its memory may have been that of another one, which was
 * killed, and of whose end the reader has not asked yet: nobody can any more, so
 * it is told here. It may have been left by the same socket: the lease decides,
 * not the cookie alone.
 */
static __always_inline void insert_timewait(__u64 tw, struct pw_lease *lease)
{
	long err = bpf_map_update_elem(&pw_timewait, &tw, lease, BPF_NOEXIST);
	struct pw_lease *before;

	if (!err)
		return;
	before = bpf_map_lookup_elem(&pw_timewait, &tw);
	if (before && (before->cookie != lease->cookie || before->born != lease->born))
		tell_death(before, PW_CAUSE_KILLED, 0, 0);
	count_map_error(PW_DROP_TIMEWAIT, bpf_map_update_elem(&pw_timewait, &tw, lease, BPF_ANY));
}

/*
 * A mini-socket waits anew: a stray segment came, or the peer's FIN, for which
 * sub-state FIN_WAIT2 waits. Tells it if it says something new.
 */
static __always_inline void renew_timewait(const struct inet_timewait_sock *tw)
{
	__u64 addr = (__u64)tw;
	struct pw_lease *lease = bpf_map_lookup_elem(&pw_timewait, &addr);
	__u32 expires = (__u32)BPF_CORE_READ(tw, tw_timer.expires);
	__u8 substate = BPF_CORE_READ(tw, tw_substate);

	if (!lease || (lease->expires == expires && lease->word.substate == substate))
		return;
	lease->expires = expires;
	lease->word.substate = substate;
	lease->changed = bpf_ktime_get_boot_ns();
	tell_timewait(lease, addr, TCP_TIME_WAIT);
}

/*
 * The full socket ends, its mini-socket keeps the port. A socket that bound
 * its port by number and is still open keeps it too: from here on there are
 * two leases. The mini-socket may be renewed or killed on another CPU before its
 * entry is there: the first shows in it, a timer that is not pending proves the
 * second.
 */
static __always_inline void bear_timewait(const struct sock *sk, struct pw_lease *full,
					  const struct inet_timewait_sock *tw, __u8 from,
					  bool keeps_port)
{
	struct pw_lease lease = *full;
	__u64 addr = (__u64)tw;

	read_timewait(tw, &lease);
	lease.changed = bpf_ktime_get_boot_ns();
	lease.word.flags |= PW_TOLD;
	if (keeps_port) {
		lease.born = lease.changed;
		change_state(full, from, PW_STATE_BOUND);
	}
	insert_timewait(addr, &lease);
	tell_timewait(&lease, addr, from);
	if (!keeps_port)
		bpf_map_delete_elem(&pw_leases, &lease.cookie);
	if (pw_full)
		renew_timewait(tw);
	if (!BPF_CORE_READ(tw, tw_timer.entry.pprev) && !bpf_map_delete_elem(&pw_timewait, &addr))
		tell_death(&lease, PW_CAUSE_KILLED, 0, 0);
}

/* list_del_rcu() has been at the namespace: it is being torn down (cleanup_net;
 * LIST_POISON2 in include/linux/poison.h). */
static __always_inline bool namespace_dies(const struct inet_timewait_sock *tw)
{
	struct net *net = BPF_CORE_READ(tw, __tw_common.skc_net.net);

	return (__u64)BPF_CORE_READ(net, list.prev) >> 48 == 0xdead;
}

/*
 * The connect() that takes a TIME_WAIT over puts its socket into the chain with
 * the very same tuple before it ends the mini-socket (__inet_check_established,
 * unchanged from 5.10 to 7.2): so the successor stands there, whoever it is.
 */
static __always_inline struct pw_lease *find_successor(const struct inet_timewait_sock *tw)
{
	struct inet_hashinfo *info =
		BPF_CORE_READ(tw, __tw_common.skc_net.net, ipv4.tcp_death_row.hashinfo);
	__u32 hash = BPF_CORE_READ(tw, __tw_common.skc_hash);
	__u16 dport = BPF_CORE_READ(tw, __tw_common.skc_dport);
	__u16 port = bpf_ntohs(BPF_CORE_READ(tw, tw_sport));
	struct hlist_nulls_node *node = chain_head(info, hash);
	struct sock_common *common;
	int i;

	for (i = 0; i < CHAIN_MAX; i++) {
		if (!node || (__u64)node & 1)
			return 0;
		common = (void *)node - bpf_core_field_offset(struct sock_common, skc_nulls_node);
		if (BPF_CORE_READ(common, skc_state) == TCP_SYN_SENT &&
		    BPF_CORE_READ(common, skc_hash) == hash &&
		    BPF_CORE_READ(common, skc_dport) == dport &&
		    BPF_CORE_READ(common, skc_num) == port)
			return find_lease(BPF_CORE_READ(common, skc_cookie.counter));
		node = BPF_CORE_READ(node, next);
	}
	return 0;
}

/*
 * A TIME_WAIT ends: inet_twsk_kill(), in mode full. In mode tracepoint its timer
 * is taken off the wheel. At its time, or with a successor, or with its
 * namespace, that is the end. Before its time it is the end or a renewal, and
 * the two cannot be told apart yet: __mod_timer() starts the timer again right
 * after this, inet_twsk_deschedule_put() does not. The reader asks
 * check_timewait() when it gets the record.
 */
static __always_inline void end_timewait(const struct inet_timewait_sock *tw)
{
	__u64 addr = (__u64)tw;
	struct pw_lease *lease = bpf_map_lookup_elem(&pw_timewait, &addr), copy;
	struct pw_lease *successor = 0;
	__u8 cause = PW_CAUSE_EXPIRED;

	if (!lease)
		return pw_full ? end_accepted_timewait(tw) : (void)0;
	if ((__s32)((__u32)bpf_jiffies64() - lease->expires) < 0) {
		successor = find_successor(tw);
		cause = successor	   ? PW_CAUSE_REUSED :
			namespace_dies(tw) ? PW_CAUSE_NETNS :
					     PW_CAUSE_KILLED;
	}
	if (!pw_full && cause == PW_CAUSE_KILLED)
		return tell_death(lease, cause, 0, addr);
	copy = *lease;
	if (!bpf_map_delete_elem(&pw_timewait, &addr))
		tell_death(&copy, cause, successor, 0);
}

/*
 * Is there a mini-socket at the address, waiting, with the cookie? Its memory
 * may be another mini-socket's by now, or no mini-socket's at all: slab pages are
 * given back (seen on 6.18, with the cookie still in place). So everything that
 * makes it one is looked at; timer_shutdown() clears the function at the end
 * (6.2).
 */
static __always_inline bool still_waits(const struct inet_timewait_sock *tw, __u64 cookie)
{
	__u64 handler = (__u64)BPF_CORE_READ(tw, tw_timer.function);

	return BPF_CORE_READ(tw, tw_timer.entry.pprev) &&
	       BPF_CORE_READ(tw, __tw_common.skc_state) == TCP_TIME_WAIT && handler &&
	       (!pw_tw_handler || handler == pw_tw_handler) &&
	       (__u64)BPF_CORE_READ(tw, __tw_common.skc_cookie.counter) == cookie;
}

/* Did a timer that stopped early start again? */
static __always_inline void check_timewait(struct pw_check *check)
{
	__u64 addr = check->tw, cookie = check->cookie;
	const struct inet_timewait_sock *tw = (const void *)addr;
	struct pw_lease *lease = bpf_map_lookup_elem(&pw_timewait, &addr);

	check->dead = 0;
	if (!lease || lease->cookie != cookie)
		return; /* its end has been told, see insert_timewait() */
	if (!still_waits(tw, cookie)) {
		check->dead = bpf_map_delete_elem(&pw_timewait, &addr) == 0;
		return;
	}
	read_timewait(tw, lease);
	lease->changed = bpf_ktime_get_boot_ns();
	tell_timewait(lease, addr, TCP_TIME_WAIT);
}
