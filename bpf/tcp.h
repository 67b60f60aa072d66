/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "timewait.h"

/*
 * TCP, as inet_sock_set_state tells it. The event comes under the socket's
 * lock, after the port was given back and before the new state is stored.
 */

/* connect() on a bound socket: owner, origin and birth stay. */
static __always_inline void connect_bound(struct sock *sk, struct pw_lease *lease)
{
	fill_lease(sk, IPPROTO_TCP, lease, 1);
	lease->word.state = TCP_SYN_SENT;
	lease->changed = bpf_ktime_get_boot_ns();
	tell_lease(sk, lease, PW_STATE, PW_STATE_BOUND, 1);
}

/* connect() begins, and nobody told before: the cgroup hooks are not there. */
static __always_inline void begin_connect(struct sock *sk, __u64 cookie)
{
	struct pw_lease lease = {};
	struct who who;

	read_who(&who);
	set_owner(&lease, &who);
	read_lease(sk, IPPROTO_TCP, &lease, 1);
	lease.cookie = cookie;
	lease.word.state = TCP_SYN_SENT;
	lease.word.origin = PW_ORIGIN_CONNECT;
	lease.born = lease.changed = bpf_ktime_get_boot_ns();
	if (lease.local_port) { /* bound where we could not see it: not ours to name */
		forget_owner(sk, &lease, 1);
		lease.word.origin = PW_ORIGIN_UNKNOWN;
	}
	lease.expires = who.tid;
	if (told_at_exit(sk))
		lease.word.flags |= PW_AT_EXIT;
	insert_lease(&lease, BPF_ANY);
}

/*
 * CLOSE to SYN_SENT, in the process that connects; the port is still to be
 * chosen. The owner was noted in cgroup/connect4 or 6: what runs here in process
 * context should be short, because a softirq that interrupts it loses its event.
 */
static __always_inline void on_syn_sent(struct sock *sk)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct pw_lease *lease = find_lease(cookie);

	if (lease && lease->local_port && SOCK(sk, skc_num) == 0) {
		/* it gave its port back, and that is all we missed */
		remove_lease(lease, lease->word.state, PW_CAUSE_UNKNOWN);
		lease = 0;
	}
	if (!lease)
		return begin_connect(sk, cookie);
	if (lease->local_port)
		return connect_bound(sk, lease);
	fill_lease(sk, IPPROTO_TCP, lease, 1);
	lease->word.state = TCP_SYN_SENT;
	lease->born = lease->changed = bpf_ktime_get_boot_ns();
	if (lease->local_port) { /* bound where we could not see it */
		forget_owner(sk, lease, 1);
		lease->word.origin = PW_ORIGIN_UNKNOWN;
	}
}

/* listen() begins: process context; without bind() the port comes later. */
static __always_inline void begin_listen(struct sock *sk)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct pw_lease *known = find_lease(cookie), lease = {};
	struct who who;

	if (known)
		return change_state(known, PW_STATE_BOUND, TCP_LISTEN);
	read_who(&who);
	set_owner(&lease, &who);
	read_lease(sk, IPPROTO_TCP, &lease, 1);
	lease.cookie = cookie;
	lease.word.state = TCP_LISTEN;
	lease.word.origin = PW_ORIGIN_LISTEN;
	lease.born = lease.changed = bpf_ktime_get_boot_ns();
	if (lease.local_port) {
		forget_owner(sk, &lease, 1);
		lease.word.flags |= PW_TOLD;
	}
	if (insert_lease(&lease, BPF_ANY))
		return;
	if (lease.local_port)
		tell_lease(sk, &lease, PW_ALLOCATE, 0, 1);
	else if (!pw_full)
		note_call(sk, &lease, PW_PHASE_LISTEN);
}

/* No port was found. Process context: the search is part of the call. */
static __always_inline void fail_connect(struct sock *sk, struct pw_lease *lease)
{
	bool at_exit = lease->word.flags & PW_AT_EXIT;
	struct pw_call *call = 0;
	struct refusal f;

	if (!refusal_told(sk))
		call = note_call(sk, lease, PW_PHASE_NO_PORT);
	bpf_map_delete_elem(&pw_leases, &lease->cookie);
	if (!call || at_exit)
		return;
	/* io_uring, or a 32-bit caller: nobody will tell the errno */
	init_refusal(&f, sk, PW_CONNECT, 0);
	copy_call(&f, call);
	call->sk = 0;
	refuse(&f);
}

/* Tells an allocation that nobody told; any context. */
static __always_inline void tell_late(const struct sock *sk, struct pw_lease *lease)
{
	if (claim(lease, lease->cookie))
		tell_lease(sk, lease, PW_ALLOCATE, 0, 1);
}

static __always_inline __u8 close_cause(const struct sock *sk, const struct pw_lease *lease,
					int old)
{
	if (lease->word.flags & PW_OVERFLOW)
		return PW_CAUSE_OVERFLOW;
	/* __tcp_close() sets SHUTDOWN_MASK before anything else. */
	if (sk->sk_shutdown == SHUTDOWN_MASK)
		return sk->sk_err == ECONNRESET ? PW_CAUSE_RESET : PW_CAUSE_CLOSED;
	if (old != TCP_SYN_SENT && sk->sk_err == ECONNRESET)
		return PW_CAUSE_RESET;
	return PW_CAUSE_DISCONNECTED;
}

