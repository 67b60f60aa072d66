/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "owner.h"
#include "sock.h"

/*
 * Refusals. Counted first, told second: the count in pw_failures is exact
 * under any flood, the alarm is an example.
 */

#define PW_ALARMS_FIRST 100 /* a second and process, for keys not seen before */
#define PW_ALARMS_AGAIN 10

/* What was asked for, of which socket, with what result. */
struct refusal {
	struct pw_failure_key key;
	__u16 net_low;
	__u16 net_high;
	__u8 pad[4];
};

static __always_inline void init_refusal(struct refusal *f, const struct sock *sk, __u8 operation,
					 long err)
{
	__builtin_memset(f, 0, sizeof(*f));
	f->key.operation = operation;
	f->key.errno_ = (__u16)-err;
	f->key.protocol = (__u8)sock_protocol(sk, 0);
	f->key.family = PROBE(sk, skc_family) == AF_INET ? 4 : 6;
	f->key.netns = sock_netns(sk, 0);
	f->key.device = PROBE(sk, skc_bound_dev_if);
	f->key.unspecified = 1;
	read_sock_range(sk, &f->key.range_low, &f->key.range_high);
	read_net_range(sk, &f->net_low, &f->net_high, 0);
}

/* May this process raise one more alarm in this second? */
static __always_inline bool may_alarm(__u32 tgid, __u64 now, bool first)
{
	struct pw_rate fresh = { .second = now / 1000000000 };
	struct pw_rate *rate = bpf_map_lookup_elem(&pw_rates, &tgid);

	if (!rate || rate->second != fresh.second) {
		bpf_map_update_elem(&pw_rates, &tgid, &fresh, BPF_ANY);
		rate = bpf_map_lookup_elem(&pw_rates, &tgid);
		if (!rate)
			return 0;
	}
	if (first)
		return __sync_fetch_and_add(&rate->first, 1) < PW_ALARMS_FIRST;
	return __sync_fetch_and_add(&rate->again, 1) < PW_ALARMS_AGAIN;
}

static __always_inline void fill_failure(struct pw_failure *v, const struct refusal *f,
					 const struct who *who, __u64 now)
{
	__builtin_memset(v, 0, sizeof(*v));
	v->first = v->last = now;
	v->cgroup_id = who->cgroup_id;
	__builtin_memcpy(v->comm, who->comm, sizeof(v->comm));
	v->uid = who->uid;
	v->owner_kind = who->kind;
	v->net_low = f->net_low;
	v->net_high = f->net_high;
}

/* The entry under which the refusal is counted; folds it if the map is full. */
static __always_inline struct pw_failure *find_failure(struct pw_failure_key *key,
						       const struct pw_failure *fresh)
{
	struct pw_failure *v = bpf_map_lookup_elem(&pw_failures, key);
	long err;

	if (v)
		return v;
	err = bpf_map_update_elem(&pw_failures, key, fresh, BPF_NOEXIST);
	v = bpf_map_lookup_elem(&pw_failures, key);
	if (v)
		return v;
	count_map_error(PW_DROP_FAILURE, err);
	count_drop(PW_DROP_FOLDED);
	key->folded = 1;
	key->local_port = key->remote_port = 0;
	key->range_low = key->range_high = 0;
	__builtin_memset(key->local_addr, 0, sizeof(key->local_addr));
	__builtin_memset(key->remote_addr, 0, sizeof(key->remote_addr));
	bpf_map_update_elem(&pw_folded, key, fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&pw_folded, key);
}

static __always_inline void tell_failure(const struct pw_failure_key *key,
					 const struct pw_failure *v, __u64 count, __u64 now)
{
	struct pw_failure_record *r = reserve(pw_alarms, pw_failure_record, PW_FAILURE);

	if (!r)
		return;
	r->time = now;
	__builtin_memcpy(&r->key, key, sizeof(r->key));
	__builtin_memcpy(&r->value, v, sizeof(r->value));
	r->value.count = count;
	read_thread_comm(r->thread_comm);
	r->tid = (__u32)bpf_get_current_pid_tgid();
	r->kind = PW_FAILURE;
	r->pad[0] = r->pad[1] = r->pad[2] = 0;
	submit_alarm(r);
}

/* Counts and, within the process's rate, tells a refusal. Process context. */
static __always_inline void refuse(struct refusal *f)
{
	struct pw_failure fresh, *v;
	__u64 now = bpf_ktime_get_boot_ns(), count;
	struct who who;

	read_who(&who);
	f->key.start_time = who.start_time;
	f->key.tgid = who.tgid;
	f->key.exec = who.exec;
	fill_failure(&fresh, f, &who, now);
	v = find_failure(&f->key, &fresh);
	if (!v)
		return count_map_error(PW_DROP_FAILURE, -E2BIG);
	count = __sync_fetch_and_add(&v->count, 1) + 1;
	v->last = now;
	if (may_alarm(who.tgid, now, count == 1))
		tell_failure(&f->key, v, count, now);
}
