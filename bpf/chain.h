/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "sock.h"

/*
 * The hash chain of established sockets, in which a full socket's mini-socket
 * takes its place. Read without a lock, and not far: a mini-socket is put in at
 * the head (inet_twsk_add_node_rcu).
 */

#define CHAIN_MAX 16

struct chain {
	struct hlist_nulls_node *node;
	__u64 hash; /* the kernel's 32 bits */
};

static __always_inline struct hlist_nulls_node *chain_head(const struct inet_hashinfo *info,
							   __u32 hash)
{
	struct inet_ehash_bucket *bucket = (void *)BPF_CORE_READ(info, ehash) +
					   (__u64)(hash & BPF_CORE_READ(info, ehash_mask)) *
						   bpf_core_type_size(struct inet_ehash_bucket);

	return BPF_CORE_READ(bucket, chain.first);
}

/* The hash chain in which the socket is, or was until now. */
static __always_inline void open_chain(const struct sock *sk, struct chain *chain)
{
	chain->hash = SOCK(sk, skc_hash);
	chain->node =
		chain_head(SOCK(sk, skc_net.net)->ipv4.tcp_death_row.hashinfo, (__u32)chain->hash);
}

/* Steps to the next mini-socket with the chain's hash; 0 at the end. The list
 * ends with an odd "pointer" (include/linux/list_nulls.h). */
static __always_inline struct inet_timewait_sock *next_in_chain(struct chain *chain)
{
	struct hlist_nulls_node *node = chain->node;
	struct sock_common *common;
	int i;

	for (i = 0; i < CHAIN_MAX; i++) {
		if (!node || (__u64)node & 1)
			return 0;
		common = (void *)node - bpf_core_field_offset(struct sock_common, skc_nulls_node);
		chain->node = node = BPF_CORE_READ(node, next);
		if (BPF_CORE_READ(common, skc_state) == TCP_TIME_WAIT &&
		    BPF_CORE_READ(common, skc_hash) == chain->hash)
			return (void *)common;
	}
	return 0;
}

/* The mini-socket that inherited the cookie. */
static __always_inline struct inet_timewait_sock *find_timewait(const struct sock *sk, __u64 cookie)
{
	struct inet_timewait_sock *tw;
	struct chain chain;

	open_chain(sk, &chain);
	tw = next_in_chain(&chain);
	if (tw && BPF_CORE_READ(tw, __tw_common.skc_cookie.counter) == (__s64)cookie)
		return tw;
	tw = tw ? next_in_chain(&chain) : 0;
	if (tw && BPF_CORE_READ(tw, __tw_common.skc_cookie.counter) == (__s64)cookie)
		return tw;
	return 0;
}

/* The mini-socket of an accepted socket, which has no cookie of ours: same
 * ports and, as the chain's hash is the same, the same addresses. */
static __always_inline bool became_timewait(const struct sock *sk)
{
	struct inet_timewait_sock *tw;
	struct chain chain;

	open_chain(sk, &chain);
	tw = next_in_chain(&chain);
	return tw && BPF_CORE_READ(tw, __tw_common.skc_dport) == SOCK(sk, skc_dport) &&
	       bpf_ntohs(BPF_CORE_READ(tw, tw_sport)) == sock_sport(sk);
}
