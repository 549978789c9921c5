"""Makes docs/synthetic.jpg: a photo of each kind of synthetic scene.

python docs/synthetic_picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mirror_sfm.synthetic import KINDS, RenderOptions, develop, make_lit, make_path, render

HERE = Path(__file__).resolve().parent
SHOWN = {"village": (24, 22), "terrain": (24, 16), "interior": (24, 15), "object": (24, 3)}  # of so many photos, which
SIZE = (640, 480)


def main() -> None:
    options = RenderOptions(samples=4, noise=0)
    sheet = Image.new("RGB", (2 * SIZE[0] + 8, 2 * SIZE[1] + 8), "white")
    for place, (kind, (photos, shown)) in enumerate(SHOWN.items()):
        pose = make_path(kind, photos)[shown]
        light = render(make_lit(kind), pose, options.camera(KINDS[kind].focal), options.samples)
        photo = Image.fromarray(develop(light, 0.0, options, np.random.default_rng(0)))
        sheet.paste(photo, (place % 2 * (SIZE[0] + 8), place // 2 * (SIZE[1] + 8)))
    sheet.thumbnail((1100, 1100), Image.Resampling.LANCZOS)
    sheet.save(HERE / "synthetic.jpg", quality=78, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
