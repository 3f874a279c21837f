# Needs make and Python 3.10 or newer with its venv module; everything else is installed into .venv.
#
#   make demo      judge the examples, some of which are careless by intent
#   make test      format check, lint, types, tests (a part of them with coverage), documentation
#   make test-all  all tests, the slow ones too, on every supported Python and on the oldest supported pytest
#   make format    format the code and apply safe lint fixes
#   make docs      build the documentation into docs/_build/html
#   make compatibility  write docs/reference/compatibility.md anew, from the results of the tests
#   make repeat    run the tests of clients and of the world again and again, and compare what happens in them
#                  (RUNS=20 for each way: alone, by two workers, with every core busy)
#   make test-cgroup  test the control groups, in a guest of User-Mode-Linux (Debian package user-mode-linux)
#   make bench     run the benchmarks
#   make clean     remove everything that can be made again

PYTHON ?= python3
PYENV_ROOT ?= $(HOME)/.pyenv
SUPPORTED := 3.10 3.11 3.12 3.13
OLDEST_PYTEST := 8.4

# The stamp carries the version of $(PYTHON), so that another interpreter gets a new environment.
BIN := .venv/bin
STAMP := .venv/.installed-$(shell $(PYTHON) -c 'import platform; print(platform.python_version())')

# Each of many processes would compile the whole package anew.
unexport PYTHONDONTWRITEBYTECODE

comma := ,
heading = @printf '\n=== %s ===\n' "$(1)"

# $(call environment,INTERPRETER,DIRECTORY,WHAT TO INSTALL)
define environment
$(call heading,creating $(2))
@$(1) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed, this is " + sys.version)'
@rm -rf $(2)
@$(1) -m venv $(2)
@$(2)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
@$(2)/bin/python -m pip install --quiet $(3) --editable .
endef

RUNS ?= 20
BESIDE := .venv/beside.log
GUEST_LOG := .venv/guest.log
GUEST_SECONDS ?= 900

.PHONY: demo test lint types coverage others docs compatibility repeat bench test-all test-cgroup format clean

demo: $(STAMP)
	$(call heading,demo: pytest --ralph --tb=no docs/examples)
	@$(BIN)/pytest --ralph --tb=no -rN -p no:randomly docs/examples; code=$$?; \
	if [ $$code -eq 1 ]; then \
		echo "The demo worked: pytest exited with 1, because the careless examples are red by intent."; \
	else \
		echo "The demo failed: pytest exited with $$code, and 1 was expected, for the careless examples."; \
		exit 1; \
	fi

# Types and documentation take one core for long: they are checked beside the first tests, and told after them.
test: lint
	@$(MAKE) --no-print-directory types docs >$(BESIDE) 2>&1 & beside=$$!; \
	$(MAKE) --no-print-directory coverage; measured=$$?; \
	wait $$beside; checked=$$?; \
	cat $(BESIDE); exit $$((measured + checked))
	@$(MAKE) --no-print-directory others
	$(call heading,format$(comma) lint$(comma) types$(comma) tests and documentation are good)

lint: $(STAMP)
	$(call heading,format and lint)
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check

types: $(STAMP)
	$(call heading,types)
	@$(BIN)/mypy

# Which tests are slow, and which are measured, is told in tests/slow.py: what these reach is a lower bound.
# All together reach more: make coverage COVERED="not slow"
COVERED ?= measured and not slow
# On a machine that is too busy a gate may come out as not exercised, and says so: only that is tried again.
AGAIN := --reruns 2 --only-rerun "real time passed in a wait that the virtual clock does not see"
coverage: $(STAMP)
	$(call heading,tests with coverage)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q -n 2 $(AGAIN) -m "$(COVERED)"
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=84

others: $(STAMP)
	$(call heading,the other tests)
	@$(BIN)/pytest -q -n 2 $(AGAIN) -m "(not measured or shows) and not slow" --compatibility=check

