"""Quality of the pairs on labelled scenes: the table of the README.

    python bench/quality.py [SCENE...] [--json FILE]

Without scenes: the five of the quality bar. `--all` adds every labelled scene of the data folder (MIRROR_DATA, or
../shared/data beside the repository), whether it was looked at while the method was made or not. Labels are read after
the scores are made; no setting differs between scenes.
"""

import argparse
import os
import sys
from pathlib import Path

from mirror_sfm.cli.evaluate import report_json, report_table
from mirror_sfm.errors import MirrorError
from mirror_sfm.evaluation import Report, evaluate
from mirror_sfm.pairs import PairOptions

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", type=Path)
    parser.add_argument("--all", action="store_true", help="also the scenes outside the bar")
    parser.add_argument("--json", type=Path, help="write the reports there too")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    scenes = arguments.scenes or [DATA / "scenes" / name for name in BAR]
    if arguments.all:
        scenes += [DATA / name for name in OTHERS]
    reports: list[Report] = []
    try:
        for scene in scenes:
            reports.append(evaluate(scene, PairOptions(threads=arguments.threads))[0])
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
