# For type checkers: the compiled module (csrc/numpy_ops/module.cpp). numpy.py gives its functions their public types.
from typing import Any

def __getattr__(name: str) -> Any: ...
