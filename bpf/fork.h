/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "kernel.h"
#include "emit.h"

/*
 * Who starts whom: for the question what belongs to one command. Attached on
 * demand, because each new process of the host makes a record.
 */

static __always_inline void read_task(const struct task_struct *task, struct pw_task *out)
{
	out->start_time = BPF_CORE_READ(task, group_leader, start_boottime);
	out->tgid = BPF_CORE_READ(task, tgid);
	out->exec = (__u16)BPF_CORE_READ(task, self_exec_id);
	out->pad = 0;
}

/*
 * The child has not run yet, so its record stands in the ring before whatever
 * it does. The parent is the task that forks, also where the child is to be
 * somebody else's (CLONE_PARENT). A thread is no process, and what the kernel
 * starts by itself is nobody's.
 */
static __always_inline void on_fork(const struct task_struct *parent,
				    const struct task_struct *child)
{
	struct pw_fork_record *r;

	if (BPF_CORE_READ(parent, tgid) == BPF_CORE_READ(child, tgid) ||
	    BPF_CORE_READ(parent, flags) & PF_KTHREAD)
		return;
	r = reserve(pw_news, pw_fork_record, PW_FORK);
	if (!r)
		return;
	__builtin_memset(r, 0, sizeof(*r));
	r->time = bpf_ktime_get_boot_ns();
	r->kind = PW_FORK;
	read_task(parent, &r->parent);
	read_task(child, &r->child);
	submit_news(r);
}
