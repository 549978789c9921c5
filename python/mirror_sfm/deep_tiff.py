"""TIFF with numbers that Pillow does not know or reads wrongly: 32-bit colours, unsigned 32-bit grey, 64-bit floats.

OpenCV reads these. It reads less than Pillow else: no Zstandard, no 12 bits.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, TiffImagePlugin

_HEADS = {b"II*\0": 8, b"MM\0*": 8, b"II+\0": 16, b"MM\0+": 16}  # and how many bytes they take: TIFF, BigTIFF
_WIDTH, _HEIGHT, _BITS, _ORIENTATION, _SAMPLES, _PLANES, _FORMAT = 256, 257, 258, 274, 277, 284, 339
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_SEPARATE = 2
_PILLOW_GREY = ((16, _SIGNED), (32, _SIGNED), (32, _FLOAT))


def read_deep(content: bytes, max_pixels: int) -> tuple[Image.Image, int] | None:
    """Decodes such a file to floating-point grey. None: it is not one, Pillow should read it.

    Returns:
        The picture turned upright, and the orientation (1 to 8) that the file had before.

    Raises:
        ValueError: damaged, too large, or of a kind that OpenCV does not read either.
    """
    import cv2

    tags = _tags(content)
    if not tags:
        return None
    bits, number, samples = max(tags[_BITS]), max(tags[_FORMAT]), tags[_SAMPLES][0]
    separate = tags[_PLANES][0] == _SEPARATE and samples > 1
    grey = samples == 1 and (bits, number) in _PILLOW_GREY
    if bits <= 8 or grey or (bits <= 16 and number == _UNSIGNED and not separate):
        return None
    if separate:  # Pillow and OpenCV both misread them
        raise ValueError("a TIFF whose deep colours come in separate planes; save it with interleaved colours")
    if not 0 < tags[_WIDTH][0] * tags[_HEIGHT][0] <= max_pixels:
        raise ValueError(f"{tags[_WIDTH][0]} x {tags[_HEIGHT][0]} pixels")
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError(f"a TIFF of {bits} bits that cannot be read: damaged, or compressed in a rare way")
    wide = values.astype(np.float32)
    if wide.ndim == 3:
        wide = wide[..., :3] @ np.array((0.114, 0.587, 0.299), np.float32)  # blue, green, red
    return Image.fromarray(wide), tags[_ORIENTATION][0]


def _tags(content: bytes) -> dict[int, tuple[int, ...]] | None:
    """Tags of the first picture; None where the file is no TIFF, or so damaged that Pillow shall say why."""
    size = _HEADS.get(content[:4])
    if size is None or len(content) < size:
        return None
    defaults = {_WIDTH: 0, _HEIGHT: 0, _BITS: 1, _ORIENTATION: 1, _SAMPLES: 1, _PLANES: 1, _FORMAT: _UNSIGNED}
    tags = {}
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(content[:size])
        file = io.BytesIO(content)
        file.seek(directory.next)
        directory.load(file)
        for tag, default in defaults.items():
            value = directory.get(tag, default)
            tags[tag] = tuple(map(int, value if isinstance(value, tuple) else (value,)))
    except Exception:  # fed with damaged bytes Pillow raises nearly anything; it raises again when it opens the file
        return None
    return tags if all(tags.values()) else None
