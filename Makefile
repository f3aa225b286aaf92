# Two commands are enough: `make demo` and `make test`. Everything is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= ../shared/data
# for make bench, e.g. BENCH="--official CLONE --site DIR --note 'the machine was idle'"; --help lists them
BENCH ?=
# for make fuzz
SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz processors lint golden bench guide docs clean
# what has to hold on every processor, for other arithmetic is another one's
ANYWHERE := tests/test_rng.py tests/studies/test_verification.py

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: .venv/installed ## run the report's experiment on a bundled picture (a minute on 2 cores)
	$(BIN)/posteriori demo --out out/demo

test: .venv/installed-test lint ## lint, check types and run the tests (6 minutes on 2 cores)
	$(BIN)/pytest -n auto --dist worksteal

fuzz: .venv/installed-test ## damaged files for the readers of binary formats, guided by coverage; SECONDS of CPU time each (Linux)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=3'
	$(BIN)/python -m tests.fuzz.guided $(SECONDS) out/fuzz

processors: .venv/installed-test ## the verification again with the arithmetic of two other processors (2 minutes)
	MKL_CBWR=COMPATIBLE $(BIN)/pytest -n auto --dist worksteal $(ANYWHERE)
	MKL_CBWR=AVX2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/pytest -n auto --dist worksteal $(ANYWHERE)

lint: .venv/installed-test ## ruff and ty alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check

golden: .venv/installed ## record again how far the samplers are from exact ones, which the tests compare with
	rm -rf out/golden
	$(BIN)/posteriori verify --quick --out out/golden
	cp out/golden/verification.csv tests/golden/verification-quick.csv

bench: .venv/installed-bench ## slow checks, and benches/results.md on the data in DATA; BENCH takes options (goes on)
	$(BIN)/pytest -m slow
	$(BIN)/python -m posteriori.studies.bench --data $(DATA) --out out/speed --page benches $(BENCH)
	$(BIN)/python -m posteriori.studies.guide.faces --data $(DATA) --out out/bench

guide: .venv/installed-bench ## measure again what docs/ says of the samplers, on the data in DATA (hours; goes on)
	$(BIN)/posteriori verify --out out/verify
	mkdir -p docs/verification
	cp out/verify/verification.md docs/ && cp out/verify/verification/*.png docs/verification/
	$(BIN)/posteriori verify --quick --out out/quick
	mkdir -p docs/quick/verification
	cp out/quick/verification.md docs/quick/ && cp out/quick/verification/*.png docs/quick/verification/
	$(BIN)/python -m posteriori.studies.guide.exact --out out/exact --page docs/exact.md
	$(BIN)/python -m posteriori.studies.guide.blind --data $(DATA) --out out/blind --page docs/blind.md
	$(BIN)/python -m posteriori.studies.guide.operators --data $(DATA) --out out/operators --page docs/operators.md
	$(BIN)/python -m posteriori.studies.guide.uncertainty --data $(DATA) --out out/guide --page docs/uncertainty.md
	$(BIN)/python -m posteriori.studies.guide.fronts --data $(DATA) --out out/guide --page docs/fronts.md --verification out/verify
	cp out/guide/choosing.toml src/posteriori/settings/
	$(BIN)/python -m posteriori.studies.guide.choosing --data $(DATA) --out out/guide --page docs/choosing.md
	cp out/guide/choosing.toml src/posteriori/settings/
	$(BIN)/python -m posteriori.studies.guide.gallery --data $(DATA) --out out/gallery --page docs/gallery.md
	$(BIN)/python docs/figures.py
	$(BIN)/python docs/screens.py
	$(BIN)/python docs/notebook.py

docs: .venv/installed-docs ## build the site from docs/ into out/site; open its index.html
	$(BIN)/sphinx-build -W -q -a -E -b html -d out/doctrees docs out/site

clean: ## remove the environment and everything the commands wrote
	rm -rf .venv out

# constraints.txt pins what was tested. On Linux, where pip would take torch's CUDA build and a CPU is
# enough, install torch first: pip install torch --index-url https://download.pytorch.org/whl/cpu
.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

.venv/installed-bench: .venv/installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,bench]'
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@
