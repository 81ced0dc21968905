# Everything a newcomer needs is `make demo` and `make test`; both set themselves up from python3 and pip alone.
PYTHON ?= python3
# Another Python gets an environment of its own, so that both can be measured: make bench PYTHON=/usr/bin/python3
VENV   ?= $(if $(filter python3,$(PYTHON)),.venv,out/venv-$(subst /,-,$(patsubst /%,%,$(PYTHON))))
BIN    := $(VENV)/bin
ORDERS ?= 200
RATE   ?= 20
JSON   ?=
KILL   ?=
ONLY   ?=
PARTS  ?=
SET    ?=
# What every peer may rely on: the .proto files as they last landed. A file, since clones of CI may be shallow. Only the
# streams were ever taken out of it: optional, off by default, a promise to no peer (decision 0028).
PROTO_BASELINE := docs/proto-baseline.json
BENCH   = $(if $(PARTS),--parts $(PARTS)) $(foreach one,$(SET),--set $(one)) $(if $(WITHOUT),--without "$(WITHOUT)")
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo up test check verify gen bench bench-report bench-metrics prove-sample prove-all prove-planted schemathesis fuzz interop proto-baseline sbom lock report-sample clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/uv: requirements-uv.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-uv.txt
	@touch $@

$(VENV)/.run: $(BIN)/uv requirements.txt requirements-build.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt -r requirements-build.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.run ## the whole network on this machine, fed with real baskets, then audited (ORDERS=200 RATE=20 JSON=file KILL=analytics=3)
	$(BIN)/autogrocery demo --orders $(ORDERS) --rate $(RATE) $(if $(JSON),--json $(JSON)) $(foreach one,$(KILL),--kill $(one))

up: $(VENV)/.run ## the whole network on this machine, until Ctrl-C
	$(BIN)/autogrocery up

test: check out/debian/.done ## checks, then every test, on real PostgreSQL, gRPC and ZeroMQ
	$(BIN)/pytest

out/debian/.done: tools/debian_programs.sh
	@tools/debian_programs.sh out/debian haproxy pgbouncer
	@touch $@

check: $(VENV)/.dev ## lint, types, import rules, dependencies, SQL of the migrations, .proto files
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry --no-ansi src
	$(BIN)/squawk $$(git ls-files 'src/*/migrations/*.sql' ':!src/autogrocery/analytics')  # those are ClickHouse's SQL
	$(BIN)/buf lint
	$(BIN)/buf breaking --against $(PROTO_BASELINE)
	$(MAKE) --no-print-directory verify

proto-baseline: $(VENV)/.dev ## after an addition to a .proto file: keep it, so that no later change takes it back
	$(BIN)/buf breaking --against $(PROTO_BASELINE)
	$(BIN)/buf build --as-file-descriptor-set --exclude-source-info -o -\#format=json | $(BIN)/python -m json.tool --indent 1 > $(PROTO_BASELINE).new
	mv $(PROTO_BASELINE).new $(PROTO_BASELINE)

gen: $(VENV)/.dev ## write the generated files anew (protobuf, FlatBuffers, docs)
	$(BIN)/python -m tools.gen

verify: $(VENV)/.dev ## generated files are what `make gen` would write
	$(BIN)/python -m tools.gen --check

bench: SECONDS ?= 3
bench: CONNECTIONS ?= 1,8,64,128,512
bench: GATEWAYS ?= 1
bench: LINES ?= 3
bench: $(VENV)/.run ## what an order costs, beside pgbench, in less than 4 minutes (SECONDS=3 CONNECTIONS=1,8,64,128,512 GATEWAYS=1 LINES=3 PARTS=rows,open,… SET=NAME=VALUE PYTHON=/usr/bin/python3)
	$(BIN)/python -m bench --seconds $(SECONDS) --connections $(CONNECTIONS) --gateways $(GATEWAYS) --lines $(LINES) $(if $(JSON),--json $(JSON)) $(BENCH)

