/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include <bpf/bpf_endian.h>

#include "emit.h"

/*
 * struct sock → our words. A socket that a tracepoint hands us is a BTF
 * pointer, whose fields are loaded directly. One that was reached through a
 * descriptor table, or is the context of a cgroup program (which is the socket
 * itself in post_bind and sock_release; proved on 5.10 and 6.18), must be read
 * with bpf_probe_read_kernel(), at ten times the price. `btf` says which; it is
 * a constant wherever it is passed, so only one of the two is compiled in.
 */

#define SOCK(sk, field) ((sk)->__sk_common.field)
#define PROBE(sk, field) BPF_CORE_READ(sk, __sk_common.field)
#define READ(sk, field, btf) ((btf) ? SOCK(sk, field) : PROBE(sk, field))

static __always_inline __u32 sock_netns(const struct sock *sk, bool btf)
{
	return btf ? SOCK(sk, skc_net.net)->ns.inum :
		     BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

/* 0 if nobody has asked the kernel for one yet. */
static __always_inline __u64 sock_cookie(const struct sock *sk, bool btf)
{
	return (__u64)READ(sk, skc_cookie.counter, btf);
}

static __always_inline __u64 sock_cgroup(const struct sock *sk, bool btf)
{
	return btf ? sk->sk_cgrp_data.cgroup->kn->id :
		     BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
}

static __always_inline __u16 sock_protocol(const struct sock *sk, bool btf)
{
	return btf ? sk->sk_protocol : BPF_CORE_READ(sk, sk_protocol);
}

static __always_inline __u8 sock_userlocks(const struct sock *sk)
{
	return (__u8)BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks);
}

static __always_inline bool sock_is_inet(const struct sock *sk)
{
	__u16 family = PROBE(sk, skc_family);

	return family == AF_INET || family == AF_INET6;
}

static __always_inline bool watched(const struct sock *sk, __u16 protocol, bool btf)
{
	__u32 netns;

	if (protocol == IPPROTO_TCP ? !pw_watch_tcp : protocol != IPPROTO_UDP || !pw_watch_udp)
		return 0;
	if (!pw_filter_netns)
		return 1;
	netns = sock_netns(sk, btf);
	return bpf_map_lookup_elem(&pw_namespaces, &netns) != 0;
}

static __always_inline bool is_mapped(const __u32 addr[4])
{
	return addr[0] == 0 && addr[1] == 0 && addr[2] == bpf_htonl(0xffff);
}

static __always_inline bool is_unspecified(const __u32 addr[4])
{
	return (addr[0] | addr[1] | addr[2] | addr[3]) == 0;
}

/* Turns ::ffff:a.b.c.d into a.b.c.d in place. */
static __always_inline void unmap(__u32 addr[4])
{
	addr[0] = addr[3];
	addr[1] = addr[2] = addr[3] = 0;
}

/*
 * Reads both addresses. A v4-mapped connection of an IPv6 socket is IPv4; the
 * wildcard of a dual-stack socket stays IPv6. What a failed or ended connection
 * has left of the far address, without a port, says nothing. Returns 4 or 6.
 */
static __always_inline __u8 read_addrs(const struct sock *sk, __u8 local[16], __u8 remote[16],
				       bool btf)
{
	__u32 *l = (__u32 *)local, *r = (__u32 *)remote;

	if (READ(sk, skc_family, btf) == AF_INET) {
		l[0] = READ(sk, skc_rcv_saddr, btf);
		r[0] = READ(sk, skc_daddr, btf);
		l[1] = l[2] = l[3] = r[1] = r[2] = r[3] = 0;
		return 4;
	}
	BPF_CORE_READ_INTO((struct in6_addr *)local, sk, __sk_common.skc_v6_rcv_saddr);
	BPF_CORE_READ_INTO((struct in6_addr *)remote, sk, __sk_common.skc_v6_daddr);
	if (is_mapped(l)) {
		unmap(l);
	} else if (!is_unspecified(l) || !is_mapped(r) || !READ(sk, skc_dport, btf)) {
		return 6;
	}
	if (is_mapped(r))
		unmap(r);
	return 4;
}

/* The same of a socket without a far end, on which a connection that came to
 * nothing may have left one. */
