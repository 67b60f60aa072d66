// Package sockdiag lists the sockets of a network namespace as the kernel
// tells them over NETLINK_SOCK_DIAG, the interface of ss(8). It is the
// independent oracle of portwatch's own view and the source of its mode
// without BPF.
//
// What it cannot show: TCP sockets that are bound and nothing else before
// Linux 6.12, and the owner of a TIME_WAIT. A side effect belongs to it: the
// kernel gives a cookie to every socket that it lists.
package sockdiag
