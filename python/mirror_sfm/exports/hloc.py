"""Local features and matches in hloc's layout, so that hloc can go on from the pairs. Names: see docs/formats.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mirror_sfm.errors import MirrorError
from mirror_sfm.exports.matched import matches_of_chosen
from mirror_sfm.photos import shown

if TYPE_CHECKING:
    import h5py

    from mirror_sfm.view_graph import ViewGraph

_MOST_IN_16_BITS = 32767  # hloc's own files hold indices of features in int16


def write_features(path: Path, graph: ViewGraph) -> None:
    """A group per photo: key points in pixels of the photo, unit descriptors, and what else was found.

    hloc ranks features by score; there is none here, so the scale, by which they are sorted, stands for it.
    """
    features = graph.features
    with _new(path) as file:
        for row, name in enumerate(graph.names):
            size = int(features.sizes[row])
            scale = features.scales[row]
            keypoints = features.keypoints[row, :size]
            vectors = features.descriptors[row, :size].astype(np.float32)
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            photo = file.create_group(name)
            points = photo.create_dataset("keypoints", data=features.sensor_xy(row) - np.float32(0.5))
            points.attrs["uncertainty"] = float(scale.mean())  # hloc: pixels of the photo per pixel searched
            photo.create_dataset("descriptors", data=(vectors / np.maximum(length, 1)).T)
            photo.create_dataset("scales", data=keypoints[:, 2] * scale.mean())
            photo.create_dataset("oris", data=keypoints[:, 3])
            photo.create_dataset("scores", data=keypoints[:, 2] * scale.mean())
            photo.create_dataset("image_size", data=features.image_sizes[row].astype(np.int64))


def write_matches(path: Path, graph: ViewGraph, threads: int | None) -> None:
    """A group per pair: for every feature of the first photo its match in the second, or -1, and how sure it is.

    Raises:
        MirrorError: two pairs would get the same group, because '/' in names becomes '-'.
    """
    most = int(graph.features.sizes.max(initial=0))
    kind = np.int16 if most <= _MOST_IN_16_BITS else np.int32
    seen: dict[str, tuple[str, str]] = {}
    with _new(path) as file:
        for pair in matches_of_chosen(graph, threads):
            names = graph.names[pair.i], graph.names[pair.j]
            group = pair_group(*names)
            if group in seen:
                first, second = (" - ".join(map(shown, both)) for both in (seen[group], names))
                raise MirrorError(
                    f"hloc cannot tell the pairs {first} and {second} apart ('/' becomes '-'); rename a photo"
                )
            seen[group] = names
            matches = np.full(graph.features.sizes[pair.i], -1, kind)
            scores = np.zeros(len(matches), np.float16)
            matches[pair.features[:, 0]] = pair.features[:, 1]
            scores[pair.features[:, 0]] = 1 - pair.ratios
            file.create_dataset(f"{group}/matches0", data=matches)
            file.create_dataset(f"{group}/matching_scores0", data=scores)


def pair_group(first: str, second: str) -> str:
    """Where hloc looks for the matches of two photos."""
    return f"{first.replace('/', '-')}/{second.replace('/', '-')}"


def _new(path: Path) -> h5py.File:
    import h5py

    return h5py.File(path, "w", libver="latest", track_order=False)
