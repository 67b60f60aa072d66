// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

/*
 * The hooks. Each picks its arguments and calls one function; what it means
 * for a lease stands in the headers. The hook table in internal/tracer says
 * which are attached in which mode.
 */

#include "kernel.h"

#include "config.h"
#include "event.h"
#include "fork.h"
#include "functions.h"
#include "idle.h"
#include "look.h"
#include "rescue.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Puts the types of the rings into the object's BTF, from which bpf2go makes
 * the Go side. */
const enum pw_kind *pw_export_kind __attribute__((unused));
const enum pw_drop *pw_export_drop __attribute__((unused));
const enum pw_phase *pw_export_phase __attribute__((unused));
const enum pw_flag *pw_export_flag __attribute__((unused));
const struct pw_lease_record *pw_export_lease __attribute__((unused));
const struct pw_change_record *pw_export_change __attribute__((unused));
const struct pw_failure_record *pw_export_failure __attribute__((unused));
const struct pw_exit_record *pw_export_exit __attribute__((unused));
const struct pw_fork_record *pw_export_fork __attribute__((unused));
const struct pw_clock *pw_export_clock __attribute__((unused));
const struct pw_sighting *pw_export_sighting __attribute__((unused));
const struct pw_check *pw_export_check __attribute__((unused));
const struct pw_idle *pw_export_idle __attribute__((unused));

