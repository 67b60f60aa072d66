/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "walk.h"

/*
 * The look: what holds ports right now, for a question that is asked once. It
 * walks the same tables as walk.h and writes every socket that has a port to its
 * reader, accepted ones too. It writes no map, so nothing of it stays.
 */

/* What bind() compares of a bucket: whom it lets pass without a look at its
 * sockets. */
static __always_inline void read_bucket(const struct inet_bind_bucket *bucket,
					struct pw_sighting *s)
{
	if (!bucket)
		return;
	s->fastreuse = BPF_CORE_READ(bucket, fastreuse);
	s->fastreuseport = BPF_CORE_READ(bucket, fastreuseport);
	s->bucket_uid = BPF_CORE_READ(bucket, fastuid.val);
	s->l3mdev = BPF_CORE_READ(bucket, l3mdev);
	s->bucket_v6only = BPF_CORE_READ(bucket, fast_ipv6_only);
	s->bucket_family = 4;
	s->has_bucket = 1;
	if (BPF_CORE_READ(bucket, fast_sk_family) != AF_INET6) {
		*(__u32 *)s->bucket_addr = BPF_CORE_READ(bucket, fast_rcv_saddr);
		return;
	}
	/* a v4-mapped one stays as it is: IPv6 sockets do not match it */
	BPF_CORE_READ_INTO((struct in6_addr *)s->bucket_addr, bucket, fast_v6_rcv_saddr);
	s->bucket_family = 6;
}

/* A TCP socket of an MPTCP one is the kernel's own and has no file, but the inode
 * number of the one that the program has. */
static __always_inline __u64 sock_inode(const struct sock *sk)
{
	struct socket_alloc *socket = (void *)BPF_CORE_READ(sk, sk_socket);

	return socket ? BPF_CORE_READ(socket, vfs_inode.i_ino) : 0;
}

static __always_inline void write_sighting(struct seq_file *seq, struct pw_sighting *s)
{
	s->lease.changed = bpf_ktime_get_boot_ns();
	s->jiffies = (__u32)bpf_jiffies64();
	bpf_seq_write(seq, s, sizeof(*s));
}

static __always_inline void see_socket(struct seq_file *seq, struct sock *sk, __u8 protocol,
				       __u8 state, __u32 uid)
{
	const struct inet_connection_sock *icsk = (const void *)sk;
	struct pw_sighting s = {};

	if (PROBE(sk, skc_num) == 0)
		return;
	read_lease(sk, protocol, &s.lease, 0);
	forget_owner(sk, &s.lease, 0);
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock))
		s.lease.owner_kind = PW_OWNER_KERNEL;
	s.lease.cookie = bpf_get_socket_cookie(sk);
	s.lease.word.state = state;
	s.inode = sock_inode(sk);
	s.uid = uid;
	if (protocol == IPPROTO_TCP) {
		s.lease.word.origin = found_origin(sk);
		read_bucket(BPF_CORE_READ(icsk, icsk_bind_hash), &s);
	} else if (sock_userlocks(sk) & SOCK_BINDPORT_LOCK) {
		s.lease.word.origin = PW_ORIGIN_BIND;
	}
	write_sighting(seq, &s);
}

static __always_inline void see_timewait(struct seq_file *seq, const struct inet_timewait_sock *tw,
					 __u64 cookie)
{
	struct pw_sighting s = {};

	found_timewait(tw, cookie, &s.lease);
	read_timewait(tw, &s.lease);
	read_bucket(BPF_CORE_READ(tw, tw_tb), &s);
	write_sighting(seq, &s);
}

/* What the socket behind a descriptor holds. One of MPTCP shows where its first
 * TCP socket is bound, which is in no table before it listens or connects. */
static __always_inline void see_bound(struct sock *sk, __u16 protocol, struct pw_sighting *s)
{
	const struct inet_connection_sock *icsk = (const void *)sk;

	read_lease(sk, protocol == IPPROTO_UDP ? IPPROTO_UDP : IPPROTO_TCP, &s->lease, 0);
	s->lease.cookie = bpf_get_socket_cookie(sk);
	s->lease.word.state = PROBE(sk, skc_state);
	if (protocol == IPPROTO_UDP)
		return;
	s->lease.word.origin = found_origin(sk);
	if (protocol == IPPROTO_TCP)
		read_bucket(BPF_CORE_READ(icsk, icsk_bind_hash), s);
	if (s->lease.word.state != TCP_CLOSE)
		return;
	s->lease.word.state = PW_STATE_BOUND;
	s->lease.family = read_local_addr(sk, s->lease.local_addr);
	s->lease.remote_port = 0;
}

/* A descriptor: who holds the socket, and the sockets that are in no table
 * because they are bound and nothing else. */
static __always_inline void see_file(struct seq_file *seq, struct sock *sk,
				     struct task_struct *task, struct file *file)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	__u16 protocol = sock_protocol(sk, 0);
	struct pw_sighting s = {};

	if (!sock_is_inet(sk) ||
	    (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_MPTCP))
		return;
	if (PROBE(sk, skc_num) == 0 && protocol != IPPROTO_MPTCP)
		return;
	see_bound(sk, protocol, &s);
	s.inode = BPF_CORE_READ(file, f_inode, i_ino);
	s.uid = BPF_CORE_READ(file, f_inode, i_uid.val);
	s.by_file = 1;
	s.lease.start_time = BPF_CORE_READ(leader, start_boottime);
	s.lease.tgid = BPF_CORE_READ(task, tgid);
	s.lease.uid = BPF_CORE_READ(task, cred, uid.val);
	s.lease.word.exec = (__u16)BPF_CORE_READ(leader, self_exec_id);
	s.lease.owner_kind = PW_OWNER_PROCESS;
	s.lease.confidence = PW_CONFIDENCE_SNAPSHOT;
	BPF_CORE_READ_INTO(&s.lease.comm, leader, comm);
	write_sighting(seq, &s);
}
