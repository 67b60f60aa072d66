/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "chain.h"

/*
 * Accepted sockets are counted, not leased: they cost no ephemeral port, and
 * a proxy has a million of them. A socket is taken for accepted if it was seen
 * to leave SYN_RECV, or ends without a lease.
 */

static __always_inline void accepted_key(const struct sock *sk, struct pw_accepted_key *key,
					 __u16 port, bool btf)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->netns = sock_netns(sk, btf);
	key->device = READ(sk, skc_bound_dev_if, btf);
	key->port = port;
}

static __always_inline void count_accepted(const struct sock *sk)
{
	struct pw_accepted_count one = { .live = 1, .changes = 1 }, *count;
	struct pw_accepted_key key;
	long err;

	accepted_key(sk, &key, SOCK(sk, skc_num), 1);
	count = bpf_map_lookup_elem(&pw_accepted, &key);
	if (!count) {
		err = bpf_map_update_elem(&pw_accepted, &key, &one, BPF_NOEXIST);
		if (!err)
			return;
		count = bpf_map_lookup_elem(&pw_accepted, &key);
		if (!count)
			return count_map_error(PW_DROP_ACCEPTED, err);
	}
	__sync_fetch_and_add(&count->live, 1);
	__sync_fetch_and_add(&count->changes, 1);
}

/* An accepted socket turned CLOSE: it is gone, or waits as a mini-socket. */
static __always_inline void end_accepted(const struct sock *sk, int old)
{
	struct pw_accepted_count *count;
	struct pw_accepted_key key;

	if (old == TCP_LISTEN || old == TCP_SYN_SENT || old == TCP_SYN_RECV)
		return;
	accepted_key(sk, &key, sock_sport(sk), 1);
	count = bpf_map_lookup_elem(&pw_accepted, &key);
	if (!count)
		return;
	__sync_fetch_and_add(&count->live, -1);
	__sync_fetch_and_add(&count->changes, 1);
	if ((old == TCP_FIN_WAIT2 || old == TCP_CLOSING) && became_timewait(sk))
		__sync_fetch_and_add(&count->time_wait, 1);
}

/* A mini-socket without a lease ends: it may be a listen port's. */
static __always_inline void end_accepted_timewait(const struct inet_timewait_sock *tw)
{
	struct pw_accepted_count *count;
	struct pw_accepted_key key;

	accepted_key((const struct sock *)tw, &key, bpf_ntohs(BPF_CORE_READ(tw, tw_sport)), 0);
	count = bpf_map_lookup_elem(&pw_accepted, &key);
	if (!count || count->time_wait <= 0)
		return;
	__sync_fetch_and_add(&count->time_wait, -1);
	__sync_fetch_and_add(&count->changes, 1);
}
