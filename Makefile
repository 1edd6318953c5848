# make run    sets everything up on the first run, then serves the product with demo data until Ctrl-C
# make test   the whole suite, with what only tests need (a browser, SIP tools); WORKERS=1 one test at a time
# make check  format, lint, types
# make bench  every benchmark
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
WORKERS ?= 2
SOURCES := config crm cti dialer webui
INSTALLED := requirements.lock pyproject.toml tools/setup.sh

.PHONY: run test check bench clean format

run: $(VENV)/.installed
	@exec $(VENV)/bin/ramal demo

test: $(VENV)/.installed-tests
	@tools/test_packages.sh
	$(VENV)/bin/python -m pytest -n $(WORKERS) --durations=15 $(TESTS)

check: $(VENV)/.installed-tests
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy $(SOURCES)

format: $(VENV)/.installed-tests
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(VENV)/.installed-tests
	@tools/test_packages.sh
	$(VENV)/bin/python -m bench.run

# The demo's data in ./data is the user's and stays.
clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './data/*' -prune -exec rm -rf {} +

$(VENV)/.installed: $(INSTALLED)
	@PYTHON=$(PYTHON) tools/setup.sh run

$(VENV)/.installed-tests: $(INSTALLED)
	@PYTHON=$(PYTHON) tools/setup.sh test
