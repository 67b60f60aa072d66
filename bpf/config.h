/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include <linux/types.h>

/* Set by the loader before the programs are loaded. */

/* Address of tw_timer_handler: tells a TIME_WAIT's timer from all others. */
volatile const __u64 pw_tw_handler;

/* Only the namespaces in pw_namespaces are watched. */
volatile const _Bool pw_filter_netns;

/* Mode full: functions of the kernel are hooked, no system calls. */
volatile const _Bool pw_full;

volatile const _Bool pw_watch_tcp = 1;
volatile const _Bool pw_watch_udp = 1;

/* Jiffies without data from which on a connection is idle. */
volatile const __u32 pw_idle_after;

/* System call numbers of the architecture. */
volatile const __u32 pw_nr_connect = 42;
volatile const __u32 pw_nr_bind = 49;

/* Bytes waiting in a ring from which on a record wakes the reader. */
volatile const __u64 pw_news_wakeup = 1 << 20;
volatile const __u64 pw_alarms_wakeup = 1 << 17;

/* Set while the programs run. */

/* The end of connect() is hooked: what became of it is told there. */
volatile __u32 pw_has_exit;

/* Every socket that holds a port has its lease: the first walk is over and no
 * insert failed since. Only then does a send on a socket without a lease prove
 * that the send got the port. */
volatile __u32 pw_armed;

/* The walk that is under way, and when it began. */
volatile __u32 pw_walk;
volatile __u64 pw_walk_began;
