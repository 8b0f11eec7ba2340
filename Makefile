# make demo    opens napari on the sample slide with the nuclei model running (under a virtual display if there is none)
# make test    lint, types and all tests
# Both make .venv first (once), and need Python 3.11 or newer.

.PHONY: demo test lint types tests environment clean

bin := .venv/bin
# one thread a process: two test processes share the cores
quiet := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

# a real display where there is one, otherwise a virtual one of the size of the screenshots
display := $(if $(DISPLAY)$(WAYLAND_DISPLAY),,$(if $(filter Linux,$(shell uname)),xvfb-run -a -s "-screen 0 1920x1080x24"))

demo:
	@.ci/system
	@.ci/environment all
	@$(if $(display),mkdir -p output)
	$(display) $(bin)/napari-seamless view $$($(bin)/napari-seamless sample) --model nuclei \
	  $(if $(display),--output output/nuclei.ome.zarr --screenshot output/nuclei.png)

test: environment lint types tests

environment:
	@.ci/system
	@.ci/environment test

lint:
	$(bin)/ruff check
	$(bin)/ruff format --check

types:
	$(bin)/mypy

tests:
	$(quiet) $(bin)/pytest -n 2 --dist loadscope -m "not gui"
	$(display) $(bin)/pytest -m gui

clean:
	rm -rf .venv output build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