/* TCP state, both modes. */

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(pw_set_state, struct sock *sk, int old, int new)
{
	begin_event(PW_STATE_EVENT, sk, new);
	if (watched(sk, sock_protocol(sk, 1), 1))
		on_tcp_state(sk, old, new);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(pw_set_state2, struct sock *sk, int old, int new)
{
	if (was_skipped(PW_STATE_EVENT, sk, new, PW_RESCUED_STATE) &&
	    watched(sk, sock_protocol(sk, 1), 1))
		on_tcp_state(sk, old, new);
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(pw_destroy, struct sock *sk)
{
	begin_event(PW_DESTROY_EVENT, sk, 0);
	on_tcp_destroy(sk);
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(pw_destroy2, struct sock *sk)
{
	if (was_skipped(PW_DESTROY_EVENT, sk, 0, PW_RESCUED_DESTROY))
		on_tcp_destroy(sk);
	return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(pw_retransmit, struct sock *sk)
{
	if (SOCK(sk, skc_state) == TCP_SYN_SENT)
		on_syn_retransmit(sk);
	return 0;
}

/* TIME_WAIT, by its timer. */

SEC("tp_btf/timer_cancel")
int BPF_PROG(pw_timer_cancel, struct timer_list *timer)
{
	count_timer();
	if ((__u64)timer->function == pw_tw_handler)
		end_timewait((void *)timer -
			     bpf_core_field_offset(struct inet_timewait_sock, tw_timer));
	return 0;
}

/* Ends of system calls. */

SEC("tp/syscalls/sys_exit_bind")
int pw_bind_x(struct trace_event_raw_sys_exit *ctx)
{
	on_bind_exit(ctx->ret);
	return 0;
}

SEC("tp/syscalls/sys_exit_listen")
int pw_listen_x(struct trace_event_raw_sys_exit *ctx)
{
	on_listen_exit(ctx->ret);
	return 0;
}

SEC("tp/syscalls/sys_exit_connect")
int pw_connect_x(struct trace_event_raw_sys_exit *ctx)
{
	on_connect_exit(ctx->ret);
	return 0;
}

SEC("tp/syscalls/sys_exit_sendto")
int pw_send_x(struct trace_event_raw_sys_exit *ctx)
{
	on_send_exit(ctx->ret);
	return 0;
}

/* bind() and UDP, by cgroup programs; 1 lets the call proceed. */

SEC("cgroup/post_bind4")
int pw_post_bind4(struct bpf_sock *ctx)
{
	on_bound(plain(ctx), bpf_get_socket_cookie(ctx), bind_origin_of_call());
	return 1;
}

SEC("cgroup/post_bind6")
int pw_post_bind6(struct bpf_sock *ctx)
{
	on_bound(plain(ctx), bpf_get_socket_cookie(ctx), bind_origin_of_call());
	return 1;
}

SEC("cgroup/connect4")
int pw_connect4(struct bpf_sock_addr *ctx)
{
	__u32 protocol = ctx->protocol;

	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
		begin_autobind(plain(ctx->sk), bpf_get_socket_cookie(ctx), (__u8)protocol);
	return 1;
}

SEC("cgroup/connect6")
int pw_connect6(struct bpf_sock_addr *ctx)
{
	__u32 protocol = ctx->protocol;

	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
		begin_autobind(plain(ctx->sk), bpf_get_socket_cookie(ctx), (__u8)protocol);
	return 1;
}

SEC("cgroup/sendmsg4")
int pw_sendmsg4(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);

	if (!find_lease(cookie))
		on_udp_send(plain(ctx->sk), cookie);
	return 1;
}

SEC("cgroup/sendmsg6")
int pw_sendmsg6(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);

	if (!find_lease(cookie))
		on_udp_send(plain(ctx->sk), cookie);
	return 1;
}

SEC("cgroup/sock_release")
int pw_sock_release(struct bpf_sock *ctx)
{
	if (ctx->protocol == IPPROTO_UDP)
		on_udp_release(bpf_get_socket_cookie(ctx));
	return 1;
}

/* How long the kernel looks for a port: between SYN_SENT and here, before the
 * SYN is sent. Attached while a pool runs full. */
SEC("sockops")
int pw_sockops(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB && ctx->sk)
		on_port_found(plain(ctx->sk), bpf_get_socket_cookie(ctx));
	return 1;
}

/* Mode full: the functions behind the system calls, for both protocols. */

SEC("fexit/inet_hash_connect")
int BPF_PROG(pw_hash_connect4, void *death_row, struct sock *sk, int ret)
{
	on_hash_connect(sk, ret);
	return 0;
}

SEC("fexit/inet6_hash_connect")
int BPF_PROG(pw_hash_connect6, void *death_row, struct sock *sk, int ret)
{
	on_hash_connect(sk, ret);
	return 0;
}

SEC("fexit/__inet_stream_connect")
int BPF_PROG(pw_stream_connect, struct socket *sock, void *addr, int len, int flags, int is_sendmsg,
	     int ret)
{
	on_connect_over(sock->sk, addr, len, ret);
	return 0;
}

SEC("fexit/inet_stream_connect")
int BPF_PROG(pw_stream_connect_outer, struct socket *sock, void *addr, int len, int flags, int ret)
{
	on_connect_over(sock->sk, addr, len, ret);
	return 0;
}

SEC("fentry/inet_dgram_connect")
int BPF_PROG(pw_dgram_connect, struct socket *sock)
{
	struct sock *sk = sock->sk;

	if (sk && watched(sk, sock_protocol(sk, 0), 0))
		begin_autobind(sk, bpf_get_socket_cookie(sk), IPPROTO_UDP);
	return 0;
}

SEC("fexit/inet_dgram_connect")
int BPF_PROG(pw_dgram_connect_x, struct socket *sock, void *addr, int len, int flags, int ret)
{
	on_connect_over(sock->sk, addr, len, ret);
	return 0;
}

SEC("fexit/__inet_bind")
int BPF_PROG(pw_bind4, struct sock *sk, void *addr, int len, __u32 flags, int ret)
{
	on_bind(sk, addr, len, ret);
	return 0;
}

SEC("fexit/__inet6_bind")
int BPF_PROG(pw_bind6, struct sock *sk, void *addr, int len, __u32 flags, int ret)
{
	on_bind(sk, addr, len, ret);
	return 0;
}

SEC("fexit/inet_bind")
int BPF_PROG(pw_bind4_outer, struct socket *sock, void *addr, int len, int ret)
{
	on_bind_end(sock->sk, addr, len, ret);
	return 0;
}

SEC("fexit/inet6_bind")
int BPF_PROG(pw_bind6_outer, struct socket *sock, void *addr, int len, int ret)
{
	on_bind_end(sock->sk, addr, len, ret);
	return 0;
}

SEC("fexit/inet_csk_get_port")
int BPF_PROG(pw_get_port, struct sock *sk, unsigned short port, int ret)
{
	on_get_port(sk, ret);
	return 0;
}

SEC("fexit/inet_listen")
int BPF_PROG(pw_listen_outer, struct socket *sock, int backlog, int ret)
{
	on_listen_end(sock->sk, ret);
	return 0;
}

SEC("fexit/inet_autobind")
int BPF_PROG(pw_autobind, struct sock *sk, int ret)
{
	on_autobind(sk, ret);
	return 0;
}

SEC("fentry/udp_lib_unhash")
int BPF_PROG(pw_udp_unhash, struct sock *sk)
{
	on_udp_unhash(sk);
	return 0;
}

SEC("fexit/__udp_disconnect")
int BPF_PROG(pw_udp_disconnect, struct sock *sk)
{
	on_udp_disconnect(sk);
	return 0;
}

/* Mode full: TIME_WAIT. */

SEC("fexit/inet_twsk_alloc")
int BPF_PROG(pw_tw_alloc, struct sock *sk, void *death_row, int state,
	     struct inet_timewait_sock *tw)
{
	if (!tw)
		on_timewait_refused(sk);
	return 0;
}

SEC("fexit/__inet_twsk_schedule")
int BPF_PROG(pw_tw_schedule, struct inet_timewait_sock *tw, int timeo, bool rearm)
{
	if (rearm)
		renew_timewait(tw);
	return 0;
}

SEC("fentry/inet_twsk_kill")
int BPF_PROG(pw_tw_kill, struct inet_timewait_sock *tw)
{
	end_timewait(tw);
	return 0;
}

/* Stands in for it: the mini-socket's last reference is dropped. */
SEC("fentry/tcp_twsk_destructor")
int BPF_PROG(pw_tw_destructor, struct inet_timewait_sock *tw)
{
	end_timewait(tw);
	return 0;
}

/* Processes. */

SEC("tp_btf/sched_process_exit")
int BPF_PROG(pw_exit, struct task_struct *task)
{
	if (task->signal->live.counter == 0)
		on_exit(task);
	return 0;
}

/* Attached while somebody wants to know what a command has started. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(pw_fork, struct task_struct *parent, struct task_struct *child)
{
	on_fork(parent, child);
	return 0;
}

/* The walk. */

SEC("iter/tcp")
int pw_walk_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct tcp_timewait_sock *tw;
	struct tcp_sock *tp;

	if (!common || !pw_watch_tcp)
		return 0;
	tp = bpf_skc_to_tcp_sock(common);
	if (tp) {
		walk_tcp(ctx->meta->seq, (struct sock *)tp, common->skc_state);
		return 0;
	}
	tw = bpf_skc_to_tcp_timewait_sock(common);
	if (tw)
		walk_timewait(ctx->meta->seq, (void *)tw, bpf_get_socket_cookie(common));
	return 0;
}

