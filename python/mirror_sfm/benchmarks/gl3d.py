"""GL3D: every photo of every scene looks for those it overlaps, in all scenes together (mAP@k) or in its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mirror_sfm.benchmarks.protocol import Benchmark, ListOptions, Query, Result, measure, rankings
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.overlap.measured import LabelOptions, Overlap
from mirror_sfm.photos import shown
from mirror_sfm.scenes.files import read_lines, write_file, written
from mirror_sfm.scenes.gl3d_lists import read_offsets, read_ratios

LEAST_OVERLAP = 0.5  # combined overlap of a true pair
AT_100, AT_200 = ListOptions(k=100), ListOptions(k=200)

Pair = tuple[int, int]
_RATIOS = {"tracks": "common_track.txt", "triangles": "mesh_overlap.txt"}


def benchmark(pairs: Sequence[Pair] | set[Pair], photos: Sequence[str], name: str = "GL3D") -> Benchmark:
    """The protocol of true pairs of rows of `photos`, each direction its own; pairs of a photo with itself do not
    count. Every photo is a query, and takes no place in its own list.

    Raises:
        UsageError: a row is not there.
    """
    positives: list[set[int]] = [set() for _ in photos]
    for i, j in pairs:
        if not (0 <= i < len(photos) and 0 <= j < len(photos)):
            raise UsageError(f"pairs: expected rows of {len(photos)} photos, got {i} {j}")
        if i != j:
            positives[i].add(j)
    queries = [Query(photo, frozenset(positives[k]), frozenset({k})) for k, photo in enumerate(photos)]
    return Benchmark(name, tuple(photos), tuple(queries))


def read_pairs(path: str | os.PathLike[str], photos: int, directed: bool = False) -> set[Pair]:
    """Reads true pairs, lines `i j ...`; what follows the two indices is of no concern.

    Args:
        photos: how many there are; indices are below it.
        directed: a line is about the list of i alone. Else overlap is mutual, and counts for j too.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: a line is broken; the message has the line.
    """
    pairs: set[Pair] = set()
    for line in read_lines(Path(path), comments=True):
        i, j = line.whole(0, "the index of a photo"), line.whole(1, "the index of a photo")
        if max(i, j) >= photos:
            raise line.broken(f"expected indices below {photos}, the number of photos, found {max(i, j)}")
        pairs |= {(i, j)} if directed else {(i, j), (j, i)}
    return pairs


def scene_pairs(scene: str | os.PathLike[str], photos: int, options: LabelOptions | None = None) -> set[Pair]:
    """True pairs of a scene, both ways, from `geolabel/common_track.txt` and `mesh_overlap.txt`: combined overlap
    (Eq. 4) of at least 0.5. Rows are indices of the scene.

    Args:
        photos: of the scene.
        options: how overlap combines.

    Raises:
        UsageError: a file cannot be read, or neither is there.
        MirrorError: a file is broken.
    """
    folder = Path(scene) / "geolabel"
    ratios = {m: read_ratios(folder / file, photos) for m, file in _RATIOS.items() if (folder / file).is_file()}
    if not ratios:
        raise UsageError(f"no overlap in {shown(str(folder))}: looked for {' and '.join(_RATIOS.values())}")
    pairs = sorted({(min(pair), max(pair)) for halves in ratios.values() for pair in halves if pair[0] != pair[1]})
    halves = {
        m: np.array([(of.get((i, j), 0), of.get((j, i), 0)) for i, j in pairs], np.float64).reshape(-1, 2)
        for m, of in ratios.items()
    }
    overlap = Overlap((), np.array(pairs, np.int32).reshape(-1, 2), halves, {})
    kept = [pairs[k] for k in np.flatnonzero(overlap.combined(options) >= LEAST_OVERLAP)]
    return {both for i, j in kept for both in ((i, j), (j, i))}


def read_scenes(folder: str | os.PathLike[str], offsets: str | os.PathLike[str]) -> tuple[set[Pair], dict[str, range]]:
    """True pairs of all scenes of `image_index_offset.txt`, as global indices, and the indices of each scene.

    Args:
        folder: holds a folder per scene.
        offsets: lines `scene start end`. Indices are expected to begin at 0 and to leave out none.

    Raises:
        UsageError: a file cannot be read, or a scene has no overlap.
        MirrorError: a file is broken.
    """
    scenes, pairs = read_offsets(offsets), set()
    _cover(shown(str(offsets)), scenes)
    for scene, indices in scenes.items():
        if os.sep in scene or scene in (".", ".."):
            raise MirrorError(f"{shown(str(offsets))}: expected the id of a scene, found {shown(scene)}")
        found = scene_pairs(Path(folder) / scene, len(indices))
        pairs |= {(i + indices.start, j + indices.start) for i, j in found}
    return pairs, scenes


@dataclass(frozen=True)
class SceneResults:
    """The measure with the database restricted to the query's scene.

    Attributes:
        metric: as `Result.metric`.
        scenes: result by scene.
        mean_over_scenes: of those that have a query that counts.
        mean_over_queries: of all scenes together.
    """

    metric: str
    scenes: dict[str, Result]
    mean_over_scenes: float
    mean_over_queries: float


def measure_scenes(
    whole: Benchmark,
    scenes: Mapping[str, range],
    score: Callable[[int], ArrayLike],
    options: ListOptions | None = None,
) -> SceneResults:
    """Every photo looks only among those of its own scene.

    Args:
        scenes: rows of `whole.photos`, without gaps from 0 on. True pairs across scenes do not count.
        score: row of a query -> [N] scores of all photos, -inf where there is none.

    Raises:
        UsageError: scenes do not fit, or scores.
    """
    _cover("scenes", scenes, len(whole.photos))
    results = {}
    for scene, rows in scenes.items():
        part = _restricted(whole, scene, rows)
        own = rankings(part, lambda query, rows=rows: np.asarray(score(rows[query]))[rows.start : rows.stop])  # type: ignore[misc]
        results[scene] = measure(part, own, options)
    every = np.concatenate([result.average_precision for result in results.values()] or [np.zeros(0)])
    counted = [r.mean_average_precision for r in results.values() if not np.isnan(r.mean_average_precision)]
    return SceneResults(
        metric=f"{(options or ListOptions()).label} within scenes",
        scenes=results,
        mean_over_scenes=float(np.mean(counted)) if counted else float("nan"),
        mean_over_queries=float(np.nanmean(every)) if counted else float("nan"),
    )


def _restricted(whole: Benchmark, scene: str, rows: range) -> Benchmark:
    inside = [(i - rows.start, j - rows.start) for i in rows for j in whole.queries[i].positives if j in rows]
    return benchmark(inside, whole.photos[rows.start : rows.stop], f"{whole.name} {scene}")


def _cover(where: str, scenes: Mapping[str, range], photos: int | None = None) -> None:
    expected = 0
    for scene, rows in sorted(scenes.items(), key=lambda item: (item[1].start, item[1].stop)):
        if rows.start != expected or rows.step != 1:
            raise UsageError(f"{where}: expected scene {shown(scene)} to begin at {expected}, found {rows.start}")
        expected = rows.stop
    if photos is not None and expected != photos:
        raise UsageError(f"{where}: expected scenes of {photos} photos, found {expected}")


# ---- result files ----------------------------------------------------------------------------------------------------


def read_results(path: str | os.PathLike[str], photos: int) -> list[NDArray[np.int64]]:
    """Reads results, lines `i j score`, in any order.

    Returns:
        For every photo i its list: by falling score, ties by lowest j.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: a line is broken, or a pair is there twice; the message has the line.
    """
    found: list[dict[int, float]] = [{} for _ in range(photos)]
    for line in read_lines(Path(path), comments=True):
        if len(line.words) != 3:
            raise line.broken(f"expected two indices of photos and a score, found {len(line.words)} words")
        i, j = line.whole(0, "the index of a photo"), line.whole(1, "the index of a photo")
        if max(i, j) >= photos:
            raise line.broken(f"expected indices below {photos}, the number of photos, found {max(i, j)}")
        if j in found[i]:
            raise line.broken(f"the pair {i} {j} is there twice")
        (found[i][j],) = line.numbers(2)
    return [np.array(sorted(of, key=lambda j, of=of: (-of[j], j)), np.int64) for of in found]  # type: ignore[misc]


def write_results(
    path: str | os.PathLike[str], lists: Sequence[ArrayLike], scores: Callable[[int], ArrayLike] | None = None
) -> None:
    """Writes results, lines `i j score`, lists one after the other, best first.

    Args:
        lists: for every photo i rows j.
        scores: row i -> [N] scores of all photos; without, they are -1, -2, ... in the order of the list.

    Raises:
        UsageError: scores are not finite, or do not fall along a list: reading would order it anew.
        MirrorError: the file cannot be written.
    """
    lines = []
    for i, ranked in enumerate(lists):
        rows = np.asarray(ranked, np.int64)
        of = -np.arange(1.0, len(rows) + 1) if scores is None else np.asarray(scores(i), np.float64)[rows]
        if not np.isfinite(of).all() or not np.array_equal(np.lexsort((rows, -of)), np.arange(len(rows))):
            raise UsageError(f"list of photo {i}: expected finite scores that fall along it, ties by lowest row")
        lines += [f"{i} {j} {written(value)}\n" for j, value in zip(rows.tolist(), of.tolist(), strict=True)]
    write_file(Path(path), "".join(lines))
