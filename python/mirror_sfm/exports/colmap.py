"""A COLMAP database with the matches of the chosen pairs, ready for COLMAP's mappers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import MirrorError
from mirror_sfm.exports.cameras import camera_of
from mirror_sfm.exports.matched import matches_of_chosen
from mirror_sfm.photos import shown

if TYPE_CHECKING:
    from mirror_sfm.colmap.writing import DatabasePhoto
    from mirror_sfm.view_graph import ViewGraph


def write_database(path: Path, graph: ViewGraph, source: Path | None, verify: bool, threads: int | None) -> None:
    """Writes a new database.

    Args:
        path: where; nothing is there yet.
        graph: photos, features and chosen pairs.
        source: the database that the features came from: the new one is a copy of it, with these matches in place of
            all others. None: the new one holds the features the pairs were found with, and one camera for the photos
            that were taken alike.
        verify: examine the geometry of the matches, as mappers need it.
        threads: None: every processor this process may use.

    Raises:
        MirrorError: pycolmap is missing, the size of a photo is not known, or the database cannot be written.
    """
    from mirror_sfm.colmap import writing

    if source is None:
        writing.create(path, list(_photos(graph)))
        rows = None
    else:
        writing.copy(source, path)
        rows = _rows_in(source, graph)
    matches = (
        (graph.names[pair.i], graph.names[pair.j], _stored(pair.features, pair.i, pair.j, rows))
        for pair in matches_of_chosen(graph, threads)
    )
    writing.add_matches(path, matches, verify, threads)


def _photos(graph: ViewGraph) -> Iterator[DatabasePhoto]:
    from mirror_sfm.colmap.writing import DatabasePhoto

    features = graph.features
    for row, name in enumerate(graph.names):
        width, height = features.image_sizes[row].tolist()
        if not width:
            raise MirrorError(f"the size of the photo {shown(name)} is not known, which a COLMAP database needs")
        size, scale = int(features.sizes[row]), float(features.scales[row].mean())
        keypoints = np.empty((size, 4), np.float32)
        keypoints[:, :2] = features.sensor_xy(row)
        keypoints[:, 2] = features.keypoints[row, :size, 2] * scale
        keypoints[:, 3] = np.deg2rad(features.keypoints[row, :size, 3])
        yield DatabasePhoto(name, camera_of(name, graph.paths.get(name), width, height), keypoints)


def _rows_in(source: Path, graph: ViewGraph) -> list[NDArray[np.int64]]:
    """Rows in the database of the features of every photo.

    Raises:
        MirrorError: the database has changed since its features were read.
    """
    from mirror_sfm.colmap.database import feature_rows

    rows = feature_rows(source, graph.features.keypoints.shape[1])
    held = [rows.get(name, np.zeros(0, np.int64)) for name in graph.names]
    for name, size, found in zip(graph.names, graph.features.sizes.tolist(), held, strict=True):
        if len(found) != size:
            raise MirrorError(f"{shown(str(source))} has changed meanwhile: other features of {shown(name)}; run again")
    return held


def _stored(features: NDArray[np.int32], i: int, j: int, rows: list[NDArray[np.int64]] | None) -> NDArray[np.uint32]:
    if rows is not None:
        features = np.stack((rows[i][features[:, 0]], rows[j][features[:, 1]]), 1)
    return features.astype(np.uint32)
