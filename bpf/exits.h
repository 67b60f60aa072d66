/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "call.h"
#include "tcp.h"
#include "udp.h"

/* The ends of bind, connect, listen and send: what the kernel answered. Mode
 * tracepoint hooks the system calls, mode full the functions behind them. */

static __always_inline struct sock *called_sock(const struct args *args)
{
	struct sock *sk = sock_of_fd(args->fd);

	return sk && sock_is_inet(sk) ? sk : 0;
}

/* The socket of a refused call, if it is one that we watch. */
static __always_inline struct sock *refused_sock(const struct args *args)
{
	struct sock *sk = called_sock(args);

	return sk && watched(sk, sock_protocol(sk, 0), 0) ? sk : 0;
}

static __always_inline int first_unprivileged(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ipv4.sysctl_ip_prot_sock);
}

/* Puts what was asked for into the local or the remote half of a refusal. */
static __always_inline void ask_local(struct refusal *f, const struct sock *sk,
				      const struct args *args)
{
	struct asked asked;
	__u8 family;

	if (!read_asked(args, &asked))
		return;
	family = asked_addr(&asked, f->key.local_addr);
	if (!family)
		return;
	f->key.family = family;
	f->key.local_port = bpf_ntohs(asked.port);
	f->key.unspecified = 0;
	if (f->key.local_port && f->key.local_port < first_unprivileged(sk))
		f->key.phase = PW_PHASE_PRIVILEGED;
}

static __always_inline void ask_remote(struct refusal *f, const struct args *args)
{
	struct asked asked;
	__u8 family;

	if (!read_asked(args, &asked))
		return;
	family = asked_addr(&asked, f->key.remote_addr);
	if (!family)
		return;
	f->key.family = family;
	f->key.remote_port = bpf_ntohs(asked.port);
}

/* Another program refused a bind() after we had seen the port given. */
static __always_inline void undo_bind(const struct sock *sk)
{
	struct pw_lease *lease = find_lease(sock_cookie(sk, 0));

	if (lease && PROBE(sk, skc_num) == 0)
		remove_lease(lease, lease->word.state, PW_CAUSE_CLOSED);
}

static __always_inline void refuse_bind(const struct sock *sk, const struct args *args, long ret)
{
	struct refusal f;

	init_refusal(&f, sk, PW_BIND, ret);
	ask_local(&f, sk, args);
	refuse(&f);
}

static __always_inline void on_bind_exit(long ret)
{
	struct args args;
	struct sock *sk;

	if (ret >= 0)
		return;
	read_args(&args);
	sk = refused_sock(&args);
	if (!sk)
		return;
	if (ret == -EPERM)
		undo_bind(sk);
	refuse_bind(sk, &args, ret);
}

/* listen() found a port for a socket without one. */
static __always_inline void end_listen(struct pw_call *call)
{
	struct sock *sk = (struct sock *)call->sk;
	struct pw_lease *lease = find_lease(call->cookie);

	call->sk = 0;
	if (lease && take_port(sk, lease, 0) && claim(lease, call->cookie))
		tell_allocation(sk, lease, 0);
}

static __always_inline void refuse_listen(const struct sock *sk, long ret)
{
	struct refusal f;

	init_refusal(&f, sk, PW_LISTEN, ret);
	f.key.family = read_addrs(sk, f.key.local_addr, f.key.remote_addr, 0);
	f.key.local_port = PROBE(sk, skc_num);
	f.key.unspecified = 0;
	refuse(&f);
}

static __always_inline void on_listen_exit(long ret)
{
	struct pw_call *call = current_call();
	struct args args;
	struct sock *sk;

	if (ret == 0) {
		if (call && call->sk && call->phase == PW_PHASE_LISTEN)
			end_listen(call);
		return;
	}
	if (call)
		call->sk = 0;
	read_args(&args);
	sk = refused_sock(&args);
	if (sk)
		refuse_listen(sk, ret);
}

