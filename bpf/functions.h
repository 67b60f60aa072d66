/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "exits.h"

/*
 * Mode full: the kernel's own functions, at their entry and exit. They see every
 * caller, io_uring, 32-bit programs and the kernel itself among them, and no
 * other system call pays for them. All run in the process context of the caller,
 * but those on mini-sockets.
 *
 * Who asks is noted by the cgroup programs, as in mode tracepoint: the kernel
 * skips a tracing program that is already running on the CPU, and where it can be
 * preempted that befalls process context too; cgroup programs it never skips.
 *
 * An inner function sees each socket whoever opens it, an outer one also what is
 * refused before the inner one is reached. The inner one tells, and leaves a note
 * for the outer one.
 */

/* The refusal that an outer function will see has been told. */
static __always_inline void note_told(const struct sock *sk)
{
	open_call(sk, PW_PHASE_TOLD);
}

/* The outer function takes the note away. */
static __always_inline bool was_told(const struct sock *sk)
{
	struct pw_call *call = call_on(sk);

	if (!call)
		return 0;
	call->sk = 0;
	return call->phase == PW_PHASE_TOLD;
}

/* connect() */

static __always_inline void refuse_search(struct sock *sk, long ret)
{
	struct refusal f;

	note_told(sk);
	if (!is_refusal(ret))
		return;
	init_refusal(&f, sk, PW_CONNECT, ret);
	f.key.family = read_addrs(sk, f.key.local_addr, f.key.remote_addr, 1);
	f.key.local_port = SOCK(sk, skc_num);
	f.key.remote_port = bpf_ntohs(SOCK(sk, skc_dport));
	f.key.phase = f.key.local_port ? PW_PHASE_STARTED : PW_PHASE_NO_PORT;
	f.key.unspecified = 0;
	refuse(&f);
}

/* The search for a port is over, the SYN not yet sent: the end of
 * inet_hash_connect() and inet6_hash_connect(). */
static __always_inline void on_hash_connect(struct sock *sk, long ret)
{
	__u64 now = bpf_ktime_get_boot_ns(), cookie = sock_cookie(sk, 1);
	struct pw_lease *lease;
	struct pw_call *call;

	if (!watched(sk, sock_protocol(sk, 1), 1))
		return;
	if (ret)
		return refuse_search(sk, ret);
	lease = find_lease(cookie);
	if (!lease || lease->local_port)
		return; /* bound before */
	if (!take_port(sk, lease, 1))
		return;
	if (lease->word.flags & PW_AT_EXIT) {
		call = open_call(sk, PW_PHASE_STARTED);
		if (call)
			call->search_ns = now - lease->changed;
	} else if (claim(lease, cookie)) {
		tell_allocation(sk, lease, now - lease->changed);
	}
}

/* connect() is over: the end of __inet_stream_connect() and inet_dgram_connect(). */
static __always_inline void on_connect_over(const struct sock *sk, const void *addr, int len,
					    long ret)
{
	struct args args = { .addr = (__u64)addr, .len = len, .copied = 1 };
	struct pw_call *call;

	on_connect_end(sk, &args, ret);
	call = call_on(sk);
	if (call)
		call->sk = 0;
}

/* bind() */

/* bind() got a port. post_bind has told, but not of bpf_bind(), and not by which
 * request if it came through io_uring. */
static __always_inline void on_port_bound(struct sock *sk, const struct args *args)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct pw_lease *lease = find_lease(cookie);
	__u8 origin = bind_origin(args);

	if (!lease || lease->confidence != PW_CONFIDENCE_EXACT)
		return on_bound(sk, cookie, origin);
	if (lease->word.origin != PW_ORIGIN_UNKNOWN)
		return;
	lease->word.origin = origin;
	tell_allocation(sk, lease, 0);
}

