// Package tracertest holds what the tests of the tracer and its parts share:
// private network namespaces and the rule for tests that need root.
package tracertest
