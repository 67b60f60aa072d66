package tracer

//go:generate ../../scripts/generate