/* A refused connect() is worth telling if ports or addresses were the reason;
 * that the far end refused, or is unknown, is not ours. */
static __always_inline bool is_refusal(long ret)
{
	return ret == -EADDRNOTAVAIL || ret == -EAGAIN || ret == -ENOMEM || ret == -EPERM ||
	       ret == -EACCES || ret == -EADDRINUSE;
}

/* What a thread noted of a connect() that came to nothing. */
static __always_inline struct pw_call *noted(const struct sock *sk)
{
	struct pw_call *call = call_on(sk);

	if (!call || call->cookie != sock_cookie(sk, 0))
		return 0;
	call->sk = 0;
	return call;
}

static __always_inline void refuse_connect(const struct sock *sk, const struct args *args, long ret)
{
	struct pw_call *call = noted(sk);
	struct refusal f;

	if (!is_refusal(ret))
		return;
	init_refusal(&f, sk, PW_CONNECT, ret);
	if (call)
		copy_call(&f, call);
	else
		ask_remote(&f, args);
	refuse(&f);
}

/* How long the kernel looked for the port; 0 if that was not measured. */
static __always_inline __u64 search_time(const struct sock *sk)
{
	struct pw_call *call = pw_full ? call_on(sk) : 0;

	return call ? call->search_ns : 0;
}

/* What came of a connect() whose caller was noted. */
static __always_inline void end_connect(const struct sock *sk, struct pw_lease *lease, __u64 cookie,
					long ret)
{
	/* Another thread may be inside connect() on the same socket. */
	if (!(lease->word.flags & PW_TOLD) && lease->expires != (__u32)bpf_get_current_pid_tgid())
		return;
	if (!lease->local_port && PROBE(sk, skc_num) == 0)
		bpf_map_delete_elem(&pw_leases, &cookie); /* it got no port */
	else if (lease->protocol == IPPROTO_UDP)
		end_udp_connect(sk, lease, ret);
	else if (take_port(sk, lease, 0) && claim(lease, cookie))
		tell_allocation(sk, lease, search_time(sk));
	else if (lease->word.state == PW_STATE_BOUND && move_bound(sk, lease))
		tell_lease(sk, lease, PW_STATE, PW_STATE_BOUND, 0);
}

/* connect() is over. What port came of it is told with the thread's name. */
static __always_inline void on_connect_end(const struct sock *sk, const struct args *args, long ret)
{
	__u64 cookie = sock_cookie(sk, 0);
	struct pw_lease *lease = find_lease(cookie);

	if (lease)
		end_connect(sk, lease, cookie, ret);
	if (ret < 0 && ret != -EINPROGRESS && !refusal_told(sk) &&
	    watched(sk, sock_protocol(sk, 0), 0))
		refuse_connect(sk, args, ret);
}

static __always_inline void on_connect_exit(long ret)
{
	struct args args;
	struct sock *sk;

	read_args(&args);
	sk = called_sock(&args);
	if (sk)
		on_connect_end(sk, &args, ret);
}

/*
 * A send that fails with EAGAIN and left the socket without a port found none;
 * one that has a port found its buffer full, which is not ours. One that fails
 * before any cgroup program has been asked may have taken a port nonetheless.
 */
static __always_inline void on_send_exit(long ret)
{
	struct refusal f;
	struct args args;
	struct sock *sk;
	__u64 cookie;

	if (ret >= 0)
		return;
	read_args(&args);
	sk = refused_sock(&args);
	if (!sk || sock_protocol(sk, 0) != IPPROTO_UDP)
		return;
	if (PROBE(sk, skc_num) != 0) {
		cookie = sock_cookie(sk, 0);
		return cookie && !find_lease(cookie) ? on_udp_send(sk, cookie) : (void)0;
	}
	if (ret != -EAGAIN)
		return;
	init_refusal(&f, sk, PW_SEND, ret);
	refuse(&f);
}
