"""A vocabulary tree for COLMAP's retrieval, trained on scenes that nobody is measured on.

    python bench/vocabulary.py TREE [--words N] [--work FOLDER]

Descriptors of the photos under data/training and of the scenes that `compare.py` leaves out. COLMAP's own trees have
65,536 words; so has this one by default.
"""

from __future__ import annotations

import argparse
import os
import zlib  # noqa: F401  before pycolmap
from pathlib import Path

import numpy as np
import pycolmap
from compare import SCENES
from reconstruct import DATA

PHOTOS = 150  # of all scenes together, evenly spread
SAME_ROOMS = ("indoor_redkitchen_446",)  # a sequence of which a scene is a part
ROUNDS = 5  # of k-means


def photos() -> list[Path]:
    others = [folder for folder in sorted((DATA / "training").iterdir()) if folder.name not in SAME_ROOMS]
    others += [folder for folder in sorted((DATA / "scenes").iterdir()) if folder.name not in SCENES]
    every = [photo for folder in others for photo in sorted((folder / "images").iterdir())]
    return [every[k * len(every) // PHOTOS] for k in range(PHOTOS)]


def descriptors(work: Path) -> np.ndarray:
    """[n, 128] float32, COLMAP's RootSIFT."""
    database, linked = work / "others.db", work / "others"
    linked.mkdir(parents=True, exist_ok=True)
    if not database.exists():
        names = []
        for photo in photos():
            name = f"{photo.parent.parent.name}_{photo.name}"
            names.append(name)
            if not (linked / name).exists():
                os.symlink(photo, linked / name)
        partial = work / "partial.db"
        partial.unlink(missing_ok=True)
        pycolmap.Database.open(partial).close()
        options = pycolmap.FeatureExtractionOptions()
        options.num_threads = 1
        pycolmap.extract_features(partial, linked, names, extraction_options=options, device=pycolmap.Device.cpu)
        partial.rename(database)
    with pycolmap.Database.open(database) as held:
        return np.concatenate(
            [held.read_descriptors(image.image_id).data.astype(np.float32) for image in held.read_all_images()]
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--words", type=int, default=65536)
    parser.add_argument("--work", type=Path, default=Path("out/bench_compare"))
    arguments = parser.parse_args()
    rows = descriptors(arguments.work)
    options = pycolmap.VisualIndex.BuildOptions()
    options.num_visual_words, options.num_iterations, options.num_rounds = arguments.words, ROUNDS, 1
    index = pycolmap.VisualIndex.create(128, 64)
    held = pycolmap.FeatureDescriptorsFloat(pycolmap.FeatureExtractorType.SIFT, rows)
    index.build(options, held)
    index.write(arguments.tree)
    print(f"{arguments.words} words from {len(rows)} descriptors -> {arguments.tree}")


if __name__ == "__main__":
    main()
