"""What is known of one reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mirror_sfm.scenes.cameras import Pinhole, View


@dataclass(frozen=True)
class Mesh:
    """A surface of triangles.

    Attributes:
        vertices: [V, 3] float64, in the world of the views.
        faces: [F, 3] int32, rows of vertices.
        path: where it came from, None where it was made.
    """

    vertices: np.ndarray
    faces: np.ndarray
    path: Path | None = None


@dataclass(frozen=True)
class Tracks:
    """Points of the reconstruction, and who sees which.

    Attributes:
        points: [M, 3] float64, in the world of the views; every one is seen by two views or more.
        offsets: [N + 1] int64; view v of the scene sees points seen[offsets[v] : offsets[v + 1]].
        seen: int32 rows of points, rising within a view, each once.
    """

    points: np.ndarray
    offsets: np.ndarray
    seen: np.ndarray

    def of(self, view: int) -> np.ndarray:
        """Rows of the points that a view sees."""
        return self.seen[self.offsets[view] : self.offsets[view + 1]]


@dataclass(frozen=True)
class DepthMap:
    """Depth of one view, read when it is asked for.

    Attributes:
        read: gives [h, w] float32, z in the camera, in units of the world; 0 where there is none.
        camera: the pinhole camera of the map, for its own size; None: the view's, resized to the map.
    """

    read: Callable[[], np.ndarray]
    camera: Pinhole | None = None


@dataclass(frozen=True)
class Scene:
    """One reconstruction.

    Attributes:
        name: of the scene.
        views: photos with a pose, by name.
        unregistered: names of the photos without.
        images: folder of the photos, None where only cameras are at hand.
        tracks: of the views in their order.
        mesh: the surface.
        depths: maps by name of the view.
        source: what it was read from, for messages.
    """

    name: str
    views: tuple[View, ...]
    unregistered: tuple[str, ...] = ()
    images: Path | None = None
    tracks: Tracks | None = None
    mesh: Mesh | None = None
    depths: Mapping[str, DepthMap] = field(default_factory=dict)
    source: str = ""
