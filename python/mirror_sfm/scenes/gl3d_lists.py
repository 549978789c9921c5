"""GL3D: text lists, of pairs with a ratio, of images, of scenes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mirror_sfm.scenes.files import read_lines, write_file, written

Ratios = dict[tuple[int, int], float]


def read_ratios(path: str | os.PathLike[str], images: int | None = None) -> Ratios:
    """Reads `common_track.txt` or `mesh_overlap.txt`: lines `i j ratio`, the share of i's set that j has too.

    Args:
        images: how many the scene has; indices are below it.

    Returns:
        Ratio by (i, j), in the order of the file. Each direction is its own entry.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: a line is broken, or a pair is there twice.
    """
    ratios: Ratios = {}
    for line in read_lines(Path(path)):
        if len(line.words) != 3:
            raise line.broken(f"expected two indices of images and a ratio, found {len(line.words)} words")
        i, j = line.whole(0, "the index of an image"), line.whole(1, "the index of an image")
        (ratio,) = line.numbers(2)
        if not 0 <= ratio <= 1:
            raise line.broken(f"expected a ratio from 0 to 1, found {ratio:g}")
        if images is not None and max(i, j) >= images:
            raise line.broken(f"expected indices below {images}, the number of images, found {max(i, j)}")
        if (i, j) in ratios:
            raise line.broken(f"the pair {i} {j} is there twice")
        ratios[i, j] = ratio
    return ratios


def write_ratios(path: str | os.PathLike[str], ratios: Mapping[tuple[int, int], float]) -> None:
    """Writes `i j ratio` lines in the order given.

    Raises:
        MirrorError: it cannot be written.
    """
    write_file(Path(path), "".join(f"{i} {j} {written(ratio)}\n" for (i, j), ratio in ratios.items()))


def read_image_list(path: str | os.PathLike[str]) -> list[str]:
    """Reads `image_list.txt` or `basenames.txt`: a path a line, the first that of image 0.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is not UTF-8.
    """
    return [line.text.strip() for line in read_lines(Path(path))]


def read_scene_list(path: str | os.PathLike[str]) -> list[str]:
    """Reads `imageset_{all,train,test}.txt`: an id of a scene a line.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: a line is not an id, or is there twice.
    """
    scenes: dict[str, int] = {}
    for line in read_lines(Path(path)):
        if len(line.words) != 1:
            raise line.broken(f"expected the id of a scene, found {len(line.words)} words")
        if line.words[0] in scenes:
            raise line.broken(f"the scene is there twice, first in line {scenes[line.words[0]]}")
        scenes[line.words[0]] = line.number
    return list(scenes)


def write_list(path: str | os.PathLike[str], names: Iterable[str]) -> None:
    """Writes a name a line: images or scenes.

    Raises:
        MirrorError: it cannot be written.
    """
    write_file(Path(path), "".join(f"{name}\n" for name in names))


def read_offsets(path: str | os.PathLike[str]) -> dict[str, range]:
    """Reads `image_index_offset.txt`: lines `scene start end`, the global indices of a scene's images.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: a line is broken, or a scene is there twice.
    """
    offsets: dict[str, range] = {}
    for line in read_lines(Path(path)):
        if len(line.words) != 3:
            raise line.broken(f"expected a scene, a start and an end, found {len(line.words)} words")
        start, end = line.whole(1, "the first index"), line.whole(2, "the index after the last")
        if end < start:
            raise line.broken(f"expected an end of at least {start}, found {end}")
        if line.words[0] in offsets:
            raise line.broken("the scene is there twice")
        offsets[line.words[0]] = range(start, end)
    return offsets


def write_offsets(path: str | os.PathLike[str], offsets: Mapping[str, range]) -> None:
    """Writes `scene start end` lines.

    Raises:
        MirrorError: it cannot be written.
    """
    lines = [f"{scene} {indices.start} {indices.stop}\n" for scene, indices in offsets.items()]
    write_file(Path(path), "".join(lines))
