# make demo    opens napari on the sample slide with the nuclei model running (under a virtual display if there is none)
# make test    lint, types and all tests
# Both make .venv first (once), and need Python 3.11 or newer.

.PHONY: demo test lint types tests aicsimageio system environment clean

bin := .venv/bin
# two test processes share the cores: one thread each
quiet := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# a virtual display of the size of the screenshots where there is no real one (and Xvfb is there)
virtual = $(if $(DISPLAY)$(WAYLAND_DISPLAY),,$(shell command -v xvfb-run))
display = $(if $(virtual),$(virtual) -a -s "-screen 0 1920x1080x24")
files := --output output/nuclei.ome.zarr --screenshot output/nuclei.png

demo: system
	@.ci/environment all
	@mkdir -p output
	$(display) $(bin)/napari-seamless view $$($(bin)/napari-seamless sample) --model nuclei $(if $(DISPLAY)$(WAYLAND_DISPLAY),,$(files))

test: environment lint types tests

system:
	@.ci/system

environment: system
	@.ci/environment test

lint:
	$(bin)/ruff check
	$(bin)/ruff format --check

types:
	$(bin)/mypy

tests:
	$(quiet) $(bin)/pytest -n 2 --dist worksteal -m "not gui"
	$(quiet) $(display) $(bin)/pytest -n 2 --dist worksteal -m gui

# aicsimageio without what it pins, in a folder of its own, and the contract that it reads files as bioio does
aicsimageio: environment
	test -d .venv/aicsimageio || $(bin)/python -m pip install -q --no-deps --target .venv/aicsimageio \
		aicsimageio==4.14.0 resource-backed-dask-array
	PYTHONPATH=.venv/aicsimageio $(bin)/pytest tests/io/readers/test_aicsimageio.py tests/io/test_round_trips.py

clean:
	rm -rf .venv output build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
