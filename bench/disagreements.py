"""Where what photos look like and what they show say different things: which of the two is wrong?

    python bench/disagreements.py [SCENE...] [--gallery FOLDER] [--json FILE]

For every scene whose model holds nearly all photos: the ten pairs where the probability that `mirror-sfm pairs` gives
and the overlap on a surface disagree most, five in each direction where there are as many. FOLDER gets a page with the
pairs side by side in the paper's colours; the photos belong to others, so it stays on this machine. What was seen on
them is in docs/gallery.md. Beside each pair stands how many of its matches the surface confirms: both ends lie on the
same place of it.
"""

from __future__ import annotations

import argparse
import csv
import html
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from mirror_ext import numpy as ext
from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap, sight_of
from mirror_sfm.overlap.pictures import draw_pairs, save_picture
from mirror_sfm.pairs import PairOptions, score_pairs
from mirror_sfm.scenes.cameras import Pinhole
from mirror_sfm.scenes.reading import read_scene
from mirror_sfm.scenes.scene import Scene
from mirror_sfm.surface.depth import surface_from_depth
from mirror_sfm.surface.sparse import surface_from_points
from mirror_sfm.view_graph import ScoredPairs

DATA = Path(os.environ.get("MIRROR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
OVERLAPPING = 0.25  # a pair with this overlap may be matched: a probability of 1 is then no disagreement
PER_SCENE = 10
SAME_PLACE = 0.03  # of the distance to the camera
COLOUR_CAMERA = Pinhole(
    640, 480, 525.0, 525.0, 320.0, 240.0
)  # of the kitchen's photos; its file has the depth sensor's
WIDTH = 1400  # of a picture in the gallery


@dataclass(frozen=True)
class Disagreement:
    """A pair.

    Attributes:
        a, b: photos.
        probability: that they can be matched, by looks.
        overlap: share of what a sees that b sees too, and the reverse, in pixels.
        matches: that agree with each other, 0 where the pair was not examined.
        confirmed: of these, whose ends lie on one place of the surface, to 3 % of the distance to the camera.
        shared_points: of the model, None where the scene has no table of them.
        amount: of disagreement, above 0 where looks say more than the surface, below 0 where less.
    """

    a: str
    b: str
    probability: float
    overlap: tuple[float, float]
    matches: int
    confirmed: int
    shared_points: int | None
    amount: float


def from_points(folder: Path) -> Scene:
    scene = read_scene(folder, model=folder / "sfm")
    return replace(scene, mesh=surface_from_points(scene))


def from_depth(folder: Path) -> Scene:
    kitchen = folder.name == "indoor_redkitchen"
    scene = read_scene(folder, cameras=COLOUR_CAMERA) if kitchen else read_scene(folder)
    return replace(scene, mesh=surface_from_depth(scene))


def brighton(folder: Path) -> Scene:
    mesh = DATA / "meshes" / "brighton_terrain_1860k.ply"
    return read_scene(folder, cameras=folder / "cameras_aligned.json", mesh=mesh)


def dem(folder: Path) -> Scene:
    return replace(read_scene(folder, depth_scale=10), depths={})


SCENES: dict[str, Callable[[Path], Scene]] = {
    "drone_caliterra": from_points,
    "drone_brighton": brighton,
    "drone_garfield": from_points,
    "aerial_dem4": dem,
    "building_herzjesu25": from_points,
    "object_maryrose": from_points,
    "indoor_redkitchen": from_depth,
    "indoor_livingroom": from_depth,
}
OPTIONS = OverlapOptions(masks=False, long_side=2048)  # brighton's triangles are smaller than a pixel at 1024


def disagreements(folder: Path, scene: Scene) -> list[Disagreement]:
    """Pairs of the scene by falling disagreement, half of them in each direction."""
    overlap = measure_overlap(scene, OPTIONS)
    scored = score_pairs(folder / "images", PairOptions())
    row = {name: k for k, name in enumerate(overlap.names)}
    size = len(overlap.names)
    chance = np.zeros((size, size))
    i, j = (np.array([row[name] for name in scored.names])[part] for part in (scored.candidates.i, scored.candidates.j))
    chance[i, j] = chance[j, i] = scored.probabilities
    halves = overlap.matrix("pixels")
    both = np.sqrt(halves * halves.T)
    more, less = chance * np.maximum(0, 1 - both / OVERLAPPING), (1 - chance) * both
    shared = shared_points(folder, row)
    found = [
        Disagreement(
            a=overlap.names[a],
            b=overlap.names[b],
            probability=round(float(chance[a, b]), 3),
            overlap=(round(float(halves[a, b]), 3), round(float(halves[b, a]), 3)),
            matches=0,
            confirmed=0,
            shared_points=None if shared is None else shared.get((a, b), 0),
            amount=round(float(more[a, b] if more[a, b] >= less[a, b] else -less[a, b]), 3),
        )
        for a in range(size)
        for b in range(a + 1, size)
    ]
    found.sort(key=lambda pair: (-abs(pair.amount), pair.a, pair.b))
    sides = [[pair for pair in found if (pair.amount > 0) == above][: PER_SCENE // 2] for above in (True, False)]
    rest = [pair for pair in found if pair not in sides[0] and pair not in sides[1]]
    chosen = (sides[0] + sides[1] + rest)[:PER_SCENE]
    return with_matches(scene, scored, sorted(chosen, key=lambda pair: (pair.amount < 0, -abs(pair.amount))))


def with_matches(scene: Scene, scored: ScoredPairs, pairs: list[Disagreement]) -> list[Disagreement]:
    """The same with their matches counted."""
    if scene.mesh is None:
        raise ValueError("a scene without a mesh")
    vertices, faces = np.asarray(scene.mesh.vertices, np.float64), scene.mesh.faces
    middles = vertices[faces[ext.morton_order(vertices, faces)]].mean(axis=1)  # in the order in which photos are drawn
    view = {one.name: row for row, one in enumerate(scene.views)}
    row = {name: k for k, name in enumerate(scored.names)}
    sight = sight_of(scene, OPTIONS, {view[name] for pair in pairs for name in (pair.a, pair.b)})
    evidence, candidates = scored.evidence, scored.candidates
    place = {(candidates.i[pair], candidates.j[pair]): k for k, pair in enumerate(evidence.pairs)}

    def seen(name: str, features: np.ndarray) -> np.ndarray:
        """[m, 3] what a photo shows at some of its features, NaN where nothing."""
        [(_, ids)] = sight.batches(np.array([view[name]]))
        camera = scene.views[view[name]].camera
        spots = scored.features.sensor_xy(row[name])[features] * (
            ids[0].shape[::-1] / np.array([camera.width, camera.height])
        )
        x, y = np.minimum(spots.astype(int), np.array(ids[0].shape[::-1]) - 1).T
        found = ids[0][y, x]
        return np.where((found >= 0)[:, None], middles[found], np.nan)

    counted = []
    for pair in pairs:
        k = place.get((row[pair.a], row[pair.b]))
        good = np.zeros((0, 2), int) if k is None else evidence.features[evidence.offsets[k] : evidence.offsets[k + 1]]
        here, there = seen(pair.a, good[:, 0]), seen(pair.b, good[:, 1])
        distance = np.linalg.norm(here - scene.views[view[pair.a]].centre, axis=1)
        same = np.linalg.norm(here - there, axis=1) <= SAME_PLACE * distance
        counted.append(replace(pair, matches=len(good), confirmed=int(same.sum())))
    return counted


def shared_points(folder: Path, row: dict[str, int]) -> dict[tuple[int, int], int] | None:
    table = folder / "pairs_covis.csv"
    if not table.exists():
        return None
    with open(table, newline="") as file:
        lines = [
            (row[line["image_a"]], row[line["image_b"]], int(line["shared_points"])) for line in csv.DictReader(file)
        ]
    return {(min(a, b), max(a, b)): count for a, b, count in lines}


def draw(folder: Path, scene: Scene, pairs: list[Disagreement]) -> list[str]:
    """Pictures of the pairs into the gallery; gives their lines of the page."""
    lines = [f"<h2>{html.escape(scene.name)}</h2>"]
    pictures = draw_pairs(scene, [(pair.a, pair.b) for pair in pairs], OPTIONS)
    for number, (pair, picture) in enumerate(zip(pairs, pictures, strict=True)):
        picture.thumbnail((WIDTH, WIDTH))
        file = f"{scene.name}-{number}.jpg"
        save_picture(folder / file, picture)
        says = f"{number}: {pair.a}, {pair.b}: probability {pair.probability}, overlap {pair.overlap}"
        says += f", {pair.matches} matches, {pair.confirmed} confirmed; shared points {pair.shared_points}"
        lines.append(f'<p>{html.escape(says)}<br><img src="{file}" loading="lazy"></p>')
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*")
    parser.add_argument("--gallery", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, object]]] = {}
    page = ["<!doctype html><meta charset=utf-8><title>Disagreements</title><body style='font-family:sans-serif'>"]
    page.append(
        "<p>Yellow: both photos see it. Red: only the first. Green: only the second. No colour: no surface.</p>"
    )
    for name in arguments.scenes or SCENES:
        folder = DATA / "scenes" / name
        scene = SCENES[name](folder)
        pairs = disagreements(folder, scene)
        found[name] = [asdict(pair) for pair in pairs]
        for pair in pairs:
            print(name, json.dumps(asdict(pair)), flush=True)
        if arguments.gallery:
            arguments.gallery.mkdir(parents=True, exist_ok=True)
            page += draw(arguments.gallery, scene, pairs)
            (arguments.gallery / "index.html").write_text("\n".join(page))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
