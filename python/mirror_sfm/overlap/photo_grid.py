"""From pinhole pictures, in which surfaces and depths live, to the photos as they are, distorted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.scenes.cameras import Camera, Pinhole

_PROBE = 128  # pixels of a photo's long side, to see how far its rays reach
_REACH = 0.5  # of the picture's width and height, on every side: further out even wide lenses see nothing useful


def whole_pinhole(camera: Camera) -> Pinhole:
    """A pinhole picture that holds the whole photo, where COLMAP's undistorted one leaves corners out. Of a photo
    without distortion it is the photo itself.

    Raises:
        MirrorError: the model is unknown, or its photos cannot be undistorted.
    """
    flat = camera.pinhole
    if not camera.distorts:
        return flat
    x, y = int(_REACH * flat.width), int(_REACH * flat.height)
    wide = _moved(flat, x, y, flat.width + 2 * x, flat.height + 2 * y)
    scale = _PROBE / max(camera.width, camera.height)
    height, width = max(2, round(camera.height * scale)), max(2, round(camera.width * scale))
    seen = _rows(camera, wide, width, height)
    row, column = np.divmod(seen[seen >= 0], wide.width)
    if not len(row):
        return flat
    x, y = (2 + wide.width // width, 2 + wide.height // height)  # beyond the outermost centres that were looked at
    left, top = max(0, int(column.min()) - x), max(0, int(row.min()) - y)
    right, bottom = min(wide.width, int(column.max()) + 1 + x), min(wide.height, int(row.max()) + 1 + y)
    return _moved(wide, -left, -top, right - left, bottom - top)


def photo_rows(camera: Camera, pinhole: Pinhole, width: int, height: int) -> NDArray[np.int32]:
    """[height, width] which pixel of a pinhole picture (row * its width + column) each pixel of the photo shows.

    Args:
        camera: of the photo.
        pinhole: any, looking the same way from the same place.
        width, height: of the photo, at the size at which it is wanted.

    Returns:
        -1 where the photo looks beside the picture.
    """
    if camera.distorts:
        return _rows(camera, pinhole, width, height)
    return pinhole_rows_of(camera.pinhole.resized(width, height), pinhole)


def pinhole_rows_of(own: Pinhole, pinhole: Pinhole) -> NDArray[np.int32]:
    """[height, width] of one pinhole picture: the pixel of another (row * its width + column) that shows the same, -1
    where that one does not reach. Both look the same way from the same place."""
    x = np.floor((np.arange(own.width) + 0.5 - own.cx) * (pinhole.fx / own.fx) + pinhole.cx).astype(np.int64)
    y = np.floor((np.arange(own.height) + 0.5 - own.cy) * (pinhole.fy / own.fy) + pinhole.cy).astype(np.int64)
    inside = ((y >= 0) & (y < pinhole.height))[:, None] & ((x >= 0) & (x < pinhole.width))
    return np.where(inside, y[:, None] * pinhole.width + x, -1).astype(np.int32)


def carried(ids: NDArray[np.int32], rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """What a pinhole picture shows, on the photo's grid."""
    return np.where(rows >= 0, ids.reshape(-1)[np.maximum(rows, 0)], np.int32(-1))


def shown_pixels(rows: NDArray[np.int32], pinhole: Pinhole) -> NDArray[np.bool_]:
    """[height, width] which pixels of a pinhole picture the photo shows.

    Args:
        rows: of the photo, at about the size of the picture: where the lens spreads it, one pixel may be passed over,
            and is filled in.
    """
    from scipy.ndimage import binary_closing

    shown = np.zeros((pinhole.height + 4, pinhole.width + 4), bool)
    row, column = np.divmod(rows[rows >= 0], pinhole.width)
    shown[row + 2, column + 2] = True
    return np.asarray(binary_closing(shown, np.ones((3, 3), bool))[2:-2, 2:-2])


def _rows(camera: Camera, pinhole: Pinhole, width: int, height: int) -> NDArray[np.int32]:
    from mirror_sfm.colmap.lenses import pinhole_rows

    return np.asarray(pinhole_rows(camera, pinhole, width, height), np.int32)


def _moved(pinhole: Pinhole, x: int, y: int, width: int, height: int) -> Pinhole:
    """A picture of another size whose first pixel lies x to the left of this one's and y above it."""
    return replace(pinhole, width=width, height=height, cx=pinhole.cx + x, cy=pinhole.cy + y)
