"""Draws what mirror-sfm finds in the rendered scene: three photos and the view graph of all 24.

python examples/draw_demo_graph.py OUT.jpg
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mirror_sfm import PairOptions, find_pairs
from mirror_sfm.demo_landscape import make_landscape
from mirror_sfm.demo_scene import look, make_demo_scene, render

PER_IMAGE = 5
SCALE = 4  # lines are drawn this much larger and scaled down: smooth edges
SIZE = (1152, 864)
SHOWN = (5, 9, 20)


def main(path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        images = make_demo_scene(folder)
        graph = find_pairs(images, PairOptions(per_image=PER_IMAGE))
        cameras = json.loads((Path(folder) / "cameras.json").read_text())["cameras"]
        column = [Image.open(images / graph.names[i]).resize((384, 288), Image.Resampling.LANCZOS) for i in SHOWN]

    # Seen from 225 m above, north up. A drone at its own height would be drawn aside: draw it where it is on the map.
    above = look("map", np.array([0.0, 0, 225]), np.array([0, 0, -1.0]), np.array([0, 1.0, 0]))
    ground, _ = render(above, make_landscape(seed=0))
    picture = Image.fromarray(ground).resize((SIZE[0] * SCALE, SIZE[1] * SCALE), Image.Resampling.BICUBIC)
    picture = Image.blend(picture, Image.new("RGB", picture.size, (20, 24, 30)), 0.25)
    poses = np.array([camera["cam_from_world"] for camera in cameras])
    centres = -np.einsum("nji,nj->ni", poses[:, :, :3], poses[:, :, 3])
    x, y, _ = above.project(np.stack([centres[:, 0], centres[:, 1], np.zeros(len(centres))]))
    places = np.stack([x, y], axis=1) * (SIZE[0] / 640 * SCALE)

    draw = ImageDraw.Draw(picture, "RGBA")
    strength = graph.scores[graph.chosen] / graph.scores.max()
    for row in np.argsort(strength):
        i, j = graph.candidates.i[graph.chosen[row]], graph.candidates.j[graph.chosen[row]]
        colour = (255, int(150 + 90 * strength[row]), 60, int(110 + 140 * strength[row]))
        draw.line([*places[i], *places[j]], fill=colour, width=int((1.5 + 5 * strength[row]) * SCALE))
    for place in places:
        draw.circle(tuple(place), 9 * SCALE, fill=(255, 255, 255), outline=(20, 24, 30), width=2 * SCALE)
    sheet = Image.new("RGB", (SIZE[0] + 384, SIZE[1]))
    for i, photo in enumerate(column):
        sheet.paste(photo, (0, 288 * i))
    sheet.paste(picture.resize(SIZE, Image.Resampling.LANCZOS), (384, 0))
    sheet.resize((1200, 675), Image.Resampling.LANCZOS).save(path, quality=85)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
