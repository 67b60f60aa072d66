/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "event.h"
#include "kernel.h"

/*
 * pw_leases: the lease of every full socket that holds a local port, or is
 * about to get one.
 * key: socket cookie. writer: the hooks, under the socket's lock or in its
 * only system call; the walk inserts what is missing. reader: user space, in
 * batches. size: set by the loader. when full: the insert is counted by errno,
 * the lease is unknown until an audit finds room.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, __u64);
	__type(value, struct pw_lease);
} pw_leases SEC(".maps");

/*
 * pw_timewait: the lease of every TIME_WAIT that comes of a lease.
 * key: address of the mini-socket; a birth on a known address replaces.
 * writer: birth and death only; the walk inserts what is older. size and full
 * as pw_leases.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, __u64);
	__type(value, struct pw_lease);
} pw_timewait SEC(".maps");

/*
 * pw_accepted: how many accepted sockets, and TIME_WAITs of such, each listen
 * port has. They cost no ephemeral port and get no record each.
 * writer: state changes, atomically. size: one per listen port. when full:
 * counted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct pw_accepted_key);
	__type(value, struct pw_accepted_count);
} pw_accepted SEC(".maps");

/*
 * pw_walked: what the walk of one namespace counted of the same, listen ports
 * first. User space clears it, and corrects pw_accepted by it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct pw_accepted_key);
	__type(value, struct pw_accepted_count);
} pw_walked SEC(".maps");

/*
 * pw_failures: every refusal is counted here before it is reported, because
 * one process can make a million a second. reader: user space, once a second;
 * it takes out what has been quiet for a minute. when full: a second entry
 * per (process, errno) without addresses takes over, which is counted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct pw_failure_key);
	__type(value, struct pw_failure);
} pw_failures SEC(".maps");

/* pw_folded: where pw_failures overflows to. Key as there, addresses zero. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct pw_failure_key);
	__type(value, struct pw_failure);
} pw_folded SEC(".maps");

/*
 * pw_rates: alarms of each process in the current second. An entry that the
 * LRU drops costs ten alarms more, never a count.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct pw_rate);
} pw_rates SEC(".maps");

/*
 * pw_calls: what a thread is in the middle of. Lives and dies with the task.
 */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pw_call);
} pw_calls SEC(".maps");

/*
 * pw_owners: the processes whose exit user space wants to hear of.
 * key: tgid. value: start time. writer: user space; the exit removes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u64);
} pw_owners SEC(".maps");

/* pw_namespaces: those to watch, by inode, if there is a filter. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} pw_namespaces SEC(".maps");

/*
 * pw_begun: the event that this CPU's first program began last, for each of the
 * two tracepoints; see rescue.h.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct pw_event);
} pw_begun SEC(".maps");

/* pw_drops: what did not reach its map or ring. key: enum pw_drop + kind. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PW_DROP_MAX);
	__type(key, __u32);
	__type(value, __u64);
} pw_drops SEC(".maps");

/*
 * pw_news: what happened to leases, in order. size: set by the loader. when
 * full: the record is dropped and counted; the maps still hold the truth, and
 * a resync tells it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 23);
} pw_news SEC(".maps");

/* pw_alarms: refusals, so that a flood of news cannot drown them. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} pw_alarms SEC(".maps");
