# `make` alone says what there is. Everything lives in .venv; what a machine lacks is one line, said before anything is installed.

.ONESHELL:
.SILENT:
.SHELLFLAGS = -ec
.DEFAULT_GOAL = help
.PHONY: help setup models call test prove lint accept-a accept-b accept-c accept-d accept-e

bin = .venv/bin
ready = .venv/.ready

# runs: `yes` when the command succeeds. need: stop with a line unless the first argument says something (no commas in the line).
runs = $(shell $1 >/dev/null 2>&1 && echo yes)
need = $(if $1,,$(error $2))
# timed: run the second argument, then say how long the target of that name took, also when it failed.
timed = began=$$(date +%s); failed=0; $2 || failed=$$?; echo "make $1: $$(( $$(date +%s) - began )) s"; exit $$failed

PYTHON =
supported = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
python = $(firstword $(foreach p,$(or $(PYTHON),python3.12 python3.11 python3),$(if $(call runs,$p -c '$(supported)'),$p)))
found = $(or $(PYTHON),python3) is $(or $(shell $(or $(PYTHON),python3) -V 2>/dev/null),not there)
compiler = $(firstword $(foreach c,$(CXX) c++ g++ clang++,$(if $(call runs,command -v $c),$c)))

help: ## this list
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(ready) ## install into .venv, once (about 6 minutes; PYTHON=python3.11 chooses the interpreter)

call: models ## place the first call: a dental reminder, over real SIP on this machine
	$(bin)/callctl dial profiles/dental-reminder.yaml

test: $(ready) ## the quick tests: scripted engines, calls in memory, short SIP calls
	$(call timed,test,$(bin)/pytest -m "not models and not prove")

prove: models ## the slow tests: real models, long SIP calls in real time
	$(bin)/callctl models pull smollm2-135m >/dev/null
	$(call timed,prove,$(bin)/pytest -m "models or prove")

lint: $(ready) ## ruff, mypy --strict, import-linter
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/lint-imports

accept-a: models ## measure what the first call promises
	$(call timed,accept-a,$(bin)/python -m tests.accept.a)

accept-b: models ## measure what calls in memory, scenarios and cassettes promise
	$(call timed,accept-b,$(bin)/python -m tests.accept.b)

accept-c: models ## measure what prepared answers promise (about 90 minutes)
	$(bin)/callctl models pull qwen2.5-coder-0.5b >/dev/null
	$(call timed,accept-c,$(bin)/python -m tests.accept.c)

accept-d: models ## measure how the floor is held (about 40 minutes)
	$(call timed,accept-d,$(bin)/python -m tests.accept.d)

accept-e: models ## measure how soon the bot answers (about 30 minutes)
	$(bin)/callctl models pull qwen2.5-coder-0.5b whisper-tiny.en >/dev/null
	$(call timed,accept-e,$(bin)/python -m tests.accept.e)

models: $(ready) ## fetch the default models (1.4 GB, once)
	$(bin)/callctl models pull >/dev/null

$(ready): pyproject.toml
	$(call need,$(python),callctl needs Python 3.11 or 3.12 and $(found). Cure: apt-get install python3.11 (Debian 12) or python3.12 (Ubuntu 24.04) or name one with PYTHON=/path/to/python3.12)
	$(call need,$(call runs,$(python) -c 'import venv; import ensurepip'),$(python) cannot make virtual environments. Cure: apt-get install $(notdir $(python))-venv)
	$(call need,$(compiler),llama.cpp is compiled here and there is no C++ compiler. Cure: apt-get install g++)
	began=$$(date +%s)
	if ! $(bin)/python -m pip --version >/dev/null 2>&1; then
	    $(python) -m venv --clear .venv
	fi
	echo "Installing into .venv with $$($(bin)/python -V); pip's own words go to .venv/setup.log"
	log=.venv/setup.log
	: > $$log
	while sleep 15 >/dev/null 2>&1 && kill -0 $$$$ 2>/dev/null; do
	    now=$$(grep -v WARNING $$log | tail -n 1 | cut -c 1-68)
	    case $$now in *"Building wheel for llama"*) now="compiling llama.cpp, about 4 minutes on two cores" ;; esac
	    printf '%4d s  %s\n' $$(( $$(date +%s) - began )) "$$now"
	done &
	ticker=$$!
	export CMAKE_BUILD_PARALLEL_LEVEL=$${CMAKE_BUILD_PARALLEL_LEVEL:-$$(nproc)}
	failed=0
	$(bin)/python -m pip install --disable-pip-version-check -e '.[dev]' > $$log 2>&1 || failed=$$?
	kill $$ticker || :
	if [ $$failed != 0 ]; then
	    tail -n 20 $$log >&2
	    echo "pip failed; its whole output is in $$log" >&2
	    exit 2
	fi
	touch $@
	echo "make setup: $$(( $$(date +%s) - began )) s"
