"""One-line errors for wrong arguments, in the words of mirror_ext: function, argument, what was expected, what came."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray


def fail(function: str, argument: str, expected: str, got: Any) -> NoReturn:
    raise ValueError(f"{function}: {argument}: expected {expected}, got {got}")


def expect_shape(function: str, argument: str, value: Any, *shape: int | str) -> None:
    """`value` has these dimensions; names stand for any length."""
    wanted = f"[{', '.join(map(str, shape))}]"
    got = list(np.shape(value))
    if len(got) != len(shape) or any(n != m for n, m in zip(got, shape, strict=True) if isinstance(m, int)):
        fail(function, argument, wanted, got)


def expect_choice(function: str, argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        fail(function, argument, f"one of {', '.join(choices)}", repr(value))


def expect_finite(function: str, argument: str, value: NDArray[Any]) -> None:
    if not np.isfinite(value).all():
        fail(function, argument, "finite numbers", "NaN or infinity")


def expect_count(function: str, argument: str, value: int, least: int = 1) -> None:
    if isinstance(value, bool) or int(value) != value or value < least:
        fail(function, argument, f"an integer >= {least}", value)
