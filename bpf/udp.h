/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "call.h"
#include "lease.h"

/*
 * bind() of both protocols, and the life of UDP sockets, which pass no
 * tracepoint: cgroup programs see them, in the process context of the caller.
 */

/* A context that is, or a pointer that the verifier lets nobody add to, as a
 * plain address to read from. */
static __always_inline const struct sock *plain(const void *pointer)
{
	const void *spilled = pointer;
	const struct sock *sk = 0;

	bpf_probe_read_kernel(&sk, sizeof(sk), &spilled);
	return sk;
}

static __always_inline __u8 udp_state(const struct sock *sk)
{
	return PROBE(sk, skc_state) == TCP_ESTABLISHED ? PW_STATE_CONNECTED : PW_STATE_UNCONNECTED;
}

/* By number or any port? The kernel marks the socket after post_bind, so the
 * question is read where it was asked. */
static __always_inline __u8 bind_origin(const struct args *args)
{
	struct asked asked;

	if (!read_asked(args, &asked))
		return PW_ORIGIN_UNKNOWN;
	return asked.port ? PW_ORIGIN_BIND : PW_ORIGIN_BIND0;
}

static __always_inline __u8 bind_origin_of_call(void)
{
	struct args args;

	if (current_syscall() != pw_nr_bind)
		return PW_ORIGIN_UNKNOWN; /* io_uring or a 32-bit caller */
	read_args(&args);
	return bind_origin(&args);
}

/*
 * When a lease begins that is told after the socket has its port. The walk may
 * have come in between, and found a socket without a lease: then that is it, and
 * gets the owner that the walk could not know.
 */
static __always_inline __u64 birth(const struct pw_lease *lease, const struct pw_lease *known)
{
	return known && known->local_port == lease->local_port ? known->born : lease->changed;
}

/* bind() got a port: cgroup/post_bind4 and 6, or the end of __inet_bind(). */
static __always_inline void on_bound(const struct sock *sk, __u64 cookie, __u8 origin)
{
	__u8 protocol = (__u8)sock_protocol(sk, 0);
	struct pw_lease lease = {};
	struct who who;

	if (!watched(sk, protocol, 0))
		return;
	read_who(&who);
	set_owner(&lease, &who);
	read_lease(sk, protocol, &lease, 0);
	lease.family = read_local_addr(sk, lease.local_addr);
	lease.remote_port = 0;
	lease.cookie = cookie;
	lease.word.state = protocol == IPPROTO_UDP ? PW_STATE_UNCONNECTED : PW_STATE_BOUND;
	lease.word.origin = origin;
	lease.word.flags |= PW_TOLD;
	lease.changed = bpf_ktime_get_boot_ns();
	lease.born = birth(&lease, find_lease(cookie));
	insert_lease(&lease, BPF_ANY);
	tell_allocation(sk, &lease, 0);
}

/*
 * connect() on a socket without a port: it will be given one. cgroup/connect4
 * and 6, or for UDP the entry of inet_dgram_connect(), in process context before
 * anything else: notes who asks; what the socket knows is filled in later. A lease without a port
 * that is there already is the note of an earlier try that came to nothing.
 */
static __always_inline void begin_autobind(const struct sock *sk, __u64 cookie, __u8 protocol)
{
	struct pw_lease lease = {}, *known;
	struct who who;

	if (PROBE(sk, skc_num) != 0 || !watched(sk, protocol, 0))
		return;
	read_who(&who);
	set_owner(&lease, &who);
	lease.cookie = cookie;
	lease.protocol = protocol;
	lease.word.state = protocol == IPPROTO_UDP ? PW_STATE_UNCONNECTED : TCP_SYN_SENT;
	lease.word.origin = protocol == IPPROTO_UDP ? PW_ORIGIN_AUTOBIND : PW_ORIGIN_CONNECT;
	lease.expires = who.tid;
	if (told_at_exit(sk))
		lease.word.flags |= PW_AT_EXIT;
	lease.born = lease.changed = bpf_ktime_get_boot_ns();
	if (bpf_map_update_elem(&pw_leases, &cookie, &lease, BPF_NOEXIST) == 0)
		return;
	known = find_lease(cookie);
	if (!known || !known->local_port)
		insert_lease(&lease, BPF_ANY);
}

/* connect() has narrowed, or connect(AF_UNSPEC) has widened, the address. */
static __always_inline void move_udp(const struct sock *sk, struct pw_lease *lease)
{
	__u8 from = lease->word.state;

	if (from == PW_STATE_UNCONNECTED && udp_state(sk) == from)
		return; /* connect(AF_UNSPEC) on what is not connected */
	lease->family = read_addrs(sk, lease->local_addr, lease->remote_addr, 0);
	lease->remote_port = bpf_ntohs(PROBE(sk, skc_dport));
	lease->word.state = udp_state(sk);
	lease->changed = bpf_ktime_get_boot_ns();
	tell_lease(sk, lease, PW_STATE, from, 0);
}

/* connect() on a UDP socket is over, well or not. */
static __always_inline void end_udp_connect(const struct sock *sk, struct pw_lease *lease, long ret)
{
	__u16 port = PROBE(sk, skc_num);

	if (!port) /* connect(AF_UNSPEC) gives back what the kernel chose */
		return remove_lease(lease, lease->word.state, PW_CAUSE_DISCONNECTED);
	if (lease->local_port)
		return ret ? (void)0 : move_udp(sk, lease);
	fill_lease(sk, IPPROTO_UDP, lease, 0);
	lease->word.state = udp_state(sk);
	lease->changed = bpf_ktime_get_boot_ns();
	if (claim(lease, sock_cookie(sk, 0)))
		tell_allocation(sk, lease, 0);
}

/*
 * A send on an unconnected socket: cgroup/sendmsg4 and 6 come after the port was
 * given (inet_send_prepare). As a rule it is the one that took it; but a send
 * that failed for another reason, or a write(), may have taken it before and was
 * not seen. So the sender is named as a holder, not as seen in the act.
 */
static __always_inline void on_udp_send(const struct sock *sk, __u64 cookie)
{
	struct pw_lease lease = {};
	struct who who;

	if (!watched(sk, IPPROTO_UDP, 0))
		return;
	read_lease(sk, IPPROTO_UDP, &lease, 0);
	lease.cookie = cookie;
	lease.word.state = udp_state(sk);
	lease.word.flags |= PW_TOLD;
	lease.born = lease.changed = bpf_ktime_get_boot_ns();
	forget_owner(sk, &lease, 0);
	if (pw_armed) {
		read_who(&who);
		set_owner(&lease, &who);
		lease.confidence = PW_CONFIDENCE_SNAPSHOT;
		lease.word.origin = PW_ORIGIN_AUTOBIND;
	}
	if (insert_lease(&lease, BPF_NOEXIST))
		return;
	tell_allocation(sk, &lease, 0);
}

/* The last reference is dropped: cgroup/sock_release. */
static __always_inline void on_udp_release(__u64 cookie)
{
	struct pw_lease *lease = find_lease(cookie);

	if (!lease)
		return;
	if (lease->local_port)
		remove_lease(lease, lease->word.state, PW_CAUSE_CLOSED);
	else
		bpf_map_delete_elem(&pw_leases, &cookie);
}
