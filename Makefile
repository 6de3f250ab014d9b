# Everything runs through env/run, which makes the environment on first use.
RUN := env/run

.PHONY: help env demo reference test slow procedure seeing lint clean
help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

env:  ## make the environment, if it is missing
	@BLOODPATCH_ENV_VERBOSE=1 $(RUN) true

demo:  ## the main job: volume and level, held against clinical data (results/demo)
	@$(RUN) bloodpatch demo --out results/demo

reference:  ## the reference sweep in full, many hours; goes on where it stopped (results/reference)
	@$(RUN) bloodpatch reference --out results/reference

# A file's tests stay together: they share their model. In the order of their folders (testpaths in pyproject.toml): sorted by their
# number of tests, as is usual, the files with few and long ones come last, and one worker waits for the other.
test:  ## the daily tests, on up to four cores (ARGS="-n 0" for one)
	@$(RUN) python -m pytest -q -m "not slow" -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

slow:  ## the tests that take minutes each, before a release (ARGS="-n 0" for one core)
	@$(RUN) python -m pytest -q -m slow -n 2 --dist load $(ARGS)

procedure:  ## every fact of the procedure from its case file as written, an hour (results/procedure); ARGS=--collect: the table alone
	@$(RUN) bloodpatch procedure --out results/procedure $(ARGS)

seeing:  ## pictures of a real run against its tables, pages in Chromium, ParaView's views; four minutes (apt-get install chromium paraview python3-paraview xvfb, else skipped)
	@$(RUN) python -m pytest -q -rs tests/studies/test_plot_real.py tests/studies/test_report.py tests/studies/test_paraview.py $(ARGS)

lint:  ## ruff and strict mypy
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy geometry fem studies

clean:  ## remove what the tools left in the checkout; results and the environment stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
