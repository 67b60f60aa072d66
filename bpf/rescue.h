/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "emit.h"

/*
 * The kernel skips a tracing program that is already running on the CPU
 * (__bpf_trace_run, 6.1): a softirq that interrupts it loses its event. So each
 * of the two tracepoints that matter has two programs. The first notes which
 * event it begins, before anything else. The second finds its own event noted,
 * and leaves; or it finds another one, because the first was skipped, and does
 * the work. Only one of the two can be skipped for one event: softirqs do not
 * nest.
 *
 * An interrupt between the two programs makes the second do the work again.
 * That is harmless: a state that is there already is not told twice.
 */

#define PW_STATE_EVENT 0
#define PW_DESTROY_EVENT 1

static __always_inline void begin_event(__u32 which, const void *sk, __u64 state)
{
	struct pw_event *begun;

	if (pw_full)
		return; /* no second program */
	begun = bpf_map_lookup_elem(&pw_begun, &which);
	if (!begun)
		return;
	begun->sk = (__u64)sk;
	begun->state = state;
}

static __always_inline bool was_skipped(__u32 which, const void *sk, __u64 state, __u32 counter)
{
	struct pw_event *begun = bpf_map_lookup_elem(&pw_begun, &which);

	if (!begun || (begun->sk == (__u64)sk && begun->state == state))
		return 0;
	count_drop(counter);
	return 1;
}
