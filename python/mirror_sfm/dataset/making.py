"""One scene of a data set, stage by stage.

    photos --reconstruct--> model --surface_from_points--> mesh --measure_overlap--> pairs, masks --join--> scene
                                    (or its own mesh, depth maps, lists)             squares of the photos --^

A stage is a folder below DATASET/.work/NAME, called after all it depends on (`parts`); the scene is put together from
them and moved into place. Whatever is stopped when, the next run ends with the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mirror_sfm import __version__
from mirror_sfm.cache import digest
from mirror_sfm.dataset.contents import contents, key_of
from mirror_sfm.dataset.format import ARRAYS, SCENE, open_scene, read_json, save_array
from mirror_sfm.dataset.joining import join, write_overlap
from mirror_sfm.dataset.parts import Part, Parts, alone, replaced
from mirror_sfm.dataset.sources import MADE_HERE, SceneOptions, SceneSource
from mirror_sfm.dataset.squares import write_squares
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.overlap.measuring import measure_overlap
from mirror_sfm.photos import PHOTO_SUFFIXES, shown
from mirror_sfm.scenes.gl3d import read_overlap
from mirror_sfm.scenes.photo_names import photo_folder
from mirror_sfm.scenes.scene import Mesh, Scene
from mirror_sfm.threads import processors

VERSION = 1  # of what the stages compute
WORK = ".work"
_log = logging.getLogger("mirror_sfm")


@dataclass(frozen=True)
class Task:
    """One scene to be made, as a process gets it.

    Attributes:
        source: where it comes from.
        dataset: folder of the data set.
        options: of the data set.
        threads: None: as many as there are processors.
        progress: whether to show bars.
    """

    source: SceneSource
    dataset: Path
    options: SceneOptions
    threads: int | None = None
    progress: bool = False


@dataclass(frozen=True)
class Made:
    """What came of a scene.

    Attributes:
        about: what its scene.json holds.
        seconds: wall time of every stage, of the run that made it; empty where nothing was left to do.
    """

    about: dict[str, Any]
    seconds: dict[str, float]


def make_scene(task: Task) -> Made:
    """Makes one scene, or what is missing of it.

    Raises:
        UsageError: there is nothing to make a scene of, or something else is where it is to go.
        MirrorError: something of it cannot be used, or another process is making it.
        OSError: a file cannot be read or written.
    """
    if not task.source.path.is_dir():
        raise UsageError(f"no such folder: {shown(str(task.source.path))}")
    work = task.dataset / WORK / task.source.name
    _free(task.dataset / task.source.name)
    with alone(work), _named(task.source.name):
        return _Making(task, work).whole()


class _Making:
    """The stages of one scene."""

    def __init__(self, task: Task, work: Path) -> None:
        self.source, self.options, self.progress = task.source, task.options, task.progress
        self.place, self.threads = task.dataset / task.source.name, task.threads or processors()
        self.parts, self.seconds = Parts(work), dict[str, float]()
        self.files = contents(self.source.places, task.dataset, self.threads)

    def whole(self) -> Made:
        """The scene in its place."""
        key = self.key("scene", self.source.name, repr(self.options))
        if (known := _as_made(self.place, key, self.options.size)) is not None:
            return Made(known, {})
        scene = self.reconstructed() if self.source.only_photos else self.source.read()
        if scene.images is None:
            raise UsageError(f"scene {shown(scene.name)}: no photos; give their folder (--images)")
        photos, overlap = self.photos(scene, scene.images), self.overlap(scene)
        partial = self.parts.folder / "scene.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        about = join(partial, scene.name, scene.unregistered, photos, overlap, self.options, key)
        replaced(partial, self.place, self.parts.folder / "scene.before")
        return Made(about, self.seconds)

    def key(self, *parts: str | int | float | bool) -> str:
        """Of what depends on the files of the scene, on how they are read, and on these."""
        others = {name: value for name, value in self.source.given.items() if not isinstance(value, Path)}
        return digest(VERSION, __version__, key_of(self.files), repr(others), *parts)

    def part(self, stage: str, key: str, fill: Callable[[Path], Any]) -> Part:
        """A stage, timed."""
        made = self.parts.make(stage, key, fill)
        self.seconds[stage] = made.seconds
        return made

    def reconstructed(self) -> Scene:
        """From photos alone. The mapper has one thread: with more its models differ from run to run."""
        from mirror_sfm.reconstruction import ReconstructOptions, reconstruct, why_no_model
        from mirror_sfm.scenes.reading import read_scene

        images = self.source.images or photo_folder(self.source.path) or self.source.path
        out = self.parts.folder / "reconstruction"
        options = ReconstructOptions(threads=self.threads, mapping_threads=1, progress=self.progress)
        report = reconstruct(images, out, options)
        self.seconds |= report.seconds
        if not report.models:
            raise MirrorError(f"no model of {shown(str(images))}: {why_no_model(report)}")
        return read_scene(out, name=self.source.name, images=images, model=report.models[0].folder)

    def photos(self, scene: Scene, images: Path) -> Part:
        """Squares of the photos with a pose."""
        size, views = self.options.size, sorted(scene.views, key=lambda view: view.name)
        files = {name: found for name, found in self.files.items() if Path(name).suffix.lower() in PHOTO_SUFFIXES}
        sizes = [f"{view.name} {view.camera.width} {view.camera.height}" for view in views]

        def fill(out: Path) -> dict[str, Any]:
            return write_squares(out, images, views, size, self.threads, self.progress)

        return self.part("photos", digest(VERSION, __version__, key_of(files), size, *sizes), fill)

    def overlap(self, scene: Scene) -> Part:
        """Pairs and masks; the surface first, where there is none."""
        surface = self.surface_of(scene)
        measuring = self.options.measuring(surface)

        def fill(out: Path) -> dict[str, Any]:
            if surface == "listed":
                overlap = read_overlap(self.source.path)
            else:
                whole = self.with_surface(scene) if surface in MADE_HERE else scene
                running = dataclasses.replace(measuring, threads=self.threads, progress=self.progress)
                overlap = measure_overlap(whole, running)
            return write_overlap(out, dataclasses.replace(overlap, surface=surface), measuring.labels)

        return self.part("overlap", self.key("overlap", surface, repr(measuring)), fill)

    def surface_of(self, scene: Scene) -> str:
        """What says who sees what: lists of GL3D, a mesh, depth maps, or a surface made of these or of points."""
        if self.source.has_lists:
            return "listed"
        if scene.mesh is not None:
            if self.options.fuse:
                _log.warning("the scene has a mesh, which counts: nothing is fused")
            return "mesh"
        if scene.depths:
            return "fused depth" if self.options.fuse else "depth"
        return "sparse points"

    def with_surface(self, scene: Scene) -> Scene:
        """The scene with a surface made of its depth maps or points."""
        from mirror_sfm.surface.depth import surface_from_depth
        from mirror_sfm.surface.sparse import surface_from_points

        def fill(out: Path) -> None:
            made = surface_from_depth(scene) if scene.depths else surface_from_points(scene)
            save_array(out / "vertices.npy", made.vertices)
            save_array(out / "faces.npy", made.faces)

        folder = self.part("surface", self.key("surface"), fill).folder
        mesh = Mesh(np.load(folder / "vertices.npy"), np.load(folder / "faces.npy"))
        return dataclasses.replace(scene, mesh=mesh)


@contextlib.contextmanager
def _named(scene: str) -> Iterator[None]:
    """Says of which scene the log speaks."""

    def name(record: logging.LogRecord) -> bool:
        record.msg, record.args = f"{shown(scene)}: {record.getMessage()}", ()
        return True

    _log.addFilter(name)
    try:
        yield
    finally:
        _log.removeFilter(name)


def _free(place: Path) -> None:
    """A scene takes the place of an older one, and of nothing else: not of the folder it is read from, for example.

    Raises:
        UsageError: something else is there.
    """
    ours = {SCENE, *(f"{array}.npy" for array in ARRAYS)}
    there = os.listdir(place) if place.is_dir() else [place.name] if os.path.lexists(place) else []
    others = sorted({*there} - ours)
    if others:
        raise UsageError(
            f"{shown(str(place))} is in the way: {shown(others[0])} is not of a data set; choose another folder "
            "(-o), or another name for the scene (--name)"
        )


def _as_made(place: Path, key: str, size: int) -> dict[str, Any] | None:
    """What scene.json holds, of a scene that is there, whole, and of this key."""
    if not (place / SCENE).is_file():
        return None
    try:
        about = read_json(place / SCENE)
        if about.get("key") != key:
            return None
        open_scene(place, size)
        return about
    except MirrorError as error:
        _log.warning("%s", error)
        return None
