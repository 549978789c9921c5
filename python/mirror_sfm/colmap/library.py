"""pycolmap, loaded the way it has to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mirror_sfm.errors import MirrorError
from mirror_sfm.threads import undisturbed

try:
    with undisturbed():
        import pycolmap
except (ImportError, RuntimeError) as error:  # the latter where its library cannot be loaded
    reason = " ".join(str(error).split())
    raise MirrorError(f'COLMAP is needed for this: pip install "mirror-sfm[colmap]" ({reason})') from error

SEED = 0  # of everything random in COLMAP


def version() -> int:
    """As databases record it: 4020100 for 4.2.1."""
    major, minor, patch = (int(part) for part in pycolmap.__version__.split(".")[:3])
    return major * 1_000_000 + minor * 10_000 + patch * 100


@contextmanager
def quiet() -> Iterator[None]:
    """COLMAP reports every photo on stderr; only what ends the program shall be seen."""
    before = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = 3
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = before


def last_words(error: Exception) -> str:
    """pycolmap's message without the place in its source."""
    return str(error).split("] ", 1)[-1].strip()
