# plantgate: `make` lists the targets. `make run` and `make test` need Go only.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   := -s -w -X main.version=$(VERSION)
GOTEST    ?= go test
FUZZTIME  ?= 10s
BENCHTIME ?= 1s
TOOLS     := $(CURDIR)/.tools/bin

GOLANGCI_VERSION := v2.15.0
GOLANGCI         := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)

K6_VERSION := v1.8.1
K6         := $(TOOLS)/k6-$(K6_VERSION)

# Rounds and lengths of long tests: the short form is the default, `make soak` sets
# the full one. What they mean stands in CONTRIBUTING.md.
SOAK := PLANTGATE_TEST_ROUNDS=50 PLANTGATE_TEST_KILLS=200 PLANTGATE_TEST_CUTS=1000 PLANTGATE_TEST_BODIES=50000 \
	PLANTGATE_TEST_OUTAGE=30 PLANTGATE_TEST_DISPATCHES=20000 PLANTGATE_TEST_DISPATCH_KILLS=120 \
	PLANTGATE_TEST_FLOOD=100000 PLANTGATE_TEST_BLACK_HOLE=60 PLANTGATE_TEST_OPCUA_SOAK=300 PLANTGATE_TEST_REBUILDS=500

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | \
		while IFS=$$'\t' read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

# TAGS=kerberos adds logins by Kerberos, which cost a megabyte of memory.
.PHONY: build
build: ## Build ./plantgate
	go build -trimpath -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o plantgate ./cmd/plantgate

.PHONY: run
run: build ## Start a living plant: server, broker and simulated machines
	./plantgate demo

.PHONY: test
test: ## Test everything that needs Go only
	$(GOTEST) ./...
	$(GOTEST) -tags kerberos -run Kerberos ./internal/config ./internal/store

.PHONY: test-race
test-race: ## The same with the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GOTEST) -race ./...

.PHONY: integration
integration: peers build ## Test against real brokers, OPC UA servers, Python clients and a browser
	scripts/integration.sh $(GOTEST)
	scripts/browser/run.sh ./plantgate

.PHONY: soak
soak: peers ## The long form of every long or repeated test: hours
	env $(SOAK) $(GOTEST) -tags integration -count=1 -p 1 -timeout 12h ./...
	$(MAKE) fuzz FUZZTIME=10m

# An hour; SOAK_SECONDS=180 is three minutes.
SOAK_SECONDS ?= 3600
.PHONY: soak-mqtt
soak-mqtt: ## Let 1,000 machines send through one connection for an hour; memory must stay
	@PATH="$$PATH:/usr/sbin" command -v mosquitto >/dev/null || { echo "this test needs mosquitto: apt-get install mosquitto" >&2; exit 1; }
	PLANTGATE_TEST_SOAK=$(SOAK_SECONDS) go test ./internal/crashtest -tags integration -run SoakMQTT -count 1 -v -timeout 0

# A quarter of an hour; OPCUA_SECONDS=20 shortens the load.
OPCUA_SECONDS ?= 300
.PHONY: soak-opcua
soak-opcua: .venv/.done internal/opcua/testdata/peers/node_modules/.done ## Store 20,000 changes a second of OPC UA nodes; build connections anew 500 times
	PLANTGATE_TEST_OPCUA_SOAK=$(OPCUA_SECONDS) go test ./internal/app -tags integration -run SoakOPCUA -count 1 -v -timeout 0
	PLANTGATE_TEST_REBUILDS=500 go test ./internal/opcua -tags integration -run SoakRebuilds -count 1 -v -timeout 0

.PHONY: fuzz
fuzz: ## Fuzz every decoder of outside bytes, each for FUZZTIME
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Run every benchmark
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

.PHONY: test-sqlserver
test-sqlserver: needs-sqlserver ## Contract, kills, outages and clusters on the SQL Server that PLANTGATE_TEST_SQLSERVER names
	go test ./internal/store -run SQLServer -count 1 -timeout 20m -parallel 4
	go test ./internal/crashtest -tags integration -run SQLServer -count 1 -timeout 30m

.PHONY: soak-sqlserver
soak-sqlserver: needs-sqlserver ## The long form of the same: hours
	env $(SOAK) go test ./internal/crashtest -tags integration -run SQLServer -count 1 -timeout 12h

.PHONY: needs-sqlserver
needs-sqlserver:
	@test -n "$$PLANTGATE_TEST_SQLSERVER" || { echo "PLANTGATE_TEST_SQLSERVER must be the DSN of a server where databases may be made" >&2; exit 1; }
	@PATH="$$PATH:/usr/sbin" command -v mosquitto >/dev/null || { echo "these tests need mosquitto: apt-get install mosquitto" >&2; exit 1; }

# A quarter of an hour; BENCHFLAGS=-short is a minute, BENCHFLAGS=-help lists the rest.
.PHONY: bench-system
bench-system: ## Measure the whole program, HTTPS and MQTT, against echo and disk
	go run ./scripts/benchsystem $(BENCHFLAGS)

.PHONY: lint
lint: $(GOLANGCI) ## Run golangci-lint
	$(GOLANGCI) run --allow-parallel-runners ./...

.PHONY: fmt
fmt: $(GOLANGCI) ## Format the code
	$(GOLANGCI) fmt ./...

.PHONY: generate
generate: ## Make the OpenAPI documents of the comments in api/
	go run ./openapi/generate

.PHONY: verify
verify: ## Fail if something generated, tidied or formatted is not up to date
	go run ./openapi/generate -check
	go mod tidy -diff
	go mod verify
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l); \
		if [ -n "$$unformatted" ]; then echo "not formatted: $$unformatted" >&2; exit 1; fi

.PHONY: check
check: ## What CI runs
	.ci/run

.PHONY: versions
versions:
	@go version; python3 --version; echo "node $$(node --version)"; chromium --version --no-sandbox 2>/dev/null || true

.PHONY: clean
clean: ## Remove what was built and the data of the demo
	rm -rf plantgate dist coverage.out data/demo .venv scripts/browser/node_modules internal/opcua/testdata/peers/node_modules internal/crashtest/testdata/publishers/node_modules internal/app/testdata/sparkplug/node_modules

# What integration tests talk to, besides the packages that `needs` names.
.PHONY: peers
peers: needs $(K6) .venv/.done scripts/browser/node_modules/.done internal/opcua/testdata/peers/node_modules/.done internal/crashtest/testdata/publishers/node_modules/.done internal/app/testdata/sparkplug/node_modules/.done

.PHONY: needs
needs:
	@missing=; \
	for pair in mosquitto:mosquitto mosquitto_pub:mosquitto-clients rabbitmq-server:rabbitmq-server shellcheck:shellcheck strace:strace faketime:faketime chromium:chromium curl:curl node:nodejs npm:npm python3:python3-venv; do \
		PATH="$$PATH:/usr/sbin:/usr/lib/rabbitmq/bin" command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "integration tests need these packages (Debian names): apt-get install$$missing" >&2; exit 1; \
	fi

.venv/.done: scripts/python/requirements.txt
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

%/node_modules/.done: %/package.json %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund --loglevel=error
	touch $@

$(GOLANGCI):
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/golangci-lint $@

$(K6):
	GOBIN=$(TOOLS) go install go.k6.io/k6@$(K6_VERSION)
	mv $(TOOLS)/k6 $@
