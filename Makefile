# Every step of CI is a target; the work is done by scripts/.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/portwatch; needs Go only
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/portwatch ./cmd/portwatch

.PHONY: run
run: build ## build, then show live port use as root
	$(SUDO) bin/portwatch top

.PHONY: generate
generate: ## the BPF object and its Go bindings; needs clang-19
	scripts/generate

.PHONY: check-generated
check-generated: ## rebuild the BPF object and compare bytes
	scripts/check-generated

.PHONY: fmt
fmt: ## format Go and BPF sources
	scripts/fmt

.PHONY: lint
lint: ## vet, linters, formats, budgets, import fences
	scripts/lint

.PHONY: test
test: ## everything that this machine can run; as root it installs what is missing
	scripts/test

.PHONY: test-short
test-short: ## the inner loop: no root, no kernel
	scripts/test -short

.PHONY: test-kernels
test-kernels: ## the scenarios on this kernel and, in virtual machines, on others
	scripts/vmtest/run $(VMFLAGS)

.PHONY: bench
bench: build ## side by side with other tools as root, about 40 min, to docs/performance.md; BENCHFLAGS=-h
	$(SUDO) env "PATH=$$PATH" scripts/bench/run $(BENCHFLAGS)

.PHONY: bench-recording
bench-recording: ## bytes per event and events a second of recordings, on one core
	GOMAXPROCS=1 go test -run '^$$' -bench . -benchtime 3x ./internal/recording

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