static __always_inline __u8 read_local_addr(const struct sock *sk, __u8 local[16])
{
	__u32 *l = (__u32 *)local;

	if (PROBE(sk, skc_family) == AF_INET) {
		l[0] = PROBE(sk, skc_rcv_saddr);
		l[1] = l[2] = l[3] = 0;
		return 4;
	}
	BPF_CORE_READ_INTO((struct in6_addr *)local, sk, __sk_common.skc_v6_rcv_saddr);
	if (!is_mapped(l))
		return 6;
	unmap(l);
	return 4;
}

/* The socket's own range, IP_LOCAL_PORT_RANGE; 0-0 if it has none. */
static __always_inline void read_sock_range(const struct sock *sk, __u16 *low, __u16 *high)
{
	const struct inet_sock *inet = (const void *)sk;
	const struct inet_sock___pair *pair = (const void *)sk;

	*low = *high = 0;
	if (bpf_core_field_exists(pair->local_port_range.lo)) {
		*low = BPF_CORE_READ(pair, local_port_range.lo);
		*high = BPF_CORE_READ(pair, local_port_range.hi);
	} else if (bpf_core_field_exists(inet->local_port_range)) {
		__u32 range = BPF_CORE_READ(inet, local_port_range);

		*low = (__u16)range;
		*high = (__u16)(range >> 16);
	}
}

/* The namespace's range, as the kernel would use it now. */
static __always_inline void read_net_range(const struct sock *sk, __u16 *low, __u16 *high, bool btf)
{
	struct net *net = READ(sk, skc_net.net, btf);
	struct net___old *old = (void *)net;
	__u32 range;

	if (bpf_core_field_exists(old->ipv4.ip_local_ports.range[0]) &&
	    bpf_core_field_size(old->ipv4.ip_local_ports.range) == 8) {
		*low = (__u16)BPF_CORE_READ(old, ipv4.ip_local_ports.range[0]);
		*high = (__u16)BPF_CORE_READ(old, ipv4.ip_local_ports.range[1]);
		return;
	}
	range = btf ? net->ipv4.ip_local_ports.range :
		      BPF_CORE_READ(net, ipv4.ip_local_ports.range);
	*low = (__u16)range;
	*high = (__u16)(range >> 16);
}

static __always_inline __u8 sock_flags(const struct sock *sk, bool btf)
{
	const struct sock_common *common = &sk->__sk_common;
	__u8 flags = 0;

	if (btf ? BPF_CORE_READ_BITFIELD(common, skc_reuse) :
		  BPF_CORE_READ_BITFIELD_PROBED(common, skc_reuse))
		flags |= PW_REUSEADDR;
	if (btf ? BPF_CORE_READ_BITFIELD(common, skc_reuseport) :
		  BPF_CORE_READ_BITFIELD_PROBED(common, skc_reuseport))
		flags |= PW_REUSEPORT;
	if (btf ? BPF_CORE_READ_BITFIELD(common, skc_ipv6only) :
		  BPF_CORE_READ_BITFIELD_PROBED(common, skc_ipv6only))
		flags |= PW_V6ONLY;
	return flags;
}

/* Fills in what the socket itself knows. The caller sets cookie, born, state,
 * origin and owner. */
static __always_inline void read_lease(const struct sock *sk, __u8 protocol, struct pw_lease *lease,
				       bool btf)
{
	lease->protocol = protocol;
	lease->family = read_addrs(sk, lease->local_addr, lease->remote_addr, btf);
	lease->local_port = READ(sk, skc_num, btf);
	lease->remote_port = bpf_ntohs(READ(sk, skc_dport, btf));
	lease->netns = sock_netns(sk, btf);
	lease->device = READ(sk, skc_bound_dev_if, btf);
	lease->word.flags = sock_flags(sk, btf);
	read_sock_range(sk, &lease->range_low, &lease->range_high);
}

static __always_inline __u16 sock_sport(const struct sock *sk)
{
	const struct inet_sock *inet = (const void *)sk;

	return bpf_ntohs(BPF_CORE_READ(inet, inet_sport));
}

/*
 * A socket of the calling thread, by descriptor; 0 if the descriptor is not a
 * socket. The descriptor table is read without a lock: the thread is inside a
 * system call on that very descriptor, which keeps the file alive.
 */
static __always_inline struct sock *sock_of_fd(int fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = task->files->fdt;
	struct socket *socket;
	struct file *file = 0;

	if (fd < 0 || (__u32)fd >= table->max_fds)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}