bench-report: SECONDS ?= 10
bench-report: CONNECTIONS ?= 1,8,64,128,512
bench-report: GATEWAYS ?= 1,2
bench-report: LINES ?= 3,8
bench-report: WITHOUT ?= all
bench-report: $(VENV)/.run ## the long form, 25 minutes on a machine that does nothing else: writes docs/BENCHMARKS.md and its pictures
	$(BIN)/python -m bench --seconds $(SECONDS) --connections $(CONNECTIONS) --gateways $(GATEWAYS) --lines $(LINES) --rounds 3 --whole-connections 1,8,64 --json $(or $(JSON),docs/bench/bench.json) $(if $(PARTS),--update,--parts all) $(BENCH)
	$(BIN)/python -m bench.page

bench-metrics: FACTS ?= 10000000
bench-metrics: GATEWAY_SECONDS ?= 0
bench-metrics: $(VENV)/.dev ## what a metric costs, from publisher to report, in 4 minutes (FACTS=10000000,100000000 GATEWAY_SECONDS=10 JSON=docs/bench/metrics/metrics.json)
	$(BIN)/python -m bench.metrics --facts $(FACTS) --gateway-seconds $(GATEWAY_SECONDS) $(if $(JSON),--json $(JSON))

prove-sample: $(VENV)/.dev ## the proofs as `make test` runs them, a seeded sample, some 3 minutes
	$(BIN)/pytest tests/proofs

prove-all: $(VENV)/.dev ## every proof in its long form, some 45 minutes; figures go into docs/RELIABILITY.md (ONLY=word for some)
	$(BIN)/python -m tests.proofs.prove_all --only "$(ONLY)"

.PHONY: prove-surroundings
prove-surroundings: $(VENV)/.dev ## a short demo in every odd surrounding, some 10 minutes (ONLY=word for some)
	$(BIN)/python -m tests.proofs.surroundings $(ONLY)

prove-planted: $(VENV)/.dev ## every suite against every planted bug, some 45 minutes: which catches which
	$(BIN)/python -m tests.proofs.prove_all --only "planted bugs"

schemathesis: EXAMPLES ?= 500
schemathesis: $(VENV)/.dev ## every operation of the OpenAPI document, asked in every way, some 2 minutes (EXAMPLES=500)
	$(BIN)/python -m tests.security.fuzz --examples $(EXAMPLES)

fuzz: FUZZ_SECONDS ?= 60
fuzz: $(VENV)/.dev ## coverage-guided bytes for the client's end of HTTP/2 (FUZZ_SECONDS=60)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-fuzz.txt
	@mkdir -p out/fuzz
	$(BIN)/python -m tests.security.fuzz_http2 -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=5 -artifact_prefix=out/ out/fuzz tests/security/http2_corpus

interop: INTEROP_ORDERS ?= 10000
interop: INTEROP_CONNECTIONS ?= 1,8,64,128
interop: $(VENV)/.dev ## plain peers in Node: the conformance kit, then orders through a real gateway, some 5 minutes (needs node and npm)
	$(BIN)/python -m tests.interop --orders $(INTEROP_ORDERS) --connections $(INTEROP_CONNECTIONS)

.PHONY: typescript-client
typescript-client: $(VENV)/.dev ## a client generated from the OpenAPI document makes an order, a minute (needs node and npm)
	cd tests/interop/typescript && npm install --no-package-lock --ignore-scripts --no-audit --no-fund
	$(BIN)/pytest -n 0 tests/interop/test_typescript_client.py
.PHONY: console-screens
console-screens: $(VENV)/.dev ## pictures of every page of the console of a running `make up`, with axe: out/console (needs chromium and npm)
	@mkdir -p out/axe && (test -d out/axe/node_modules/axe-core || npm install --silent --no-audit --no-fund --prefix out/axe axe-core@4.10.3)
	$(BIN)/python -m tests.console $(ONLY)

sbom: $(VENV)/.dev ## what this product consists of, from the lock file: out/sbom.json (CycloneDX)
	@mkdir -p out
	$(BIN)/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --output-format JSON --output-reproducible --validate -o out/sbom.json

lock: $(BIN)/uv ## compile the hash-pinned lock files
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --all-extras pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --group build -o requirements-build.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --all-extras --group dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --group fuzz -o requirements-fuzz.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 requirements-uv.in -o requirements-uv.txt

report-sample: $(VENV)/.dev ## the owner's page of a replayed week, with pictures if there is a Chromium: out/report
	$(BIN)/python -m tools.sample_report --picture docs/pictures/report-week.png

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis out
