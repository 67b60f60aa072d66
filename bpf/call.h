/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "failure.h"
#include "lease.h"

/*
 * What a thread asks of the kernel by bind, connect, listen and send. In mode
 * tracepoint the address that was asked for is read from the caller's memory,
 * at the exit: the kernel has copied it by now, so its page is present. At the
 * entry it may not be. In mode full the kernel's copy is at hand.
 */

struct args {
	__u64 addr;
	int fd;
	__u32 len;
	__u32 copied; /* addr is the kernel's copy; there is no fd */
	__u32 pad;
};

/* A sockaddr_in or sockaddr_in6, as far as we read it. */
struct asked {
	__u16 family;
	__be16 port;
	__u32 word[5]; /* IPv4: the address first. IPv6: flow, then the address */
};

/* The first three arguments of the system call that the thread is in. */
static __always_inline void read_args(struct args *args)
{
	void *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct pt_regs___x86 *x86 = regs;
	struct pt_regs___arm64 *arm64 = regs;

	args->copied = 0;
	if (bpf_core_field_exists(x86->orig_ax)) {
		args->fd = (int)x86->di;
		args->addr = x86->si;
		args->len = (__u32)x86->dx;
		return;
	}
	/* regs[0] holds the result by now, orig_x0 what it was. */
	args->fd = (int)arm64->orig_x0;
	args->addr = arm64->regs[1];
	args->len = (__u32)arm64->regs[2];
}

/*
 * The number of the system call that the thread is in. A 32-bit caller's
 * numbers differ: none of its calls that get here has a 64-bit connect's or
 * bind's (arch/x86/entry/syscalls/syscall_32.tbl: 42 is pipe, 49 geteuid).
 */
static __always_inline __u32 current_syscall(void)
{
	void *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct pt_regs___x86 *x86 = regs;
	struct pt_regs___arm64 *arm64 = regs;

	if (bpf_core_field_exists(x86->orig_ax))
		return (__u32)x86->orig_ax;
	return (__u32)arm64->syscallno;
}

/* False if there is no address to read: none was given, or it is gone. */
static __always_inline bool read_asked(const struct args *args, struct asked *asked)
{
	const void *from = (const void *)args->addr;
	__u32 size = args->len < sizeof(*asked) ? 16 : sizeof(*asked);

	__builtin_memset(asked, 0, sizeof(*asked));
	if (args->len < 16)
		return 0;
	return (args->copied ? bpf_probe_read_kernel(asked, size, from) :
			       bpf_probe_read_user(asked, size, from)) == 0;
}

/* Writes the asked address; returns its family, 4 or 6, or 0 for neither. */
static __always_inline __u8 asked_addr(const struct asked *asked, __u8 addr[16])
{
	__u32 *to = (__u32 *)addr;

	if (asked->family == AF_INET) {
		to[0] = asked->word[0];
		to[1] = to[2] = to[3] = 0;
		return 4;
	}
	if (asked->family != AF_INET6)
		return 0;
	__builtin_memcpy(to, &asked->word[1], 16);
	if (!is_mapped(to))
		return 6;
	unmap(to);
	return 4;
}

/*
 * Will the end of connect() tell what came of it? Not for the sub-flow of an
 * MPTCP socket, which is the kernel's own and not the one of the call; nor, in
 * mode tracepoint, for io_uring and 32-bit callers.
 */
static __always_inline bool told_at_exit(const struct sock *sk)
{
	return pw_has_exit && (pw_full || current_syscall() == pw_nr_connect) &&
	       !BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock);
}

static __always_inline struct pw_call *current_call(void)
{
	return bpf_task_storage_get(&pw_calls, bpf_get_current_task_btf(), 0, 0);
}

/* What the thread has noted of a call on this socket; 0 if nothing. */
static __always_inline struct pw_call *call_on(const struct sock *sk)
{
	struct pw_call *call = current_call();

	return call && call->sk == (__u64)sk ? call : 0;
}

/* Has the refusal of the call been told, as soon as it was known? Mode full. */
static __always_inline bool refusal_told(const struct sock *sk)
{
	struct pw_call *call = pw_full ? call_on(sk) : 0;

	return call && call->phase == PW_PHASE_TOLD;
}

/* Is the thread inside connect() on this very socket? A softirq that interrupts
 * another thread is not. */
static __always_inline bool connecting(const struct sock *sk)
{
	struct args args;

	if (pw_full)
		return call_on(sk) && !refusal_told(sk);
	if (current_syscall() != pw_nr_connect)
		return 0;
	read_args(&args);
	return sock_of_fd(args.fd) == sk;
}

/* The thread's note, empty at first; 0, and counted, if there is no memory. */
static __always_inline struct pw_call *open_call(const struct sock *sk, __u8 phase)
{
	struct pw_call *call = bpf_task_storage_get(&pw_calls, bpf_get_current_task_btf(), 0,
						    BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!call) {
		count_drop(PW_DROP_THREAD);
		return 0;
	}
	call->sk = (__u64)sk;
	call->phase = phase;
	call->cookie = 0;
	call->search_ns = 0;
	return call;
}

/* Notes what became of the thread's call, for its end. */
static __always_inline struct pw_call *note_call(const struct sock *sk,
						 const struct pw_lease *lease, __u8 phase)
{
	struct pw_call *call = open_call(sk, phase);

	if (!call)
		return 0;
	call->cookie = lease->cookie;
	__builtin_memcpy(call->local_addr, lease->local_addr, sizeof(call->local_addr));
	__builtin_memcpy(call->remote_addr, lease->remote_addr, sizeof(call->remote_addr));
	call->netns = lease->netns;
	call->device = lease->device;
	call->local_port = lease->local_port;
	call->remote_port = lease->remote_port;
	call->family = lease->family;
	return call;
}

/* The addresses of a refused connect(), as the thread noted them. */
static __always_inline void copy_call(struct refusal *f, const struct pw_call *call)
{
	f->key.family = call->family;
	f->key.phase = call->phase;
	f->key.local_port = call->local_port;
	f->key.remote_port = call->remote_port;
	f->key.unspecified = 0;
	__builtin_memcpy(f->key.local_addr, call->local_addr, sizeof(f->key.local_addr));
	__builtin_memcpy(f->key.remote_addr, call->remote_addr, sizeof(f->key.remote_addr));
}
