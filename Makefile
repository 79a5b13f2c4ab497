# Recado. `make` lists what there is.

PREFIX  ?= /usr
DESTDIR ?=
SECONDS_EACH ?= 30
SEEDS ?= 20

# A checkout without tags or without git has a version all the same.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
export CGO_ENABLED := 1

GO      ?= go
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: help build run test check lint check-emulator browser-test bench bench-peers fuzz stress mutants torture install clean
.DEFAULT_GOAL := help
# One after the other: the tests share the machine, and go test speaks last.
.NOTPARALLEL:

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/recado
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/recado ./cmd/recado

run: build ## The appliance with four emulated modems on http://127.0.0.1:8080/
	bin/recado serve --emulate 4 --trust-clock --webhook-loopback --data ./data --listen 127.0.0.1:8080

test: lint check-emulator browser-test mutants check ## Everything; installs from Debian and npm what it needs and is not there

check: ## go test with the race detector
	@./.ci/need gcc systemd-analyze
	$(GO) test -race -timeout 30m ./...
	$(GO) test -tags failpoints ./queue/failpoint

lint: ## gofmt, go vet, staticcheck
	@./.ci/need gcc
	@unformatted=$$(find . -name '*.go' -not -path '*/node_modules/*' -exec gofmt -l {} +); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w" $$unformatted >&2; exit 1; fi
	$(GO) vet -tags peers ./...
	$(GO) vet -tags failpoints ./queue/... ./pool ./cmd/recado/...
	$(GO) tool staticcheck -tags peers ./...
	$(GO) tool staticcheck -tags failpoints ./queue/failpoint ./pool

check-emulator: ## gammu, smstools and Kannel drive the emulated modems
	@./.ci/need gcc gammu smsd bearerbox
	PATH="$$PATH:/usr/sbin" $(GO) test -tags peers -count=1 ./modem/emulator/peers/

browser-test: build webui/browser/node_modules/.package-lock.json ## The pages in headless Chromium
	@./.ci/need chromium node
	cd webui/browser && node run.mjs ../../bin/recado

webui/browser/node_modules/.package-lock.json: webui/browser/package-lock.json
	@./.ci/need node npm
	cd webui/browser && npm ci --no-audit --no-fund
	@touch $@

bench: ## Recado beside a perfect driver on 1 to 32 emulated modems, and what its packages cost
	RECADO_BENCH_SCALE="$${RECADO_BENCH_SCALE:-0.5}" $(GO) test -run '^$$' -bench . -benchtime 1x -timeout 1h -v ./pool/bench
	$(GO) test -run '^$$' -bench . -benchmem -timeout 1h $$($(GO) list ./... | grep -v /pool/bench)

bench-peers: ## The same beside smstools, gammu-smsd and kannel, into pool/BENCHMARKS.md: an hour on a quiet machine
	@./.ci/need gcc smsd gammu-smsd bearerbox
	RECADO_BENCH_DRIVERS='perfect recado smstools gammu-smsd kannel' RECADO_BENCH_TABLE='$(CURDIR)/pool/BENCHMARKS.md' \
		$(GO) test -run '^$$' -bench 'Drivers|Enqueue' -benchtime 1x -timeout 3h -v ./pool/bench

fuzz: ## Every fuzz target for SECONDS_EACH seconds (30)
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(SECONDS_EACH)s $$package || exit 1; \
		done; \
	done

stress: ## Sixteen modems in 500 random troubles, SEEDS times (20), and every fault at random on one, twenty times as often
	STRESS_RUNS=$(SEEDS) $(GO) test -count=1 -timeout 2h -run '^TestStress$$' -v ./pool
	RECADO_CHAOS_SEEDS=0-$$((20*$(SEEDS))) $(GO) test -count=1 -timeout 2h -run '^TestChaosOfEveryFault$$' ./modem

mutants: ## Bugs put into a copy, each of which the tests that it names have to notice
	@./.ci/need gcc git
	@GO='$(GO)' ./.ci/mutants/run

torture: ## The long proofs of nothing lost and nothing sent twice: an hour or so
	@./.ci/need gcc
	RECADO_POWERCUT_STATES=6000 $(GO) test -count=1 -timeout 1h -v -run '^TestPowerCut$$' ./queue/sqlite/powercut
	RECADO_LATE_RUNS=10000 $(GO) test -count=1 -timeout 1h -v -run '^TestNoAnswerIsAnothersOwn$$' ./modem
	RECADO_REPORT_SEEDS=40 $(GO) test -count=1 -timeout 1h -v -run '^TestEveryReportFindsItsOwnMessage$$' ./queue
	RECADO_PROOF_KILLS=2000 RECADO_PROOF_HITS=1,2,3,5,7,13 RECADO_PROOF_ROUNDS=3 $(GO) test -count=1 -timeout 3h -v ./cmd/recado/proof
	CAMPAIGN=100000 $(GO) test -count=1 -timeout 1h -v -run '^TestACodeInACampaign$$' ./pool
	CHOICE_RUNS=30 $(GO) test -count=1 -timeout 1h -run '^(TestChoiceOfSIM|TestNoIdleSIMKeepsAMessage|TestNothingWaitsBesideAnIdleSIM)$$' ./pool
	RAPID_CHECKS=5000 $(GO) test -count=1 -timeout 1h -run '^(TestHealthyLinesAreNeverFoundMute|TestAMuteLineIsFound|TestFewFollowWithoutLeave)$$' ./pool
	RAPID_CHECKS=1000 $(GO) test -count=1 -timeout 2h -run '^(TestLimitsAreExact|TestLimitsHoldWhateverTheClock|TestTheStoreAgreesWithItsModel|TestRetentionTouchesNothingThatIsNotAtItsEnd|TestNothingLeavesOffItsRoute)$$' ./queue
	RECADO_INBOUND_SEEDS=20 $(GO) test -count=1 -timeout 1h -v -run '^TestNothingReceivedIsLostOrDoubled$$' ./queue/inbox

install: build ## Binary, units, udev rule under DESTDIR (PREFIX=/usr)
	install -D -m 755 bin/recado '$(DESTDIR)$(PREFIX)/bin/recado'
	install -D -m 644 systemd/60-recado-modems.rules '$(DESTDIR)$(PREFIX)/lib/udev/rules.d/60-recado-modems.rules'
	install -D -m 644 systemd/recado.sysusers '$(DESTDIR)$(PREFIX)/lib/sysusers.d/recado.conf'
	install -D -m 644 systemd/recado.tmpfiles '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/recado.conf'
	install -D -m 644 systemd/serial-getty-recado.conf '$(DESTDIR)$(PREFIX)/share/recado/serial-getty-recado.conf'
	install -D -m 644 README.md '$(DESTDIR)$(PREFIX)/share/doc/recado/README.md'
	install -d '$(DESTDIR)$(PREFIX)/lib/systemd/system'
	@# The unit says where the binary is.
	sed 's|/usr/bin/recado|$(PREFIX)/bin/recado|' systemd/recado.service > '$(DESTDIR)$(PREFIX)/lib/systemd/system/recado.service'
	sed -i 's|/usr/bin/recado|$(PREFIX)/bin/recado|' '$(DESTDIR)$(PREFIX)/share/recado/serial-getty-recado.conf'
	@# What somebody has changed stays.
	[ -e '$(DESTDIR)/etc/recado/recado.toml' ] || install -D -m 640 systemd/recado.toml '$(DESTDIR)/etc/recado/recado.toml'

clean: ## What make made (not ./data)
	rm -rf bin
	$(GO) clean -testcache
