# vmconv: `make help` lists what there is.
SHELL := /bin/bash
GO    ?= go
BIN   := bin/vmconv
CACHE ?= $(CURDIR)/.cache
export CGO_ENABLED := 0
export VMCONV_CACHE := $(CACHE)

.DEFAULT_GOAL := help
.PHONY: help build demo test unit soak bench fuzz lint cross guests clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(BIN) ## build the static binary, bin/vmconv

$(BIN): FORCE
	@$(GO) build -trimpath -o $(BIN) ./cmd/vmconv

demo: ## convert a small Xen guest and boot it before and after (installs what it lacks)
	@scripts/setup demo
	@$(MAKE) --no-print-directory build
	@VMCONV=$(CURDIR)/$(BIN) scripts/demo

test: ## run everything but soak and bench, boots included (installs what it lacks)
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	@scripts/test

unit: ## run the fast tests beside the code only
	@$(GO) test ./...

lint: ## gofmt, go vet, and the same for the other systems
	@scripts/lint

fuzz: ## fuzz every parser, FUZZTIME each (default 10s)
	@scripts/fuzz $${FUZZTIME:-10s}

guests: ## build the real guests that the tests boot, into .cache
	@scripts/setup test
	@scripts/guests

soak: ## long random, cut and fuzz runs: hours
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	@scripts/soak

bench: ## speed, as ratios against the real competitor
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	@scripts/bench

clean: ## remove what was built; the guests in .cache stay
	@rm -rf bin demo

FORCE:
