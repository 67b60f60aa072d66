/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "kernel.h"
#include "emit.h"
#include "sock.h"

/*
 * Who is asking. Only for process context: in a softirq `current` is whoever
 * happened to be interrupted, on loopback often the peer.
 */
struct who {
	__u64 start_time;
	__u64 cgroup_id;
	__u8 comm[16];
	__u32 tgid;
	__u32 tid;
	__u32 uid;
	__u16 exec;
	__u8 kind;
	__u8 pad;
};

static __always_inline void read_who(struct who *who)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct *leader = task->group_leader;
	__u64 ids = bpf_get_current_pid_tgid();

	who->tgid = ids >> 32;
	who->tid = (__u32)ids;
	who->uid = (__u32)bpf_get_current_uid_gid();
	who->cgroup_id = bpf_get_current_cgroup_id();
	who->start_time = leader->start_boottime;
	who->exec = (__u16)task->self_exec_id;
	who->kind = task->flags & PF_KTHREAD ? PW_OWNER_KERNEL : PW_OWNER_PROCESS;
	who->pad = 0;
	BPF_CORE_READ_INTO(&who->comm, leader, comm);
}

/* The calling thread. sockops may not call bpf_get_current_pid_tgid() on 6.1. */
static __always_inline __u32 current_tid(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return (__u32)BPF_CORE_READ(task, pid);
}

/* The calling thread's name, which may differ from its process's. */
static __always_inline void read_thread_comm(__u8 comm[16])
{
	struct task_struct *task = bpf_get_current_task_btf();

	bpf_core_read(comm, 16, &task->comm);
}

static __always_inline void set_owner(struct pw_lease *lease, const struct who *who)
{
	lease->start_time = who->start_time;
	lease->cgroup_id = who->cgroup_id;
	lease->tgid = who->tgid;
	lease->uid = who->uid;
	lease->word.exec = who->exec;
	lease->owner_kind = who->kind;
	lease->confidence = PW_CONFIDENCE_EXACT;
	__builtin_memcpy(lease->comm, who->comm, sizeof(lease->comm));
}

/*
 * The port was taken before we looked: the caller of today need not be the one
 * who took it. What the socket itself proves is the cgroup in which it was
 * made; the root (id 1) proves nothing.
 */
static __always_inline void forget_owner(const struct sock *sk, struct pw_lease *lease, bool btf)
{
	__u64 cgroup_id = sock_cgroup(sk, btf);

	lease->word.origin = PW_ORIGIN_UNKNOWN;
	lease->word.exec = 0;
	lease->start_time = 0;
	lease->tgid = lease->uid = 0;
	__builtin_memset(lease->comm, 0, sizeof(lease->comm));
	lease->cgroup_id = cgroup_id > 1 ? cgroup_id : 0;
	lease->confidence = cgroup_id > 1 ? PW_CONFIDENCE_CGROUP : PW_CONFIDENCE_UNKNOWN;
	lease->owner_kind = cgroup_id > 1 ? PW_OWNER_CGROUP : PW_OWNER_UNKNOWN;
}

/* The last thread of a process ends: user space may wait to hear it. */
static __always_inline void on_exit(const struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	__u64 *start_time = bpf_map_lookup_elem(&pw_owners, &tgid);
	struct pw_exit_record *r;

	if (!start_time)
		return;
	r = reserve(pw_news, pw_exit_record, PW_EXIT);
	if (r) {
		__builtin_memset(r, 0, sizeof(*r));
		r->time = bpf_ktime_get_boot_ns();
		r->start_time = *start_time;
		r->tgid = tgid;
		r->kind = PW_EXIT;
		submit_news(r);
	}
	bpf_map_delete_elem(&pw_owners, &tgid);
}