SEC("iter/udp")
int pw_walk_udp(struct bpf_iter__udp *ctx)
{
	struct sock *sk = (struct sock *)ctx->udp_sk;

	if (sk && pw_watch_udp && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_UDP)
		walk_udp(ctx->meta->seq, sk);
	return 0;
}

SEC("iter/task_file")
int pw_walk_file(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct task_struct *task = ctx->task;
	struct socket *socket;

	if (!file || !task)
		return 0;
	socket = bpf_sock_from_file(file);
	if (socket && socket->sk)
		walk_file(ctx->meta->seq, socket->sk, task);
	return 0;
}

/* The look. */

SEC("iter/tcp")
int pw_walk_idle(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct tcp_sock *tp;

	if (!common)
		return 0;
	tp = bpf_skc_to_tcp_sock(common);
	if (tp)
		see_idle(ctx->meta->seq, common, tp);
	return 0;
}

SEC("iter/tcp")
int pw_look_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct tcp_timewait_sock *tw;
	struct tcp_sock *tp;

	if (!common)
		return 0;
	tp = bpf_skc_to_tcp_sock(common);
	if (tp) {
		see_socket(ctx->meta->seq, (struct sock *)tp, IPPROTO_TCP, common->skc_state,
			   ctx->uid);
		return 0;
	}
	tw = bpf_skc_to_tcp_timewait_sock(common);
	if (tw)
		see_timewait(ctx->meta->seq, (void *)tw, bpf_get_socket_cookie(common));
	return 0;
}

SEC("iter/udp")
int pw_look_udp(struct bpf_iter__udp *ctx)
{
	struct sock *sk = (struct sock *)ctx->udp_sk;

	if (sk && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_UDP)
		see_socket(ctx->meta->seq, sk, IPPROTO_UDP, udp_state(sk), ctx->uid);
	return 0;
}

SEC("iter/task_file")
int pw_look_file(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct task_struct *task = ctx->task;
	struct socket *socket;

	if (!file || !task)
		return 0;
	socket = bpf_sock_from_file(file);
	if (socket && socket->sk)
		see_file(ctx->meta->seq, socket->sk, task, file);
	return 0;
}

/* Pairs the two clocks: user space needs the kernel's tick. */
SEC("syscall")
int pw_read_clock(struct pw_clock *clock)
{
	clock->jiffies = bpf_jiffies64();
	clock->boot_ns = bpf_ktime_get_boot_ns();
	return 0;
}

/* Asked by the reader when a TIME_WAIT's timer stopped early. */
SEC("syscall")
int pw_check_tw(struct pw_check *check)
{
	check_timewait(check);
	return 0;
}

/* Asked by the reader: which process it is, in the words of the records. */
SEC("syscall")
int pw_self(struct pw_task *self)
{
	read_task(bpf_get_current_task_btf(), self);
	return 0;
}
