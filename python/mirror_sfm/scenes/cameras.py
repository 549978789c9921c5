"""Cameras of photos, as COLMAP names and parametrises them, and the pinhole camera a surface is drawn in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PINHOLES = ("SIMPLE_PINHOLE", "PINHOLE")


@dataclass(frozen=True)
class Pinhole:
    """A camera without distortion: pixel = (fx X / Z + cx, fy Y / Z + cy), first pixel centre (0.5, 0.5).

    Attributes:
        width, height: of the picture, in pixels.
        fx, fy, cx, cy: in pixels of that picture.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @property
    def intrinsics(self) -> np.ndarray:
        """[4] float64: fx, fy, cx, cy."""
        return np.array([self.fx, self.fy, self.cx, self.cy])

    def resized(self, width: int, height: int) -> Pinhole:
        """The same camera with a picture of another size; each axis is scaled on its own."""
        x, y = width / self.width, height / self.height
        return Pinhole(width, height, self.fx * x, self.fy * y, self.cx * x, self.cy * y)

    def within(self, long_side: int) -> Pinhole:
        """The same camera with a picture whose long side is `long_side`, of the same aspect to the nearest pixel."""
        scale = long_side / max(self.width, self.height)
        return self.resized(max(1, round(self.width * scale)), max(1, round(self.height * scale)))


@dataclass(frozen=True)
class Camera:
    """The camera of a photo, in COLMAP's terms.

    Attributes:
        model: COLMAP's name, "SIMPLE_RADIAL" for example.
        params: its parameters, in COLMAP's order, in pixels of a picture of this size.
        width, height: of the picture as the sensor stored it.
    """

    model: str
    params: tuple[float, ...]
    width: int
    height: int

    @property
    def distorts(self) -> bool:
        """Whether straight lines may be curved in the photo."""
        return self.model not in PINHOLES

    @property
    def pinhole(self) -> Pinhole:
        """The pinhole camera of the undistorted photo; of a photo without distortion, its own camera.

        Raises:
            MirrorError: the model is unknown, or its photos cannot be undistorted.
        """
        if self.distorts:
            from mirror_sfm.colmap.lenses import undistorted

            return undistorted(self)
        fx, fy, cx, cy = self.params if self.model == "PINHOLE" else (self.params[0], *self.params)
        return Pinhole(self.width, self.height, fx, fy, cx, cy)


@dataclass(frozen=True)
class View:
    """A photo whose place in the world is known.

    Attributes:
        name: of the photo, relative to the folder of photos.
        camera: what it was taken with.
        cam_from_world: [3, 4] float64, x_cam = R X + t; camera x right, y down, z forward.
    """

    name: str
    camera: Camera
    cam_from_world: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """[3] float64, in the world."""
        return -self.cam_from_world[:, :3].T @ self.cam_from_world[:, 3]
