/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "config.h"
#include "maps.h"

/* Counts a loss. The counter is this CPU's own, but a softirq may come in
 * between: the addition is atomic. */
static __always_inline void count_drop(__u32 index)
{
	__u64 *counter = bpf_map_lookup_elem(&pw_drops, &index);

	if (counter)
		__sync_fetch_and_add(counter, 1);
}

/* How many timers stop on this host decides whether the tracepoint is worth
 * its price. Interrupts are off: no addition comes in between. */
static __always_inline void count_timer(void)
{
	__u32 index = PW_TIMERS;
	__u64 *counter = bpf_map_lookup_elem(&pw_drops, &index);

	if (counter)
		*counter += 1;
}

static __always_inline void count_map_error(__u32 map, long err)
{
	switch (err) {
	case 0:
		return;
	case -E2BIG:
		return count_drop(map + PW_MAP_FULL);
	case -ENOMEM:
		return count_drop(map + PW_MAP_NOMEM);
	case -EBUSY:
		return count_drop(map + PW_MAP_BUSY);
	default:
		return count_drop(map + PW_MAP_OTHER);
	}
}

/*
 * The reader looks by itself several times a second, so a record does not wake
 * it; only the one with which a ring reaches the level does. While the ring is
 * fuller than that, the reader is awake already: a wake-up is an interrupt.
 */
static __always_inline __u64 wakeup(void *ring, __u64 level)
{
	__u64 waiting = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);

	return waiting - level < 1024 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

#define reserve(ring, record, kind)                                             \
	({                                                                      \
		struct record *r_ = bpf_ringbuf_reserve(&ring, sizeof(*r_), 0); \
		if (!r_)                                                        \
			count_drop(PW_DROP_RING + (kind));                      \
		r_;                                                             \
	})

static __always_inline void submit_news(void *record)
{
	bpf_ringbuf_submit(record, wakeup(&pw_news, pw_news_wakeup));
}

static __always_inline void submit_alarm(void *record)
{
	bpf_ringbuf_submit(record, wakeup(&pw_alarms, pw_alarms_wakeup));
}
