"""Pairs from hloc's features: what scales and angles are worth, and that learned descriptors keep their distances.

    python bench/hloc_features.py --database FOLDER [SCENE...]

For every scene of the quality bar (see quality.py, which makes the databases) the SIFT of its database is written in
hloc's layout: with scales and angles; without; and without, turned by a random rotation into signed vectors of 128 and
of 256 dimensions, as learned descriptors are. Prints mAP, and the share of pairs that the turned ones have in common
with the others.
"""

import argparse
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pycolmap
from quality import BAR, DATA, database_of

from mirror_sfm.evaluation import Labels, label_table, measure, read_labels
from mirror_sfm.pairs import choose_pairs, score_pairs
from mirror_sfm.sources import HlocFeatures

KINDS = ("with scales", "without", "turned, 128", "turned, 256")
FEATURES = 1024  # of largest scale, of each photo


def write_features(database: Path, folder: Path) -> dict[str, Path]:
    """The features of a database in hloc's layout, in every kind."""
    rng = np.random.default_rng(3)
    turns = {kind: np.eye(128) for kind in KINDS[:2]}
    turns |= {f"turned, {n}": np.linalg.qr(rng.normal(size=(n, 128)))[0].T for n in (128, 256)}
    files = {kind: folder / f"{kind}.h5" for kind in KINDS}
    with pycolmap.Database.open(database) as source:
        for kind, file in files.items():
            with h5py.File(file, "w") as held:
                for image in source.read_all_images():
                    keypoints = source.read_keypoints(image.image_id)
                    a11, a12, a21, a22 = keypoints[:, 2:].T
                    scales = (np.hypot(a11, a21) + np.hypot(a12, a22)) / 2
                    largest = np.argsort(-scales, kind="stable")[:FEATURES]
                    vectors = source.read_descriptors(image.image_id).data[largest].astype(np.float64)
                    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) @ turns[kind]
                    camera = source.read_camera(image.camera_id)
                    photo = held.create_group(image.name)
                    photo["keypoints"] = (keypoints[largest, :2] - 0.5).astype(np.float32)
                    photo["descriptors"] = vectors.T.astype(np.float32)
                    photo["scores"] = scales[largest]
                    photo["image_size"] = np.array([camera.width, camera.height])
                    if kind == "with scales":
                        photo["scales"] = scales[largest]
                        photo["oris"] = np.rad2deg(np.arctan2(a21, a11))[largest]
    return files


def quality(file: Path, scene: Path) -> tuple[float, set[tuple[str, str]]]:
    """mAP, and the pairs that are handed out."""
    scored = score_pairs(HlocFeatures(file))
    labels: Labels = read_labels(label_table(scene), [*scored.names, *(photo.name for photo in scored.skipped)])
    return measure(scene.name, scored, labels).mean_average_precision, set(choose_pairs(scored).pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", type=Path)
    parser.add_argument("--database", type=Path, metavar="FOLDER", required=True)
    arguments = parser.parse_args()
    print(f"{'scene':24s}" + "".join(f"{kind:>14s}" for kind in KINDS) + f"{'pairs, 128':>14s}{'pairs, 256':>14s}")
    rows = []
    for scene in arguments.scenes or [DATA / "scenes" / name for name in BAR]:
        with tempfile.TemporaryDirectory() as folder:
            files = write_features(database_of(scene, arguments.database), Path(folder))
            found = {kind: quality(file, scene) for kind, file in files.items()}
        pairs = found["without"][1]
        shares = [len(found[kind][1] & pairs) / max(1, len(pairs)) for kind in KINDS[2:]]
        rows.append([found[kind][0] for kind in KINDS] + shares)
        print(f"{scene.name:24s}" + "".join(f"{value:14.3f}" for value in rows[-1]))
    print(f"{'mean':24s}" + "".join(f"{value:14.3f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
