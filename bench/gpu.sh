#!/bin/sh
# Builds the CUDA ops, tests them and measures them. Needs an NVIDIA GPU, nvcc, and a Python whose torch has CUDA:
#   PYTHON=path/to/python bench/gpu.sh [arguments of bench/gpu_ops.py]
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
"$python" -c '
import torch
assert torch.cuda.is_available(), "torch " + torch.__version__ + " sees no GPU: nothing to measure"
print("torch", torch.__version__, "on", torch.cuda.get_device_name())'
"$python" -m pip install -q "setuptools>=77" "cmake>=3.24,<5" ninja "nanobind>=2.4" pytest hypothesis
MIRROR_CUDA=ON MIRROR_TORCH=ON "$python" -m pip install -q --no-build-isolation --no-deps -e .
"$python" -m mirror_ext
"$python" -m pytest -m cuda tests/test_cuda.py
"$python" bench/gpu_ops.py "$@"