static __always_inline bool sock_dead(const struct sock *sk)
{
	return SOCK(sk, skc_flags) >> SOCK_DEAD & 1;
}

/* The socket turns CLOSE: waits, gives its port back, or keeps it. */
static __always_inline void end_connection(struct sock *sk, struct pw_lease *lease, int old)
{
	struct inet_timewait_sock *tw = 0;
	bool keeps_port = SOCK(sk, skc_num) != 0;

	if (!take_port(sk, lease, 1))
		return old == TCP_SYN_SENT ? fail_connect(sk, lease) :
					     (void)bpf_map_delete_elem(&pw_leases, &lease->cookie);
	tell_late(sk, lease);
	if (old == TCP_SYN_SENT && connecting(sk))
		note_call(sk, lease, PW_PHASE_STARTED);
	if (old == TCP_FIN_WAIT2 || old == TCP_CLOSING)
		tw = find_timewait(sk, lease->cookie);
	if (tw)
		return bear_timewait(sk, lease, tw, old, keeps_port && !sock_dead(sk));
	if (!keeps_port)
		return remove_lease(lease, old, close_cause(sk, lease, old));
	if (sock_dead(sk)) /* tcp_destroy_sock comes next */
		lease->word.state = PW_STATE_BOUND;
	else
		change_state(lease, old, PW_STATE_BOUND);
}

/* FIN_WAIT2 of a socket without a process becomes a mini-socket at once. */
static __always_inline bool worth_telling(const struct sock *sk, int new)
{
	return new != TCP_FIN_WAIT2 || !sock_dead(sk);
}

static __always_inline void move_on(struct sock *sk, struct pw_lease *lease, int old, int new)
{
	bool told = lease->word.flags & PW_TOLD;

	if (lease->word.state == new)
		return; /* done before, see rescue.h */
	take_port(sk, lease, 1);
	if (!told && !(lease->word.flags & PW_AT_EXIT)) {
		lease->word.state = new;
		lease->changed = bpf_ktime_get_boot_ns();
		return tell_late(sk, lease);
	}
	if (worth_telling(sk, new))
		return change_state(lease, old, new);
	lease->word.state = new;
}

static __always_inline void on_tcp_state(struct sock *sk, int old, int new)
{
	struct pw_lease *lease;

	if (old == TCP_LISTEN && new == TCP_SYN_RECV)
		return; /* a child is born; it counts once it is established */
	if (old == TCP_CLOSE && new == TCP_SYN_SENT)
		return on_syn_sent(sk);
	if (old == TCP_CLOSE && new == TCP_LISTEN)
		return begin_listen(sk);
	lease = find_lease(sock_cookie(sk, 1));
	if (lease && new == TCP_CLOSE)
		return end_connection(sk, lease, old);
	if (lease)
		return move_on(sk, lease, old, new);
	if (old == TCP_SYN_RECV && new == TCP_ESTABLISHED)
		return count_accepted(sk);
	if (new == TCP_CLOSE)
		end_accepted(sk, old);
}

/* The last sight of a TCP socket: the second witness of its release, and the
 * only one for a port that was bound by number, or bound and nothing else. */
static __always_inline void on_tcp_destroy(struct sock *sk)
{
	struct pw_lease *lease = find_lease(sock_cookie(sk, 1));
	struct inet_timewait_sock *tw = 0;

	if (!lease)
		return;
	if (!lease->local_port) { /* its connect() ended before it had a port */
		bpf_map_delete_elem(&pw_leases, &lease->cookie);
		return;
	}
	if (lease->word.state != PW_STATE_BOUND && lease->word.state != TCP_LISTEN)
		tw = find_timewait(sk, lease->cookie); /* the change to CLOSE was missed */
	tell_late(sk, lease);
	if (tw)
		return bear_timewait(sk, lease, tw, lease->word.state, 0);
	remove_lease(lease, lease->word.state,
		     sk->sk_err == ECONNRESET ? PW_CAUSE_RESET : PW_CAUSE_CLOSED);
}

/* A SYN without an answer: a blocking connect() is not at its end for long,
 * but has its port. */
static __always_inline void on_syn_retransmit(struct sock *sk)
{
	struct pw_lease *lease = find_lease(sock_cookie(sk, 1));

	if (lease && take_port(sk, lease, 1))
		tell_late(sk, lease);
}

/* The port is chosen, the SYN not yet sent: process context of connect(). */
static __always_inline void on_port_found(const struct sock *sk, __u64 cookie)
{
	struct pw_lease *lease = find_lease(cookie);
	__u64 began;

	if (!lease || lease->word.flags & PW_TOLD)
		return;
	began = lease->changed;
	lease->local_port = PROBE(sk, skc_num);
	if (lease->local_port && claim(lease, cookie))
		tell_allocation(sk, lease, bpf_ktime_get_boot_ns() - began);
}
