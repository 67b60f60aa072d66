// Package route asks the kernel for routes and local addresses, through netlink:
// no socket of an address family is opened, and no port is taken.
package route
