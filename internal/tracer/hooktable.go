package tracer

// hooks is the one table of what is attached, in this order. Mode full follows
// the kernel's functions; mode tracepoint does without trampolines and without
// kprobes. What both know is handled by the same code (bpf/).
//
// Not in it, though they look as if they belonged there: inet_put_port(), which
// says nothing that the change to CLOSE and tcp_destroy_sock do not say, at two
// runs per connection; tcp_time_wait(), whose time-out is not the final one (the
// kernel raises it to 3.5 times the RTO), while the mini-socket's timer, which is
// armed by the time the socket turns CLOSE, has it; udp_lib_get_port(), which
// cannot tell bind() from send().
var hooks = [...]hook{
	{
		program: "pw_destroy", modes: inBoth, on: onTracepoint, targets: []string{"tcp_destroy_sock"}, required: true,
		lacks: "release of TCP ports that were bound by number",
	},
	{
		program: "pw_set_state", modes: inBoth, on: onTracepoint, targets: []string{"inet_sock_set_state"}, required: true,
		lacks: "TCP",
	},
	{
		program: "pw_set_state2", modes: inTracepoint, on: onTracepoint, targets: []string{"inet_sock_set_state"}, second: true,
		lacks: "state changes that a softirq makes in the middle of another: a walk finds them",
	},
	{
		program: "pw_destroy2", modes: inTracepoint, on: onTracepoint, targets: []string{"tcp_destroy_sock"}, second: true,
		lacks: "releases likewise",
	},
	{
		program: "pw_retransmit", modes: inBoth, on: onTracepoint, targets: []string{"tcp_retransmit_skb"},
		lacks: "the port of a connect() whose SYN is not answered",
	},

	{
		program: "pw_timer_cancel", modes: inTracepoint, on: onTracepoint, targets: []string{"timer_cancel"}, timer: true,
		lacks: "the moment at which a TIME_WAIT ends: it is computed",
	},
	{
		program: "pw_connect_x", modes: inTracepoint, on: onSyscall, targets: []string{"connect"},
		lacks: "errno of a refused connect(), UDP connect()",
	},
	{
		program: "pw_bind_x", modes: inTracepoint, on: onSyscall, targets: []string{"bind"},
		lacks: "refused bind()",
	},
	{
		program: "pw_listen_x", modes: inTracepoint, on: onSyscall, targets: []string{"listen"},
		lacks: "refused listen()",
	},
	{
		program: "pw_send_x", modes: inTracepoint, on: onSyscall, targets: []string{"sendto", "sendmsg", "sendmmsg"},
		lacks: "refused UDP send",
	},
	{program: "pw_post_bind4", modes: inBoth, on: onCgroup, lacks: "bind() on IPv4 until the next walk"},
	{program: "pw_post_bind6", modes: inBoth, on: onCgroup, lacks: "bind() on IPv6 until the next walk"},
	{program: "pw_connect4", modes: inBoth, on: onCgroup, lacks: "owner of a UDP port taken by connect()"},
	{program: "pw_connect6", modes: inBoth, on: onCgroup, lacks: "owner of a UDP port taken by connect() on IPv6"},
	{program: "pw_sendmsg4", modes: inTracepoint, on: onCgroup, lacks: "UDP ports taken by send until the next walk"},
	{program: "pw_sendmsg6", modes: inTracepoint, on: onCgroup, lacks: "UDP ports taken by send on IPv6 until the next walk"},
	{program: "pw_sock_release", modes: inTracepoint, on: onCgroup, lacks: "release of UDP ports until the next walk"},

	{
		program: "pw_hash_connect4", modes: inFull, on: onExit, targets: []string{"inet_hash_connect"}, required: true,
		lacks: "TCP connect()",
	},
	{
		program: "pw_hash_connect6", modes: inFull, on: onExit, targets: []string{"inet6_hash_connect"},
		lacks: "TCP connect() on IPv6",
	},
	{
		program: "pw_stream_connect", modes: inFull, on: onExit, targets: []string{"__inet_stream_connect"},
		lacks: "connect() refused before a port is looked for",
	},
	{
		program: "pw_stream_connect_outer", modes: inFull, on: onExit, targets: []string{"inet_stream_connect"},
		standsInFor: "pw_stream_connect", lacks: "connect() refused before a port is looked for",
	},
	{
		program: "pw_dgram_connect", modes: inFull, on: onEntry, targets: []string{"inet_dgram_connect"},
		standsInFor: "pw_connect4", lacks: "that a refused connect() on UDP was no send",
	},
	{
		program: "pw_dgram_connect_x", modes: inFull, on: onExit, targets: []string{"inet_dgram_connect"},
		lacks: "UDP connect() until the next walk",
	},
	{
		program: "pw_bind4", modes: inFull, on: onExit, targets: []string{"__inet_bind"}, required: true,
		lacks: "bind() on IPv4 until the next walk",
	},
	{
		program: "pw_bind6", modes: inFull, on: onExit, targets: []string{"__inet6_bind"},
		lacks: "bind() on IPv6 until the next walk",
	},
	{
		program: "pw_bind4_outer", modes: inFull, on: onExit, targets: []string{"inet_bind"},
		lacks: "bind() refused before its address is looked at",
	},
	{
		program: "pw_bind6_outer", modes: inFull, on: onExit, targets: []string{"inet6_bind"},
		lacks: "bind() on IPv6 refused before its address is looked at",
	},
	{
		program: "pw_get_port", modes: inFull, on: onExit, targets: []string{"inet_csk_get_port"},
		lacks: "refused listen(), and the port that listen() takes until the next walk",
	},
	{
		program: "pw_listen_outer", modes: inFull, on: onExit, targets: []string{"inet_listen"},
		lacks: "listen() refused for the state of the socket",
	},
	{
		program: "pw_autobind", modes: inFull, on: onExit, targets: []string{"inet_autobind"},
		lacks: "UDP ports taken by a send until the next walk, and refused sends",
	},
	{
		program: "pw_udp_unhash", modes: inFull, on: onEntry, targets: []string{"udp_lib_unhash"},
		lacks: "release of UDP ports until the next walk",
	},
	{
		program: "pw_udp_disconnect", modes: inFull, on: onExit, targets: []string{"__udp_disconnect"},
		lacks: "UDP sockets that another program disconnects, until the next walk",
	},
	{
		program: "pw_tw_alloc", modes: inFull, on: onExit, targets: []string{"inet_twsk_alloc"},
		lacks: "that a TIME_WAIT is missing for want of room",
	},
	{
		program: "pw_tw_schedule", modes: inFull, on: onExit, targets: []string{"__inet_twsk_schedule"},
		lacks: "the renewal of a TIME_WAIT until the next walk",
	},
	{
		program: "pw_tw_kill", modes: inFull, on: onEntry, targets: []string{"inet_twsk_kill"},
		lacks: "the moment at which a TIME_WAIT ends: it is computed",
	},
	{
		program: "pw_tw_destructor", modes: inFull, on: onEntry, targets: []string{"tcp_twsk_destructor"},
		standsInFor: "pw_tw_kill", lacks: "the moment at which a TIME_WAIT ends: it is computed",
	},

	{
		program: "pw_exit", modes: inBoth, on: onTracepoint, targets: []string{"sched_process_exit"},
		lacks: "the exit of an owner",
	},
}