# Everything is read anew (-E): an incremental build would not repeat the warnings of unchanged pages.
docs: $(STAMP)
	$(call heading,documentation)
	@$(BIN)/sphinx-build -q -E -W --keep-going -n docs docs/_build/html

compatibility: $(STAMP)
	$(call heading,tests of compatibility)
	@$(BIN)/pytest -q -n 2 -m shows --compatibility=write

repeat: $(STAMP)
	$(call heading,the same tests$(comma) again and again)
	@$(BIN)/python -m tests.repeat --runs $(RUNS)

# The kernel takes what it does not know for the environment of the first process. A guest that hangs is ended.
GUESTS := test-cgroup-2 test-cgroup-1
.PHONY: $(GUESTS)
test-cgroup: $(GUESTS)

$(GUESTS): test-cgroup-%: $(STAMP)
	$(call heading,control groups v$*$(comma) in a guest)
	@command -v linux.uml >/dev/null || { echo "linux.uml is needed, of the Debian package user-mode-linux"; exit 1; }
	@$(BIN)/python -m compileall -q src tests
	@rm -f $(GUEST_LOG)-$*
	@timeout --kill-after=10 $(GUEST_SECONDS) \
		linux.uml mem=1G rootfstype=hostfs rootflags=/ ro quiet con=null con0=null$(comma)fd:1 \
		init=$(CURDIR)/tests/guest/init.sh GUEST_VERSION=$* GUEST_ROOT=$(CURDIR) \
		GUEST_PYTHON=$(CURDIR)/$(BIN)/python </dev/null 2>&1 \
		| tee $(GUEST_LOG)-$*; grep -q "^guest: control groups v$*: all is well" $(GUEST_LOG)-$* && exit; \
	! grep -q "ptrace set fp regs failed" $(GUEST_LOG)-$* \
		|| echo "This User-Mode-Linux cannot save the registers of this processor (AMX): run it on another one."; \
	exit 1

bench: $(STAMP)
	$(call heading,benchmarks)
	@$(BIN)/python benchmarks/bench.py

format: $(STAMP)
	$(call heading,format)
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean:
	rm -rf .venv .venv-* .ralph .coverage .coverage.* htmlcov build dist docs/_build
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	$(call environment,$(PYTHON),.venv,--group dev)
	@touch $@

# One environment for each interpreter that pyenv has, and one for the oldest pytest on the first of them.
found = $(notdir $(wildcard $(PYENV_ROOT)/versions/$(1).[0-9]*))
FOUND := $(strip $(foreach series,$(SUPPORTED),$(call found,$(series))))
ABSENT := $(strip $(foreach series,$(SUPPORTED),$(if $(call found,$(series)),,$(series))))
MATRIX := $(FOUND) $(if $(FOUND),pytest-$(OLDEST_PYTEST))

test-all:
	@$(if $(FOUND),,echo "No Python of $(SUPPORTED) under $(PYENV_ROOT)/versions: nothing to test."; exit 1)
	@$(foreach series,$(ABSENT),echo "skipped: no Python $(series) under $(PYENV_ROOT)/versions";)
	@$(MAKE) --keep-going --no-print-directory $(MATRIX:%=test-%)

.PHONY: $(MATRIX:%=test-%)
$(MATRIX:%=test-%): test-%: .venv-%/.installed
	$(call heading,tests in .venv-$*)
	@.venv-$*/bin/python -m pytest -n 2

$(FOUND:%=.venv-%/.installed): .venv-%/.installed: pyproject.toml
	$(call environment,$(PYENV_ROOT)/versions/$*/bin/python,.venv-$*,--group test)
	@touch $@

.venv-pytest-$(OLDEST_PYTEST)/.installed: pyproject.toml
	$(call environment,$(PYENV_ROOT)/versions/$(firstword $(FOUND))/bin/python,$(@D),--group test 'pytest==$(OLDEST_PYTEST).*')
	@touch $@
