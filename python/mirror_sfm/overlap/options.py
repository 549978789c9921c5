"""How photos look at a surface."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirror_sfm.errors import UsageError
from mirror_sfm.overlap.measured import LabelOptions
from mirror_sfm.threads import processors


@dataclass(frozen=True)
class OverlapOptions:
    """How photos look at a surface.

    Attributes:
        long_side: of a photo as it is drawn, in pixels; counts of triangles depend on it.
        finest: sets of triangles are drawn twice as fine as that, and again, while photos show fewer than two pixels
            per triangle, up to so many times: of triangles smaller than a pixel most own none. 1: never.
        min_pixels: a triangle is seen from so many pixels on.
        near: distance of the near plane, as a share of the median depth of what the photo shows.
        cull: triangles are seen from their front only (corners counter-clockwise), not from both sides.
        masks: whether to make masks.
        labels: masks are made for pairs that overlap at least as weak positives do.
        sensed: with a surface, only pixels count at which the photo's depth map has a reading: a mesh made of a
            sensor's readings has holes where it saw nothing, and shows what lies behind them. None: where the depth
            maps have a camera of their own, as those of a sensor do.
        depth_tolerance: without a surface: how far depth may differ, relative to depth.
        threads: None: as many as there are processors.
        progress: whether to show bars.
    """

    long_side: int = 1024
    finest: int = 8
    min_pixels: int = 1
    near: float = 1e-3
    cull: bool = False
    masks: bool = True
    labels: LabelOptions = field(default_factory=LabelOptions)
    sensed: bool | None = None
    depth_tolerance: float = 0.01
    threads: int | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (("long_side", 1, 16384), ("finest", 1, 64), ("min_pixels", 1, 1 << 30)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"{name}: expected a whole number from {low} to {high}, got {value}")
        for name in ("near", "depth_tolerance"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise UsageError(f"{name}: expected a share above 0 and below 1, got {value}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads: expected at least 1, got {self.threads}")

    @property
    def workers(self) -> int:
        """Threads to use."""
        return self.threads or processors()
