// Package portrange reads the settings of a network namespace that decide
// which local ports the kernel gives, and for how long it keeps them.
package portrange
