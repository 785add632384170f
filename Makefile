# make demo    a real migration in the test world, shown step by step
# make world   the test world alone, to try the program's commands in
# make test    linters, unit tests and end-to-end tests, on both engines
# make bench   what migrations take, ours beside others; two hours, on a machine that does nothing else
# make fuzz    each fuzz target for FUZZ_TIME; what fails is kept as a seed under testdata/fuzz, which make test runs, too
# make build   the program, for this machine
# make engines the Docker Engines of the test world, found or built, and cached
# make lint    the linters alone
# make setup   the Debian packages that the test world needs (run by demo, test, bench and engines)

# package, or package:command where a command on PATH does as well as the package.
APT_PACKAGES := \
	awscli:aws \
	busybox-static \
	ca-certificates \
	chromium:chromium \
	e2fsprogs:mkfs.ext4 \
	docker-compose:docker-compose \
	fonts-liberation \
	gcc \
	git:git \
	iproute2 \
	iptables \
	libc6-dev \
	libdevmapper1.02.1 \
	libseccomp-dev \
	nodejs:node \
	npm:npm \
	pigz \
	pkgconf \
	rsync:rsync

GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.revision=$(REVISION)

E2E_TIMEOUT ?= 60m
FUZZ_TIME   ?= 20s

.PHONY: build demo world test bench bench-test unit fuzz e2e lint engines setup
# The tests of two modules at once would share the processors that their timeouts count on.
.NOTPARALLEL:
.DEFAULT_GOAL := build

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o ecr2gitlab .

demo: setup
	cd e2e && go run ./cmd/demo

world: setup
	cd e2e && go run ./cmd/demo -stay

test: setup lint unit e2e

# In part, say: cd e2e && go run ./cmd/bench -only ours,script -rounds 1 -latency 30ms -kinds containerd
bench: setup
	cd e2e && go run ./cmd/bench

unit:
	go test -race ./...

# go test fuzzes one target at a time. An input is made smaller by a few tries: more would use up the time.
fuzz:
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "fuzz: $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 20x $$package || exit; \
		done; \
	done

# The results are not cached: they depend on the engines, too. The engines run as root. First the page in a browser, by
# itself, because its times count; then the parts of the test world and what is shipped, then the program in that world,
# which says what it does, and prints the table of all shapes of images. That program has the race detector, and its world
# has not, which would keep the processors busy.
e2e: setup
	cd e2e && go test -count=1 ./page
	cd e2e && go test -race -count=1 -timeout $(E2E_TIMEOUT) ./world/... ./shipped/...
	cd e2e && go test -count=1 -timeout $(E2E_TIMEOUT) -v ./scenarios

# The benchmark's own tests, which no change to the program can break.
bench-test: setup
	cd e2e && go test -race -count=1 -timeout $(E2E_TIMEOUT) ./bench

lint:
	@echo 'lint: golangci-lint builds from its Go module, which lasts two or three minutes the first time'
	$(GOLANGCI_LINT) run ./...
	cd e2e && $(GOLANGCI_LINT) run ./...

engines: setup
	cd e2e && go run ./cmd/engines

# apt's lists are needed even where no package is: the classic engine is unpacked from Debian's docker.io.
setup:
	@missing=; \
	for entry in $(APT_PACKAGES); do \
		package=$${entry%%:*}; command=$${entry#*:}; \
		command -v "$$command" >/dev/null && continue; \
		status=$$(dpkg-query -W -f '$${db:Status-Status}' "$$package" 2>/dev/null || :); \
		[ "$$status" = installed ] || missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ] && apt-cache show docker.io >/dev/null 2>&1; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then \
		echo "setup: needs root for apt-get update and apt-get install$$missing" >&2; exit 1; \
	fi; \
	echo "setup: apt-get update, then apt-get install$$missing"; \
	apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $$missing >/dev/null
