# Needs Python 3.11 or newer, make and pip; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-all check format docs release-check oldest clean

demo: $(VENV)/.installed  ## fit real data within a minute, print leaderboard and report
	$(RUN) docs/demo.py

test: $(VENV)/.installed-dev  ## the tests that take seconds
	$(RUN) -m pytest

test-all: $(VENV)/.installed-dev  ## also the slow ones
	$(RUN) -m pytest -m "slow or not slow"

check: $(VENV)/.installed-dev  ## lint, formatting, types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(VENV)/.installed-dev  ## mend what can be mended
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

docs: $(VENV)/.installed-dev  ## build the site into docs/build; warnings are errors
	$(INSTALL) --editable ".[dev,docs]"
	$(RUN) -m sphinx --quiet --fail-on-warning --keep-going -c docs . docs/build

release-check: $(VENV)/.installed-dev  ## build both distributions, try the wheel in a fresh environment
	$(INSTALL) --editable ".[dev,release]"
	rm -rf dist $(VENV)-wheel
	$(RUN) -m build --no-isolation --outdir dist
	$(RUN) -m twine check --strict dist/*
	$(RUN) packaging/wheel_size.py dist/*.whl
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	cd dist && ../$(VENV)-wheel/bin/python ../packaging/smoke.py

oldest: | $(RUN)  ## the tests that take seconds, with the oldest versions that pyproject.toml allows
	rm -rf $(VENV)-oldest
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check --constraint packaging/oldest.txt \
		--editable ".[test,meta,plots]"
	$(VENV)-oldest/bin/python -m pytest

clean:
	rm -rf $(VENV) $(VENV)-wheel $(VENV)-oldest .mypy_cache .pytest_cache .ruff_cache .hypothesis catboost_info dist

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "autometa needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps are older than the files they depend on when something has to be installed again.
$(VENV)/.installed: pyproject.toml constraints.txt | $(RUN)
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(RUN)
	$(INSTALL) --editable ".[dev]"
	@touch $@ $(VENV)/.installed
