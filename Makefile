# make demo    a real migration in the test world, shown step by step
# make world   the test world alone, to try the program's commands in
# make test    linters, unit tests and end-to-end tests, on both engines; a failure does not stop it. For one part, run for
#              example make test-page (TEST_PARTS below lists them). JUnit reports and engine logs are in test-results/
# make bench   the benchmark: this program and others; two hours, on a machine that does nothing else
# make fuzz    each fuzz target for FUZZ_TIME; failing inputs are kept as seeds under testdata/fuzz, which make test runs, too
# make build   the program, for this machine
# make engines the Docker Engines of the test world, found or built, and cached
# make lint    the linters alone
# make setup   the Debian packages for everything; each target installs those that it needs itself

# Each entry is a package, or package:command where the command on PATH can replace the package.
DEMO_PACKAGES     := ca-certificates git:git iproute2:ip
UNIT_PACKAGES     := gcc git:git libc6-dev
ENGINE_PACKAGES   := ca-certificates e2fsprogs:mkfs.ext4 gcc git:git iproute2 iptables libc6-dev libdevmapper1.02.1 libseccomp-dev pigz pkgconf
PAGE_PACKAGES     := chromium:chromium fonts-liberation
SHIPPED_PACKAGES  := busybox-static docker-compose:docker-compose nodejs:node npm:npm rsync:rsync
WORLD_PACKAGES    := awscli:aws

GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# go test, with a JUnit report for each part, and what failed once more at the end.
GOTESTSUM := go run gotest.tools/gotestsum@v1.13.0 --hide-summary=skipped

# What make test runs, in this order, each as make test-PART.
TEST_PARTS := lint unit page world shipped scenarios
# Where the parts leave JUnit reports, pictures of the page, and the logs of the engines whose tests have failed.
RESULTS    := $(CURDIR)/test-results

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.revision=$(REVISION)

E2E_TIMEOUT ?= 60m
FUZZ_TIME   ?= 20s

.PHONY: build demo world test bench fuzz lint engines
.PHONY: setup setup-demo setup-unit setup-engines setup-page setup-shipped setup-world
.PHONY: test-lint test-unit test-page test-world test-shipped test-scenarios test-bench
# The tests of two modules at once would share the processors that their timeouts count on.
.NOTPARALLEL:
.DEFAULT_GOAL := build

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o ecr2gitlab .

demo: setup-demo
	cd e2e && go run ./cmd/demo

world: setup-demo
	cd e2e && go run ./cmd/demo -stay

# All parts run, and the last lines show how long each took.
test: setup
	@rm -rf $(RESULTS); failed=; table=; \
	for part in $(TEST_PARTS); do \
		began=$$(date +%s); ended=passed; \
		$(MAKE) --no-print-directory test-$$part || { ended=FAILED; failed="$$failed $$part"; }; \
		took=$$(($$(date +%s) - began)); \
		table="$$table$$(printf '%-10s %-6s after %2d min %2d s' $$part $$ended $$((took / 60)) $$((took % 60)))\n"; \
	done; \
	printf "\n$$table"; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed; see $(RESULTS)" >&2; exit 1; fi

# To run a part of it, for example: cd e2e && go run ./cmd/bench -only ours,script -rounds 1 -network tls30 -kinds containerd
bench: setup-engines
	cd e2e && go run ./cmd/bench

# $(call go_test,PART,FOLDER,FLAGS AND PACKAGES,OUTPUT). Results are not cached: they depend on the engines, too.
go_test = mkdir -p $(RESULTS)/$(1) && cd $(2) && $(GOTESTSUM) --junitfile $(RESULTS)/$(1).xml \
	$(4) -- -count=1 -artifacts -outputdir $(RESULTS)/$(1) $(3)

test-unit: setup-unit
	$(call go_test,unit,.,-race ./...,--format pkgname)

# go test fuzzes one target at a time. Few attempts to minimize an input: more would use up the time.
fuzz:
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "fuzz: $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 20x $$package || exit; \
		done; \
	done

# The tests of the page run alone, because they measure times.
test-page: setup-page
	$(call go_test,page,e2e,./page,--format pkgname)

test-world: setup-engines setup-world
	$(call go_test,world,e2e,-race -timeout $(E2E_TIMEOUT) ./world/...,--format pkgname)

test-shipped: setup-engines setup-shipped
	$(call go_test,shipped,e2e,-timeout $(E2E_TIMEOUT) ./shipped/...,--format pkgname)

# Verbose, because they print the table of all kinds of images. Most spend their time waiting, so several run at once. Only
# the program has the race detector: in the world around it, it would use too much processor time.
test-scenarios: setup-engines
	$(call go_test,scenarios,e2e,-parallel 6 -timeout $(E2E_TIMEOUT) ./scenarios,--format standard-verbose)

# The benchmark's own tests, which no change to the program can break.
test-bench: setup-engines
	$(call go_test,bench,e2e,-race -timeout $(E2E_TIMEOUT) ./bench,--format pkgname)

test-lint: lint

lint:
	@echo 'lint: golangci-lint builds from its Go module, which takes two or three minutes the first time'
	$(GOLANGCI_LINT) run ./...
	cd e2e && $(GOLANGCI_LINT) run ./...

engines: setup-engines
	cd e2e && go run ./cmd/engines

setup:
	$(call install,$(sort $(UNIT_PACKAGES) $(ENGINE_PACKAGES) $(PAGE_PACKAGES) $(SHIPPED_PACKAGES) $(WORLD_PACKAGES)),docker.io)
setup-demo:
	$(call install,$(DEMO_PACKAGES))
setup-unit:
	$(call install,$(UNIT_PACKAGES))
# The classic engine is unpacked from Debian's docker.io, which apt has to know.
setup-engines:
	$(call install,$(ENGINE_PACKAGES),docker.io)
setup-page:
	$(call install,$(PAGE_PACKAGES))
setup-shipped:
	$(call install,$(SHIPPED_PACKAGES))
setup-world:
	$(call install,$(WORLD_PACKAGES))

# $(call install,PACKAGES,PACKAGE THAT APT HAS TO KNOW)
define install
	@missing=; \
	for entry in $(1); do \
		package=$${entry%%:*}; command=$${entry#*:}; \
		command -v "$$command" >/dev/null && continue; \
		status=$$(dpkg-query -W -f '$${db:Status-Status}' "$$package" 2>/dev/null || :); \
		[ "$$status" = installed ] || missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ] && { [ -z "$(2)" ] || apt-cache show $(2) >/dev/null 2>&1; }; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then \
		echo "$@: needs root for apt-get update and apt-get install$$missing" >&2; exit 1; \
	fi; \
	echo "$@: apt-get update, then apt-get install$$missing"; \
	apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $$missing >/dev/null
endef
