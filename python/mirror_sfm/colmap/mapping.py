"""Cameras and points from a database of verified matches, by COLMAP's mappers."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from mirror_sfm.colmap.library import SEED, pycolmap, quiet


@dataclass(frozen=True)
class Model:
    """A reconstruction: the columns in which they are compared.

    Attributes:
        folder: name of its folder.
        registered: names of its photos, sorted.
        points: how many.
        observations: features that see them.
        track_length: observations per point.
        reprojection_error: mean, in pixels.
    """

    folder: str
    registered: tuple[str, ...]
    points: int
    observations: int
    track_length: float
    reprojection_error: float


def map_photos(
    database: Path, photos: Path, out: Path, mapper: str, threads: int, total: int, progress: bool
) -> list[Model]:
    """Runs a mapper into the empty folder `out`: models 0, 1, ..., the one with most photos first.

    Seeds are set. The incremental mapper with one thread then gives the same bytes every time; with several, sums are
    taken in another order and points differ in the last digits, now and then in number.

    Args:
        mapper: "incremental" or "global".
        total: photos, for the progress bar.
    """
    found = out.with_name(out.name + ".found")
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir()
    try:
        with quiet(), tqdm(total=total, unit="photo", disable=not progress, desc="mapping") as bar:
            if mapper == "global":
                models = pycolmap.global_mapping(database, photos, found, _global(threads))
            else:
                models = pycolmap.incremental_mapping(
                    database, photos, found, _incremental(threads), next_image_callback=bar.update
                )
        order = sorted(models, key=lambda k: (-models[k].num_reg_images(), -models[k].num_points3D(), k))
        for place, k in enumerate(order):
            (found / str(k)).rename(out / str(place))
        return [_described(models[k], str(place)) for place, k in enumerate(order)]
    finally:
        shutil.rmtree(found, ignore_errors=True)


def _incremental(threads: int) -> pycolmap.IncrementalPipelineOptions:
    options = pycolmap.IncrementalPipelineOptions(random_seed=SEED, num_threads=threads)
    options.mapper.random_seed = options.triangulation.random_seed = SEED
    options.mapper.num_threads = threads
    return options


def _global(threads: int) -> pycolmap.GlobalPipelineOptions:
    options = pycolmap.GlobalPipelineOptions(random_seed=SEED, num_threads=threads)
    mapper = options.mapper
    mapper.random_seed = SEED
    mapper.rotation_averaging.random_seed = mapper.global_positioning.random_seed = SEED
    mapper.retriangulation.random_seed = SEED
    mapper.num_threads = threads
    return options


def _described(model: pycolmap.Reconstruction, folder: str) -> Model:
    names = sorted(model.images[number].name for number in model.reg_image_ids())
    return Model(
        folder=folder,
        registered=tuple(names),
        points=model.num_points3D(),
        observations=model.compute_num_observations(),
        track_length=float(model.compute_mean_track_length()),
        reprojection_error=float(model.compute_mean_reprojection_error()),
    )
