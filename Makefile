# Two commands: `make pairs IMAGES=path/to/photos` and `make test`. Everything goes into .venv, nothing is global.
PYTHON ?= python3
OUT    ?= out
TORCH  ?= torch==2.13.0
PER_IMAGE ?= 20

venv := .venv
bin  := $(venv)/bin
pip  := $(bin)/python -m pip --disable-pip-version-check
tools := "setuptools>=77" "cmake>=3.24,<5" ninja "nanobind>=2.4"
linters := ruff==0.17.6 mypy==2.4.1 clang-format==23.1.5
sources := setup.py pyproject.toml CMakeLists.txt $(shell find csrc -type f)

.PHONY: pairs test bench compare cuda lint clean
pairs: $(venv)/.core
ifdef IMAGES
	$(bin)/mirror-sfm pairs "$(IMAGES)" -o "$(OUT)" --per-image $(PER_IMAGE)
else
	@echo "No IMAGES given: making a small scene of rendered photos in $(OUT)/demo. Yours: make pairs IMAGES=path/to/photos"
	$(bin)/mirror-sfm demo "$(OUT)/demo"
	$(bin)/mirror-sfm pairs "$(OUT)/demo/images" -o "$(OUT)" --per-image $(PER_IMAGE)
endif

test: $(venv)/.test
	$(bin)/python -m pytest -n 2 --dist loadfile

bench: $(venv)/.bench
	$(bin)/python bench/run.py

# The same photos and budgets for us and for what else people use; an hour. Needs the labelled scenes (MIRROR_DATA).
data := $(or $(MIRROR_DATA),../shared/data)
compare: $(venv)/.bench
	test -f $(OUT)/bench_compare/tree.bin || $(bin)/python bench/vocabulary.py $(OUT)/bench_compare/tree.bin --work $(OUT)/bench_compare
	$(bin)/python bench/compare.py --tree $(OUT)/bench_compare/tree.bin --work $(OUT)/bench_compare \
		--weights $(data)/weights/mobilenet_v2_imagenet.safetensors

# Compiles the CUDA library whether or not a GPU is there; fails without nvcc or when a kernel spills registers.
cuda: $(venv)/.test
	MIRROR_CUDA=ON MIRROR_TORCH=ON $(pip) install -q --no-build-isolation --no-deps -e .
	$(bin)/python -m mirror_ext

lint: $(venv)/.lint
	$(bin)/ruff check . && $(bin)/ruff format --check .
	$(bin)/mypy
	find csrc tests/cpp \( -name '*.h' -o -name '*.cpp' -o -name '*.cu*' \) | xargs $(bin)/clang-format --dry-run -Werror

clean:
	rm -rf $(venv) build mirror_ext/*.so mirror_ext/include mirror_ext/lib mirror_ext/_build.json

$(venv)/.tools:
	$(PYTHON) -m venv $(venv)
	$(pip) install -q $(tools)
	touch $@

# mypy reads the types of what we import.
$(venv)/.lint: $(venv)/.core
	$(pip) install -q $(linters)
	touch $@

# The main job: no torch.
$(venv)/.core: $(venv)/.tools $(sources)
	$(pip) install -q --no-build-isolation -e .
	touch $@

# torch first, pinned, so that a machine without a GPU does not fetch gigabytes of CUDA.
$(venv)/.torch: $(venv)/.tools
	$(pip) install -q "$(TORCH)"
	touch $@

$(venv)/.test: $(venv)/.torch $(sources)
	$(pip) install -q --no-build-isolation -e ".[test]"
	touch $@ $(venv)/.core

$(venv)/.bench: $(venv)/.test
	$(pip) install -q --no-build-isolation -e ".[bench]"
	touch $@
