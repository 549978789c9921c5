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
from mirror_sfm.scenes.cameras import Camera
from mirror_sfm.synthetic import RenderOptions, develop, make_lit, make_scene, render
from mirror_sfm.synthetic.paths import centres, look

PER_IMAGE = 5
SCALE = 4  # lines are drawn this much larger and scaled down: smooth edges
SIZE = (1152, 864)
SHOWN = (5, 9, 20)
HEIGHT, FOCAL = 225.0, 1008.0  # of the map's camera: metres, pixels


def main(path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        images = make_scene("village", folder)
        graph = find_pairs(images, PairOptions(per_image=PER_IMAGE))
        cameras = json.loads((Path(folder) / "cameras.json").read_text())["cameras"]
        column = [Image.open(images / graph.names[i]).resize((384, 288), Image.Resampling.LANCZOS) for i in SHOWN]

    # Seen from 225 m above, north up. A drone at its own height would be drawn aside: draw it where it is on the map.
    above = look((0, 0, HEIGHT), (0, 0, -1), up=(0, 1, 0))
    camera = Camera("PINHOLE", (FOCAL, FOCAL, SIZE[0] / 2, SIZE[1] / 2), *SIZE)
    light = render(make_lit("village"), above, camera)
    picture = Image.fromarray(develop(light, 0.0, RenderOptions(noise=0), np.random.default_rng(0)))
    picture = picture.resize((SIZE[0] * SCALE, SIZE[1] * SCALE), Image.Resampling.BICUBIC)
    picture = Image.blend(picture, Image.new("RGB", picture.size, (20, 24, 30)), 0.25)
    drones = centres(np.array([camera["cam_from_world"] for camera in cameras]))
    places = (np.array(SIZE) / 2 + drones[:, :2] * (FOCAL / HEIGHT, -FOCAL / HEIGHT)) * SCALE

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