/* The end of __inet_bind() and __inet6_bind(). Up to 5.15 a taken port is +1. */
static __always_inline void on_bind(struct sock *sk, const void *addr, int len, long ret)
{
	struct args args = { .addr = (__u64)addr, .len = len, .copied = 1 };

	if (!watched(sk, sock_protocol(sk, 1), 1))
		return;
	if (!ret)
		return SOCK(sk, skc_num) ? on_port_bound(sk, &args) : (void)0;
	note_told(sk);
	if (ret == -EPERM)
		undo_bind(sk);
	refuse_bind(sk, &args, ret < 0 ? ret : -EADDRINUSE);
}

/* The end of inet_bind() and inet6_bind(). */
static __always_inline void on_bind_end(const struct sock *sk, const void *addr, int len, long ret)
{
	struct args args = { .addr = (__u64)addr, .len = len, .copied = 1 };

	if (ret && !was_told(sk) && watched(sk, sock_protocol(sk, 0), 0))
		refuse_bind(sk, &args, ret);
}

/* listen() */

/* The end of inet_csk_get_port(), which bind() and listen() call: state LISTEN
 * tells the second. */
static __always_inline void on_get_port(struct sock *sk, long ret)
{
	struct pw_lease *lease;
	__u64 cookie;

	if (SOCK(sk, skc_state) != TCP_LISTEN || !watched(sk, sock_protocol(sk, 1), 1))
		return;
	if (ret) {
		note_told(sk);
		return refuse_listen(sk, ret < 0 ? ret : -EADDRINUSE);
	}
	cookie = sock_cookie(sk, 1);
	lease = find_lease(cookie);
	if (!lease || lease->local_port)
		return;
	lease->local_port = SOCK(sk, skc_num);
	if (claim(lease, cookie))
		tell_allocation(sk, lease, 0);
}

/* The end of inet_listen(). */
static __always_inline void on_listen_end(const struct sock *sk, long ret)
{
	if (ret && !was_told(sk) && watched(sk, sock_protocol(sk, 0), 0))
		refuse_listen(sk, ret);
}

/* UDP */

/*
 * The kernel chose a port because there was none: the end of inet_autobind(). In
 * connect() the lease is there, without a port, and the end of connect() tells.
 */
static __always_inline void on_autobind(struct sock *sk, long ret)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct pw_lease lease = {}, *known;
	struct refusal f;
	struct who who;

	known = find_lease(cookie);
	if (!watched(sk, sock_protocol(sk, 1), 1) || (known && !known->local_port))
		return;
	if (ret) {
		init_refusal(&f, sk, PW_SEND, ret);
		return refuse(&f);
	}
	read_who(&who);
	set_owner(&lease, &who);
	read_lease(sk, IPPROTO_UDP, &lease, 1);
	lease.cookie = cookie;
	lease.word.state = udp_state(sk);
	lease.word.origin = PW_ORIGIN_AUTOBIND;
	lease.word.flags |= PW_TOLD;
	lease.changed = bpf_ktime_get_boot_ns();
	lease.born = birth(&lease, known);
	if (!insert_lease(&lease, BPF_ANY))
		tell_allocation(sk, &lease, 0);
}

/* The entry of udp_lib_unhash(): the port is given back. When connect(AF_UNSPEC)
 * does it, the socket lives, and on_udp_disconnect() tells. */
static __always_inline void on_udp_unhash(const struct sock *sk)
{
	if (SOCK(sk, skc_num) && sock_dead(sk))
		on_udp_release(sock_cookie(sk, 1));
}

/* The end of __udp_disconnect(): the address is widened, and what the kernel
 * chose itself is given back, which 7.2 does past udp_lib_unhash(). */
static __always_inline void on_udp_disconnect(const struct sock *sk)
{
	struct pw_lease *lease = find_lease(sock_cookie(sk, 1));

	if (lease && lease->local_port)
		end_udp_connect(sk, lease, 0);
}

/* TIME_WAIT, in any context. */

/* The end of inet_twsk_alloc(): without room the port is free at once. */
static __always_inline void on_timewait_refused(const struct sock *sk)
{
	struct pw_lease *lease = find_lease(sock_cookie(sk, 1));

	if (lease)
		__sync_fetch_and_or(word_of(lease), (__u64)PW_OVERFLOW << 24);
}
