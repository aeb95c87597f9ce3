# The two commands to know are `make demo` and `make test`.

GO ?= go
BIN := $(CURDIR)/.bin
PACKAGES := $(shell sed -n 's,^\t\(\./.*\),\1/...,p' go.work)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List what you can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-24s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Show messages going through, with nothing but Go installed
	$(GO) run ./sdk/examples/demo --messageproxy $(BIN)/messageproxy

.PHONY: build
build: ## Build the server, .bin/messageproxy
	$(GO) build -o $(BIN)/messageproxy ./server/cmd/messageproxy

.PHONY: test
test: setup ## Run every test of every module (MODULES="api broker": those alone)
	tools/test $(MODULES)

.PHONY: test-sdk-typescript test-sdk-python test-sdk-java
test-sdk-typescript: ## Run every check of the TypeScript SDK
test-sdk-python: ## Run every check of the Python SDK
test-sdk-java: ## Run every check of the Java SDK
test-sdk-typescript test-sdk-python test-sdk-java: test-sdk-%:
	tools/setup languages
	tools/test-sdk $*

.PHONY: conformance
conformance: ## Show for each SDK that it does what sdk/SPEC.md says (SDKS="go python": those alone)
	tools/setup go languages
	tools/conformance $(SDKS)

.PHONY: setup
setup: ## Install what the tests need, Docker and the Kafka image included
	tools/setup

.PHONY: sim
sim: ## Attack the proxy in virtual time (PLANS=2000, TIME=1h, RACE=1, REPLAY=plan: see tools/sim)
	tools/sim

.PHONY: sim-mutants
sim-mutants: ## Show that it notices when the proxy breaks a rule (MUTANTS="name,name": those alone)
	$(GO) run ./integration/simulation/mutants/cmd -only "$(MUTANTS)"

.PHONY: faults
faults: ## Break networks, proxies and a real Kafka under load, ROUNDS=5 times each
	tools/faults $(ROUNDS)

.PHONY: bench
bench: setup ## Measure what the proxy costs, and write docs/benchmarks.md (BENCH="-rounds 3": see tools/cmd/bench)
	$(GO) run ./tools/cmd/bench -kafka container -markdown docs/benchmarks.md -json .cache/bench.json $(BENCH)

.PHONY: pgo
pgo: setup ## Profile the proxy, for the compiler: writes server/cmd/messageproxy/default.pgo, after changes of what is done for each message
	$(GO) run ./tools/cmd/bench -kafka container -only profiles -profiles .cache/profiles -pgo server/cmd/messageproxy/default.pgo

.PHONY: bench-smoke
bench-smoke: ## Run every benchmark once
	$(GO) test -tags synctests -run '^$$' -bench . -benchtime 1x $(filter-out ./integration/...,$(PACKAGES))

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME each, 30s if not set (MODULES="server sdk/go": theirs)
	tools/fuzz $(MODULES)

.PHONY: check
check: check-format check-tidy lint check-api ## Run every check but the tests

.PHONY: lint
lint: $(BIN)/golangci-lint ## Lint every module
	$(BIN)/golangci-lint run $(PACKAGES)
	$(GO) test -count=1 -tags lint ./tools/lint

.PHONY: check-format
check-format: $(BIN)/golangci-lint
	$(BIN)/golangci-lint fmt --diff

.PHONY: check-tidy
check-tidy:
	for module in $(PACKAGES:/...=); do (cd $$module && GOWORK=off $(GO) mod tidy -diff) || exit; done

.PHONY: check-api
check-api: $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/codegen/done ## Check the wire contract and the code generated from it
	tools/check-api

.PHONY: check-release
check-release: ## Release to a module proxy on disk, and use what came out
	cd tools && GOWORK=off $(GO) test -count=1 -v -run '^TestApplicationsCanUseARelease$$' ./release

.PHONY: fmt
fmt: $(BIN)/golangci-lint ## Format the code
	$(BIN)/golangci-lint fmt

.PHONY: generate
generate: $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/codegen/done ## Generate the code of the wire contract, for all languages
	cd api && $(BIN)/buf generate

.PHONY: tidy
tidy: ## Tidy the go.mod of every module
	for module in $(PACKAGES:/...=); do (cd $$module && GOWORK=off $(GO) mod tidy) || exit; done

# The pinned tools are modules of their own, outside the workspace, so that what
# they depend on decides nothing here.
$(BIN)/golangci-lint: tools/pinned/lint/go.mod tools/pinned/lint/go.sum
	GOWORK=off GOBIN=$(BIN) $(GO) -C tools/pinned/lint install tool
	@touch $@

$(BIN)/buf: tools/pinned/buf/go.mod tools/pinned/buf/go.sum
	GOWORK=off GOBIN=$(BIN) $(GO) -C tools/pinned/buf install tool
	@touch $@

$(BIN)/codegen/done: $(wildcard tools/codegen/*) tools/codegen/.npmrc
	tools/setup languages
	tools/codegen/setup $(BIN)/codegen
	@touch $@

$(BIN)/protoc-gen-go: tools/pinned/protoc/go.mod tools/pinned/protoc/go.sum
	GOWORK=off GOBIN=$(BIN) $(GO) -C tools/pinned/protoc install tool
	@touch $@
