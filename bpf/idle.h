/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "sock.h"

/*
 * Which connections carry no data: no event says so, but the kernel remembers of
 * each when it last sent data (lsndtime) and when it last received some
 * (lrcvtime); both begin with the handshake. An audit asks, and only what has been
 * idle for long is written.
 */

static __always_inline bool carries_data(__u8 state)
{
	return state != TCP_LISTEN && state != TCP_CLOSE && state != TCP_SYN_SENT &&
	       state != TCP_SYN_RECV;
}

static __always_inline void see_idle(struct seq_file *seq, struct sock_common *common,
				     struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = (const void *)tp;
	struct pw_idle row = {};
	__u32 now = (__u32)bpf_jiffies64(), received;

	if (!carries_data(common->skc_state))
		return;
	row.jiffies = now - BPF_CORE_READ(tp, lsndtime);
	received = now - BPF_CORE_READ(icsk, icsk_ack.lrcvtime);
	if (received < row.jiffies)
		row.jiffies = received;
	if (row.jiffies < pw_idle_after)
		return;
	row.cookie = bpf_get_socket_cookie(common);
	bpf_seq_write(seq, &row, sizeof(row));
}
