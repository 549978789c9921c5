"""Quality of the pairs on labelled scenes: the table of the README.

    python bench/quality.py [SCENE...] [--json FILE]

Without scenes: the five of the quality bar. `--all` adds every labelled scene of the data folder (MIRROR_DATA, or
../shared/data beside the repository), whether it was looked at while the method was made or not. Labels are read after
the scores are made; no setting differs between scenes.

    python bench/quality.py --database FOLDER

the same from COLMAP databases instead of photos: FOLDER/<scene>.db, made by COLMAP's own extractor at its defaults
(8192 features, CPU) where it is not there yet, and kept.
"""

import argparse
import os
import sys
from pathlib import Path

from mirror_sfm.cli.evaluate import report_json, report_table
from mirror_sfm.errors import MirrorError
from mirror_sfm.evaluation import Report, evaluate, label_table, measure, read_labels
from mirror_sfm.pairs import PairOptions, score_pairs
from mirror_sfm.sources import ColmapDatabase

DATA = Path(os.environ.get("MIRROR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
BAR = ("drone_caliterra", "drone_garfield", "building_herzjesu25", "object_maryrose", "indoor_redkitchen")
# Labels that list true pairs only (their absence proves nothing) or where every pair is true say nothing about ranking.
OTHERS = (
    "scenes/drone_brighton",
    "training/outdoor_rock",
    "training/outdoor_statue57",
    "training/object_conch",
    "training/object_ethiopian_head",
    "training/object_gold_cape",
    "training/object_skull",
)


def database_of(scene: Path, folder: Path) -> Path:
    """The scene's photos in a COLMAP database. Made beside its place: an interrupted run leaves none."""
    import pycolmap

    path, partial = folder / f"{scene.name}.db", folder / f".{scene.name}.{os.getpid()}.db"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            pycolmap.Database.open(partial).close()
            pycolmap.extract_features(partial, scene / "images", device=pycolmap.Device.cpu)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return path


def evaluate_database(scene: Path, folder: Path, options: PairOptions) -> Report:
    """As `evaluate`, with the features of a database."""
    table = label_table(scene)
    scored = score_pairs(ColmapDatabase(database_of(scene, folder)), options)
    labels = read_labels(table, [*scored.names, *(photo.name for photo in scored.skipped)])
    return measure(scene.name, scored, labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", type=Path)
    parser.add_argument("--all", action="store_true", help="also the scenes outside the bar")
    parser.add_argument("--json", type=Path, help="write the reports there too")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--tower", help="let a network look too")
    parser.add_argument("--weights", help="of the tower")
    parser.add_argument("--evidence", choices=("local", "network", "both"))
    parser.add_argument("--database", type=Path, metavar="FOLDER", help="from COLMAP databases, kept there")
    arguments = parser.parse_args()
    scenes = arguments.scenes or [DATA / "scenes" / name for name in BAR]
    if arguments.all:
        scenes += [DATA / name for name in OTHERS]
    reports: list[Report] = []
    try:
        for scene in scenes:
            options = PairOptions(
                threads=arguments.threads,
                tower=arguments.tower,
                weights=arguments.weights,
                evidence=arguments.evidence,
            )
            if arguments.database:
                reports.append(evaluate_database(scene, arguments.database, options))
            else:
                reports.append(evaluate(scene, options)[0])
            print(scene.name, file=sys.stderr)
    except MirrorError as error:
        sys.exit(str(error))
    print(report_table(reports))
    stages = list(reports[0].seconds)
    print(f"\n{'seconds':24s}" + "".join(f"{stage:>10s}" for stage in stages))
    for report in reports:
        print(f"{report.scene:24s}" + "".join(f"{report.seconds[stage]:10.2f}" for stage in stages))
    if arguments.json:
        arguments.json.write_text(report_json(reports) + "\n")


if __name__ == "__main__":
    main()
