"""Where scenes come from, and what a data set makes of them."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirror_sfm.dataset.format import INDEX
from mirror_sfm.errors import UsageError
from mirror_sfm.overlap.measured import LabelOptions
from mirror_sfm.overlap.options import OverlapOptions
from mirror_sfm.photos import shown
from mirror_sfm.scenes.blended import is_blended
from mirror_sfm.scenes.files import listed
from mirror_sfm.scenes.gl3d import is_gl3d
from mirror_sfm.scenes.poses import pose_folder
from mirror_sfm.scenes.reading import models, read_scene
from mirror_sfm.scenes.scene import Scene

Place = str | os.PathLike[str]
MADE_HERE = ("sparse points", "fused depth")  # surfaces that did not come with their scene
_GL3D_LISTS = ("common_track.txt", "mesh_overlap.txt")


@dataclass(frozen=True)
class SceneSource:
    """Where one scene comes from: a folder, and what is elsewhere.

    Attributes:
        path: the scene, as `scenes.reading.read_scene` takes it, or a folder of photos alone.
        name: in the data set; that of the folder where none is given.
        images, model, mesh, depth, cameras, depth_camera, depth_scale: as `read_scene` takes them.
    """

    path: Path
    name: str = ""
    images: Path | None = None
    model: Path | None = None
    mesh: Path | None = None
    depth: Path | None = None
    cameras: Path | None = None
    depth_camera: Path | None = None
    depth_scale: float | None = None

    def __post_init__(self) -> None:
        name = self.name or self.path.resolve().name
        if not name or Path(name).name != name or name.startswith(".") or name == INDEX:
            raise UsageError(f"the scene {shown(str(self.path))} needs a name that its folder can have: give --name")
        object.__setattr__(self, "name", name)

    @property
    def given(self) -> dict[str, Any]:
        """What `read_scene` is told."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in ("path", "name")]
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def places(self) -> dict[str, Path]:
        """Files and folders it is read from."""
        return {"scene": self.path} | {name: value for name, value in self.given.items() if isinstance(value, Path)}

    @property
    def only_photos(self) -> bool:
        """Whether nothing says where the photos were taken."""
        if self.given.keys() - {"images"}:
            return False
        cameras = any(name.startswith("cameras") and name.endswith(".json") for name in listed(self.path))
        known = (cameras, is_gl3d(self.path), is_blended(self.path), pose_folder(self.path), models(self.path))
        return not any(known)

    @property
    def has_lists(self) -> bool:
        """Whether it comes with GL3D's overlap, and no surface to measure it on."""
        lists = any((self.path / "geolabel" / name).is_file() for name in _GL3D_LISTS)
        return lists and is_gl3d(self.path) and self.mesh is None

    def read(self) -> Scene:
        """The scene, if it has cameras."""
        return read_scene(self.path, name=self.name, **self.given)


@dataclass(frozen=True)
class SceneOptions:
    """How scenes are made; one set of options per data set.

    Attributes:
        size: side of the photos.
        long_side: of the raster a surface is drawn on.
        min_pixels: that show a triangle before it counts as seen.
        cull: leave out triangles seen from behind.
        depth_tolerance: relative, of depth maps.
        fuse: depth maps into a surface, instead of comparing them directly.
        labels: how overlap becomes labels, but for `weight`.
        weight: of the surface, "triangles", "areas" or "pixels"; "auto": triangles of a mesh that came with the scene,
            as the paper counts, and pixels of a surface made here: its triangles are small where points are dense, and
            counting them favours what many photos see.
        holdout: share of the photos of each scene that is put aside for measuring.
    """

    size: int = 448
    long_side: int = 1024
    min_pixels: int = 1
    cull: bool = False
    depth_tolerance: float = 0.01
    fuse: bool = False
    labels: LabelOptions = field(default_factory=LabelOptions)
    weight: str = "auto"
    holdout: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 1 << 14:
            raise UsageError(f"size: expected 1 to {1 << 14}, got {self.size}")
        self.measuring("mesh")  # says what is wrong with the others
        if not 0 <= self.holdout < 1:
            raise UsageError(f"holdout: expected a share of at least 0 and below 1, got {self.holdout}")

    def labels_on(self, surface: str) -> LabelOptions:
        """How overlap becomes labels on a surface of this kind."""
        own = "pixels" if surface in MADE_HERE else "triangles"
        return dataclasses.replace(self.labels, weight=own if self.weight == "auto" else self.weight)

    def measuring(self, surface: str, **running: Any) -> OverlapOptions:
        """How overlap is measured; `running` says with how many threads and whether progress is shown."""
        return OverlapOptions(
            long_side=self.long_side,
            min_pixels=self.min_pixels,
            cull=self.cull,
            labels=self.labels_on(surface),
            depth_tolerance=self.depth_tolerance,
            **running,
        )

    def settings(self) -> dict[str, Any]:
        """As dataset.json has them."""
        return dataclasses.asdict(self)
