# make demo: bake a project and run it. make test: what is tested on every change. make nightly: what takes hours.
VENV := .venv
TASK := detection
DEMO := demo
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; assert sys.version_info >= (3, 11)' 2>/dev/null && echo $$p && break; done)

.PHONY: demo test test-clusters test-gpu nightly quick lint docs params references pictures modules licences requirements

demo: $(VENV)/ready  # prepare, train, infer, quant, and the numbers; TASK=classification for another task
	@test ! -e $(DEMO) || { echo "$(DEMO)/ is there already: remove it, or make demo DEMO=demo-2" >&2; exit 1; }
	$(VENV)/bin/cookiecutter . --no-input project=$(DEMO) task=$(TASK)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(MAKE) -C $(DEMO) setup run
	@echo; echo "The numbers stand above, and in $(DEMO)/metrics. Next: cd $(DEMO) && source .venv/bin/activate && dvc exp show"

test: $(VENV)/ready  # all three suites; installs a baked project once. EXP_TEMPLATE_VENV names an environment to take instead
	$(VENV)/bin/python tests/run.py

test-clusters: $(VENV)/ready  # a real Ray and a real Slurm of two nodes on this machine: Linux, root, slurm-wlm and munge
	$(VENV)/bin/python tests/run.py --suite cluster

test-gpu: $(VENV)/ready  # training and measuring on a real GPU; skipped without one
	$(VENV)/bin/python tests/run.py --suite package -- -m gpu

nightly: $(VENV)/ready  # the long repetitions, which make test leaves out
	$(VENV)/bin/python tests/run.py --nightly --suite template --suite lab --suite package --suite cluster

quick: $(VENV)/ready  # what needs no installed project
	$(VENV)/bin/pytest -m "not slow and not nightly" --numprocesses 2

lint: $(VENV)/ready
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

docs: $(VENV)/ready  # the README and docs/ as a site, site/index.html; needs no network
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet && echo "site/index.html"

params: $(VENV)/ready  # composes the generated project's params.yaml, after a change of its conf/
	$(VENV)/bin/python scripts/params.py

references:  # the project's docs/design-file.md and commands.md; PROJECT_VENV=an environment of a project
	$(PROJECT_VENV)/bin/python scripts/references.py

pictures:  # of both READMEs, and docs/sample-report.md; PROJECT_VENV=an environment of a project; needs uv and chromium
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" uv run --no-project --with pyte==0.8.2 --with pillow scripts/pictures.py $(PROJECT_VENV)

modules:  # after requirements: which names are taken; PROJECT_VENV=an environment with all of them installed
	python3 scripts/modules.py $(PROJECT_VENV)/bin/python

licences:  # after requirements: which packages ask what; PROJECT_VENV=an environment with all of them installed
	python3 scripts/licences.py $(PROJECT_VENV)/bin/python

requirements:  # pins anew what the template and the generated project install; needs uv
	python3 scripts/requirements.py

$(VENV)/ready: tests/requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: none on PATH." >&2; exit 1; }
	@if command -v uv >/dev/null; then \
		uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
		uv pip install --quiet --python $(VENV) -r $<; \
	else \
		$(PYTHON) -m venv $(VENV) && $(VENV)/bin/pip install --quiet -r $<; \
	fi
	@touch $@
